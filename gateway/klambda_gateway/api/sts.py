"""STS GetCallerIdentity: many tools ask who they are before anything else.

Place: ``dispatch`` comes here when the signature's scope names ``sts``. The query protocol: a form
in, XML out. Nothing else of STS exists here. Source: STS API reference.
"""

from __future__ import annotations

from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from klambda_gateway.api.call import Reply
from klambda_gateway.auth.gate import Caller

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_XML = {"Content-Type": "text/xml"}


def answer(caller: Caller, query: bytes, body: bytes, request_id: str) -> Reply:
    """Answer one request of the query protocol."""
    # STS takes the form in the body, or, for GET, in the query.
    form = parse_qs((body or query).decode("utf-8", "replace"))
    action = form.get("Action", [""])[0]
    if action == "GetCallerIdentity":
        return _identity(caller, request_id)
    text = escape(f"The action {action} is not valid for this web service.")
    xml = (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>Sender</Type>'
        f"<Code>InvalidAction</Code><Message>{text}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Reply(status=400, body=xml.encode(), headers=_XML)


def _identity(caller: Caller, request_id: str) -> Reply:
    xml = (
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>'
        f"<Arn>{escape(caller.arn)}</Arn><UserId>{escape(caller.access_key_id)}</UserId>"
        f"<Account>{caller.account}</Account></GetCallerIdentityResult><ResponseMetadata>"
        f"<RequestId>{request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
    )
    return Reply(body=xml.encode(), headers=_XML)
