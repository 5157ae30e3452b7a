"""Refusals of a request as such, before anybody looks at what it is about."""

from __future__ import annotations

from collections.abc import Sequence

from klambda_core.errors.kinds import (
    HEAD_TOO_LARGE,
    NOT_IMPLEMENTED,
    REQUEST_ENTITY_TOO_LARGE,
    REQUEST_TIMEOUT,
    SERIALIZATION,
    SERVICE,
    SERVICE_UNAVAILABLE,
    VALIDATION,
    VERSION_NOT_SUPPORTED,
    LambdaError,
    invalid_parameter,
)


def validation(problems: Sequence[str]) -> LambdaError:
    """The framework's shape validation: all problems of one request (L)."""
    noun = "error" if len(problems) == 1 else "errors"
    text = f"{len(problems)} validation {noun} detected: {'; '.join(problems)}"
    return LambdaError(VALIDATION, text)


def serialization(message: str) -> LambdaError:
    """The body is not what the protocol says (L)."""
    return LambdaError(SERIALIZATION, message)


def unsupported(operation: str) -> LambdaError:
    """An operation that AWS has and this installation does not (O)."""
    return invalid_parameter(f"The operation {operation} is not supported by this installation.")


def invalid_marker() -> LambdaError:
    """A ``Marker`` that no page of this list gave (O: AWS's words for it are not documented)."""
    return invalid_parameter("Invalid marker.")


def request_too_big(limit: int, operation: str) -> LambdaError:
    """The request itself over its limit (L; D: recorded with its body from function URLs)."""
    return LambdaError(
        REQUEST_ENTITY_TOO_LARGE,
        f"Request must be smaller than {limit} bytes for the {operation} operation",
    )


def head_too_large(limit: int) -> LambdaError:
    """Request line and headers over their limit (O)."""
    return LambdaError(
        HEAD_TOO_LARGE, f"Request line and headers must be smaller than {limit} bytes"
    )


def coding_not_supported() -> LambdaError:
    """A body in another transfer coding than chunks (O; the status is RFC 9112's, 6.1)."""
    return LambdaError(NOT_IMPLEMENTED, "The only supported Transfer-Encoding is chunked.")


def version_not_supported() -> LambdaError:
    """Another HTTP than 1.0 and 1.1 (O; the status is RFC 9110's, 15.6.6)."""
    return LambdaError(VERSION_NOT_SUPPORTED, "The supported versions are HTTP/1.0 and HTTP/1.1.")


def request_timed_out() -> LambdaError:
    """A request that did not arrive in its time (O)."""
    return LambdaError(REQUEST_TIMEOUT, "The request did not arrive in time.")


def service(message: str = "An error occurred and the request cannot be processed.") -> LambdaError:
    """Our fault (O)."""
    return LambdaError(SERVICE, message)


def unavailable(message: str) -> LambdaError:
    """Our fault, and worth another try: SDKs retry a 503 (O)."""
    return LambdaError(SERVICE_UNAVAILABLE, message)
