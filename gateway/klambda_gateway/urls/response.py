"""From what a function returned to an HTTP answer.

Theory. A JSON object with ``statusCode`` says status, headers, cookies and body itself; any other
JSON is the body of a 200 (*inferred*), a string without its quotes. A function that streams begins
its body with a JSON *prelude* (status, headers, cookies) and 8 NUL bytes; no JSON text has a NUL
byte in it, so the two cannot be mistaken for one another. Whatever cannot become an HTTP answer is
*malformed*, and the client gets 502: never a broken or a forged answer.

Place: ``urls.door`` maps buffered payloads with ``answer_of`` and, for streams, heads with
``head_of``. Invariants: pure; errors are values; header names come out in lower case and free of
line breaks; the platform's own headers cannot be set by a function. Not here: CORS (``urls.cors``).
Source: aws-contract d.
"""

from __future__ import annotations

import binascii
import contextlib
import json
import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson

JSON_TYPE: Final = "application/json"
BYTES_TYPE: Final = "application/octet-stream"
PRELUDE_TYPE: Final = "application/vnd.awslambda.http-integration-response"
PRELUDE_END: Final = b"\0" * 8
PRELUDE_MAX: Final = 64 << 10
"""Bytes within which a prelude must end (ours)."""
PLATFORM: Final = frozenset(
    ("content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
     "upgrade", "x-amzn-requestid", "x-amzn-trace-id")
)  # fmt: skip
REMAPPED: Final = frozenset(("connection", "date", "www-authenticate"))
"""What reaches the client under another name, as on AWS (published by many who met it: clients of
bearer challenges find no WWW-Authenticate)."""
STATUSES: Final = range(200, 600)
LARGE: Final = 256 << 10
"""Bytes; a larger payload that nowhere says ``statusCode`` is passed on unparsed."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and headers of an answer."""

    status: int = HTTPStatus.OK
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)
    """In order, names in lower case; each cookie is one ``set-cookie``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer."""

    head: Head
    body: bytes
    traced: bool = True
    """Whether a function was asked for, so that there is a trace to name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """Why a payload is no answer."""

    why: str


class _Unfit(Exception):
    pass


def answer_of(payload: bytes) -> Answer | Malformed:
    """The answer that a buffered payload means."""
    try:
        return _answer(payload)
    except _Unfit as error:
        return Malformed(why=str(error))


def head_of(prelude: bytes) -> Head | Malformed:
    """The head that a stream's prelude means (without the NUL bytes)."""
    try:
        document = _parsed(prelude)
        if not isinstance(document, dict):
            raise _Unfit("the prelude is no object")
        return _head(document, BYTES_TYPE)
    except _Unfit as error:
        return Malformed(why=str(error))


def _answer(payload: bytes) -> Answer:
    prelude, nul, rest = payload.partition(PRELUDE_END)
    if nul and len(prelude) <= PRELUDE_MAX:
        document = _parsed(prelude)
        if not isinstance(document, dict):
            raise _Unfit("the prelude is no object")
        return Answer(head=_head(document, BYTES_TYPE), body=rest)
    if len(payload) > LARGE and b'"statusCode"' not in payload and payload[:1] in b"{[":
        return _inferred(payload)
    document = _parsed(payload)
    if isinstance(document, dict) and "statusCode" in document:
        return Answer(head=_head(document, JSON_TYPE), body=_body(document))
    if isinstance(document, str):
        return _inferred(_encoded(document))
    return _inferred(payload)


def _inferred(body: bytes) -> Answer:
    return Answer(head=Head(headers=(("content-type", JSON_TYPE),)), body=body)


def _parsed(text: bytes) -> Any:
    with contextlib.suppress(ValueError):
        return orjson.loads(text)
    try:  # NaN, and whatever else Python's own encoder writes
        return json.loads(text.decode())
    except (ValueError, RecursionError):
        raise _Unfit("not JSON") from None


def _head(document: Mapping[str, Any], content_type: str) -> Head:
    headers = _headers(document.get("headers"))
    if not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", content_type))
    return Head(
        status=_status(document.get("statusCode", HTTPStatus.OK)),
        headers=(*headers, *_cookies(document.get("cookies"))),
    )


def _status(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{3}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in STATUSES:
        raise _Unfit("statusCode is no status")
    return int(value)


def _headers(value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        raise _Unfit("headers is no object")
    pairs = ((name.lower(), _scalar(each)) for name, each in value.items() if each is not None)
    return [_checked(_remapped(name), each) for name, each in pairs if name not in PLATFORM]


def _remapped(name: str) -> str:
    return f"x-amzn-remapped-{name}" if name in REMAPPED else name


def _cookies(value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _Unfit("cookies is no list of strings")
    return [_checked("set-cookie", each) for each in value]


def _checked(name: str, value: str) -> tuple[str, str]:
    if not _NAME.fullmatch(name) or _UNSAFE.search(value):
        raise _Unfit(f"header {name!r} cannot be sent")
    _encoded(value)
    return name, value


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise _Unfit("a header's value is no string")


def _body(document: Mapping[str, Any]) -> bytes:
    value = document.get("body")
    if value is None:
        return b""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    encoded = _encoded(value)
    if document.get("isBase64Encoded") is not True:
        return encoded
    try:
        return b64decode(encoded, validate=True)
    except binascii.Error:
        raise _Unfit("body is no base64") from None


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        raise _Unfit("not Unicode") from None
