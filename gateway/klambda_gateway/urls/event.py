"""The event that a function gets for a request to its URL: payload format 2.0.

Place: ``urls.door`` builds it and hands it to the invoke service as the invocation's payload.
Invariants: pure (time and ids come in); members that have nothing to say are absent, not null; the
body is text only where the content type says so *and* it is UTF-8, otherwise base64; cookies stand
in ``cookies``, one by one, and in the header; ``rawPath`` is as sent, ``path`` is decoded.
Not here: where the request came from (``urls.request``), the way back (``urls.response``).
Sources: AWS's developer guide, "Invoking Lambda function URLs"; an event of AWS's own (S), of July
2026, published in hotsock/voker: vokerhttp/testdata/functionurl-request.json; else aws-contract d.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from klambda_gateway.urls.request import Origin, UrlRequest

Json = dict[str, Any]

ROUTE: Final = "$default"
ANONYMOUS: Final = "anonymous"
CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
     b"upgrade", b"expect")
)  # fmt: skip
"""Headers of one connection, not of the request (RFC 9110, 7.6.1)."""
_TEXTUAL: Final = frozenset(
    ("application/json", "application/javascript", "application/xml", "application/ecmascript")
)
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IamCaller:
    """Who signed the request (authType AWS_IAM)."""

    access_key: str
    account: str
    arn: str
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """What is not in the request itself."""

    url_id: str
    domain_name: str
    request_id: str
    trace_id: str
    now: datetime
    origin: Origin
    caller: IamCaller | None = None


def event_of(request: UrlRequest, meeting: Meeting) -> bytes:
    """The event, JSON."""
    return orjson.dumps(document_of(request, meeting))


def document_of(request: UrlRequest, meeting: Meeting) -> Json:
    """The event, members in AWS's order."""
    event: Json = {
        "version": "2.0",
        "routeKey": ROUTE,
        "rawPath": request.path.decode("latin-1") or "/",
        "rawQueryString": request.query.decode("latin-1"),
    }
    cookies = _cookies(request.headers)
    if cookies:
        event["cookies"] = cookies
    event["headers"] = _headers(request.headers) | _platform_headers(meeting)
    if request.query:
        event["queryStringParameters"] = query_members(request.query)
    event["requestContext"] = _context(request, meeting)
    if request.body:
        event["body"], event["isBase64Encoded"] = _body(request)
    else:
        event["isBase64Encoded"] = False
    return event


def decoded(path: bytes) -> str:
    """A path, percent-decoded once."""
    return unquote_to_bytes(path).decode("utf-8", "replace") or "/"


def query_members(query: bytes) -> dict[str, str]:
    """A query's members, decoded; those of one key joined with commas in the order given."""
    members: dict[str, str] = {}
    for piece in query.split(b"&"):
        if not piece:
            continue
        name, _, raw = piece.replace(b"+", b" ").partition(b"=")
        key, value = _text(name), _text(raw)
        members[key] = f"{members[key]},{value}" if key in members else value
    return members


def _text(encoded: bytes) -> str:
    return unquote_to_bytes(encoded).decode("utf-8", "replace")


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, raw in headers:
        if name in CONNECTION:
            continue
        key, value = name.decode("latin-1"), raw.decode("latin-1")
        comma = "; " if name == b"cookie" else ","  # RFC 9113, 8.2.3
        joined[key] = f"{joined[key]}{comma}{value}" if key in joined else value
    return joined


def _platform_headers(meeting: Meeting) -> dict[str, str]:
    return meeting.origin.headers() | {"x-amzn-trace-id": meeting.trace_id}


def _cookies(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    return [
        cookie
        for name, value in headers
        if name == b"cookie"
        for each in value.decode("latin-1").split(";")
        if (cookie := each.strip())
    ]


def _context(request: UrlRequest, meeting: Meeting) -> Json:
    caller = meeting.caller
    context: Json = {
        "accountId": ANONYMOUS if caller is None else caller.account,
        "apiId": meeting.url_id,
    }
    if caller is not None:
        context["authorizer"] = {"iam": _iam(caller)}
    http: Json = {
        "method": request.method,
        "path": decoded(request.path),
        "protocol": request.protocol,
        "sourceIp": meeting.origin.source_ip,
    }
    agent = request.header(b"user-agent")
    if agent is not None:
        http["userAgent"] = agent
    return context | {
        "domainName": meeting.domain_name,
        "domainPrefix": meeting.url_id,
        "http": http,
        "requestId": meeting.request_id,
        "routeKey": ROUTE,
        "stage": ROUTE,
        "time": log_time(meeting.now),
        "timeEpoch": int(meeting.now.timestamp() * 1000),
    }


def _iam(caller: IamCaller) -> Json:
    return {
        "accessKey": caller.access_key,
        "accountId": caller.account,
        "callerId": caller.user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.arn,
        "userId": caller.user_id,
    }


def log_time(moment: datetime) -> str:
    """The time as Apache's logs have it: ``12/Mar/2020:19:03:58 +0000``, in any locale."""
    return _log_second(int(moment.timestamp()))


@lru_cache(maxsize=2)
def _log_second(second: int) -> str:
    utc = datetime.fromtimestamp(second, UTC)
    return f"{utc:%d}/{_MONTHS[utc.month - 1]}/{utc:%Y:%H:%M:%S} +0000"


def _body(request: UrlRequest) -> tuple[str, bool]:
    if is_textual(request.header(b"content-type")):
        try:
            return request.body.decode(), False
        except UnicodeDecodeError:
            pass
    return b64encode(request.body).decode(), True


def is_textual(content_type: str | None) -> bool:
    """Whether a body of this type goes as text."""
    media = (content_type or "").partition(";")[0].strip().lower()
    return media.startswith("text/") or media in _TEXTUAL or media.endswith(("+json", "+xml"))
