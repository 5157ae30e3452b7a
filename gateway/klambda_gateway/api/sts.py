"""STS as far as Lambda's users need it: who am I?

Many tools call GetCallerIdentity before anything else. The query protocol: a form in, XML out (JSON
for those who ask), errors in XML too. Nothing else of STS exists here: temporary credentials are
given to functions only, so every other operation is denied in STS's own words.

Place: ``dispatch`` comes here when the signature's scope names ``sts``, also with what
authentication refused. Invariants: pure. Sources: STS API reference ("GetCallerIdentity", "Common
errors", "GetSessionToken"); the denials' texts as AWS's clients show them (K).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.api.call import Reply
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.claim import Signable

VERSION: Final = "2011-06-15"
_NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{VERSION}/"
_SCOPE: Final = "/sts/aws4_request"

NAMED_RESOURCE: Final[Mapping[str, str]] = {"AssumeRole": "RoleArn"}
"""Where a denial names what was asked for."""
OPERATIONS: Final = frozenset(
    {
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "AssumeRoot",
        "DecodeAuthorizationMessage",
        "GetAccessKeyInfo",
        "GetDelegatedAccessToken",
        "GetFederationToken",
        "GetSessionToken",
        "GetWebIdentityToken",
    }
)
"""The service's other operations (botocore's model)."""
FOR_USERS_ONLY: Final = frozenset({"GetSessionToken", "GetFederationToken"})

CODES: Final[Mapping[str, str]] = {
    errors.UNRECOGNIZED_CLIENT.name: "InvalidClientTokenId",
    errors.INVALID_SIGNATURE.name: "SignatureDoesNotMatch",
    errors.INCOMPLETE_SIGNATURE.name: "IncompleteSignature",
    errors.EXPIRED_TOKEN.name: "ExpiredToken",
    errors.SERIALIZATION.name: "MalformedInput",
    errors.SERVICE_UNAVAILABLE.name: "ServiceUnavailable",
    errors.SERVICE.name: "InternalFailure",
}
"""The query protocol's names of what authentication and the framework refuse."""


def concerns(request: Signable) -> bool:
    """Whether a request is meant for STS, by its own unproven word."""
    authorization = request.header(b"authorization")
    if authorization is not None:
        return f"{_SCOPE}," in authorization or authorization.endswith(_SCOPE)
    query = request.query
    return b"X-Amz-Credential=" in query and (b"%2Fsts%2Faws4_request" in query)


def answer(caller: Caller, request: Signable, body: bytes, request_id: str) -> Reply:
    """Answer one request of the query protocol."""
    # STS takes the form in the body, or, for GET, in the query.
    form = parse_qs((body or request.query).decode("utf-8", "replace"))
    action = form.get("Action", [""])[0]
    if action == "GetCallerIdentity":
        return _identity(caller, request, request_id)
    if not action:
        return _error(400, "MissingAction", "Missing Action", request_id)
    if action not in OPERATIONS:
        text = f"Could not find operation {action} for version {VERSION}"
        return _error(400, "InvalidAction", text, request_id)
    if action in FOR_USERS_ONLY and caller.session:
        text = f"Cannot call {action} with session credentials"
        return _error(403, "AccessDenied", text, request_id)
    return _error(403, "AccessDenied", _denial(caller, action, form), request_id)


def refused(error: LambdaError, request_id: str) -> Reply:
    """What was refused before STS was reached, in its form."""
    code = CODES.get(error.error.name, error.error.name.removesuffix("Exception"))
    return _error(error.status, code, error.message or "", request_id)


def _denial(caller: Caller, action: str, form: Mapping[str, list[str]]) -> str:
    text = f"User: {caller.arn} is not authorized to perform: sts:{action}"
    resource = form.get(NAMED_RESOURCE.get(action, ""), [""])[0]
    return f"{text} on resource: {resource}" if resource else text


def _identity(caller: Caller, request: Signable, request_id: str) -> Reply:
    members = {"Arn": caller.arn, "UserId": caller.user_id, "Account": caller.account}
    if (request.header(b"accept") or "").startswith("application/json"):
        document = {
            "GetCallerIdentityResponse": {
                "GetCallerIdentityResult": members,
                "ResponseMetadata": {"RequestId": request_id},
            }
        }
        return _reply(200, json.dumps(document, separators=(",", ":")), "application/json")
    result = "".join(f"    <{name}>{escape(value)}</{name}>\n" for name, value in members.items())
    return _reply(
        200,
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}">\n'
        f"  <GetCallerIdentityResult>\n{result}  </GetCallerIdentityResult>\n"
        f"  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n"
        "</GetCallerIdentityResponse>\n",
    )


def _error(status: int, code: str, message: str, request_id: str) -> Reply:
    fault = "Sender" if status < 500 else "Receiver"
    return _reply(
        status,
        f'<ErrorResponse xmlns="{_NAMESPACE}">\n  <Error>\n    <Type>{fault}</Type>\n'
        f"    <Code>{escape(code)}</Code>\n    <Message>{escape(message)}</Message>\n  </Error>\n"
        f"  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
    )


def _reply(status: int, text: str, kind: str = "text/xml") -> Reply:
    return Reply(status=status, body=text.encode(), headers={"Content-Type": kind})
