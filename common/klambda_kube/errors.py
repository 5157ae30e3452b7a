"""What the Kubernetes API can answer, as exceptions.

Every failure of `klambda_kube.api` is one of these; nothing of aiohttp leaks out. Callers catch the
narrow class they can deal with. `AlreadyExists` (the name is taken) is not a `Conflict` (somebody
else was faster: resourceVersion, uid precondition or field ownership), though both are HTTP 409.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


class KubeError(Exception):
    """Any failure of a call to the Kubernetes API."""


class Unreachable(KubeError):
    """No answer: refused, reset, timed out or cut off.

    `maybe_applied` is true when the request may have reached the server: a write must then be
    looked up before it is called failed.
    """

    def __init__(self, message: str, *, maybe_applied: bool) -> None:
        super().__init__(message)
        self.maybe_applied = maybe_applied


class ApiError(KubeError):
    """The server answered with an error that has no class of its own.

    `retry_after` is the server's advice in seconds, None when it gave none.
    """

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """404: the object, its namespace or its kind is not there."""


class Conflict(ApiError):
    """409: the object changed meanwhile, a precondition failed, or another manager owns a field."""


class AlreadyExists(ApiError):
    """409 with reason AlreadyExists: the name is taken."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Throttled(ApiError):
    """429: nothing was done; `retry_after` says when to come back, in seconds."""


class Forbidden(ApiError):
    """403: RBAC, quota or an admission policy says no; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why an object is invalid: a field path and a sentence."""

    field: str
    message: str


class Invalid(ApiError):
    """422: the object breaks its schema or a CEL rule; `causes` name the fields."""

    def __init__(
        self, status: int, reason: str, message: str, *, causes: tuple[Cause, ...] = ()
    ) -> None:
        super().__init__(status, reason, message)
        self.causes = causes


_BY_STATUS: Mapping[int, type[ApiError]] = {
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
    HTTPStatus.GONE: Gone,
    HTTPStatus.TOO_MANY_REQUESTS: Throttled,
}

_DEFAULT_RETRY_AFTER_S = 1.0
"""What a 429 without a Retry-After header means (client-go assumes the same)."""


def parse_error(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """Turn an error answer (a metav1.Status, or whatever a proxy sent) into one of ours."""
    document = _status_document(body)
    reason = _text(document.get("reason")) or _phrase(status)
    message = _text(document.get("message")) or body[:200].decode("utf-8", "replace").strip()
    raw = document.get("details")
    details: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return Invalid(status, reason, message, causes=_causes(details))
    if status == HTTPStatus.CONFLICT and reason == "AlreadyExists":
        return AlreadyExists(status, reason, message)
    after = _seconds(retry_after, details.get("retryAfterSeconds"))
    if status == HTTPStatus.TOO_MANY_REQUESTS and after is None:
        after = _DEFAULT_RETRY_AFTER_S
    return _BY_STATUS.get(status, ApiError)(status, reason, message, retry_after=after)


def parse_status_object(document: Mapping[str, Any]) -> ApiError:
    """Turn the Status object of an ERROR watch event into one of ours."""
    code = document.get("code")
    status = code if isinstance(code, int) else HTTPStatus.INTERNAL_SERVER_ERROR
    return parse_error(status, json.dumps(document).encode())


def _status_document(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _causes(details: Mapping[str, Any]) -> tuple[Cause, ...]:
    causes = details.get("causes")
    return tuple(
        Cause(field=_text(cause.get("field")), message=_text(cause.get("message")))
        for cause in (causes if isinstance(causes, list) else ())
        if isinstance(cause, dict)
    )


def _seconds(*candidates: object) -> float | None:
    for candidate in candidates:
        try:
            seconds = float(candidate)  # type: ignore[arg-type]
        except (TypeError, ValueError):  # absent, or an HTTP date, which Kubernetes never sends
            continue
        if 0 < seconds < float("inf"):
            return seconds
    return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.replace(" ", "")
    except ValueError:
        return "Unknown"
