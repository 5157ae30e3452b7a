"""Refusals of an invocation: its payload, and no room for it."""

from __future__ import annotations

from klambda_core.errors.kinds import (
    INVALID_REQUEST_CONTENT,
    REQUEST_ENTITY_TOO_LARGE,
    TOO_MANY_REQUESTS,
    LambdaError,
)
from klambda_core.errors.request import request_too_big
from klambda_core.limits import PAYLOAD_SYNC_MAX


def payload_too_large(size: int, invocation_type: str, limit: int) -> LambdaError:
    """The event is over the limit of its invocation type.

    The model's RequestTooLargeException is in none of the recorded answers: all have this name.
    D: both texts are quoted in applications' logs, the front one for what no invocation may have.
    """
    if invocation_type != "Event" or size > PAYLOAD_SYNC_MAX:
        return request_too_big(PAYLOAD_SYNC_MAX, "InvokeFunction")
    return LambdaError(
        REQUEST_ENTITY_TOO_LARGE,
        f"{size} byte payload is too large for the {invocation_type} invocation type "
        f"(limit {limit} bytes)",
    )


def payload_not_json(detail: str) -> LambdaError:
    """The event is not JSON; the detail is the parser's.

    D: recorded in alexcasalboni/aws-lambda-power-tuning#148.
    """
    return LambdaError(
        INVALID_REQUEST_CONTENT,
        "Could not parse request body into json: Could not parse payload into json: " + detail,
    )


def throttled(reason: str, *, retry_after: int | None = None) -> LambdaError:
    """No room now: one of the ``REASON_…`` (M; text L)."""
    return LambdaError(TOO_MANY_REQUESTS, "Rate Exceeded.", reason=reason, retry_after=retry_after)
