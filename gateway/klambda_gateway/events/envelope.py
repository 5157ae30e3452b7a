"""What destinations, dead-letter queues and sinks are told, byte for byte AWS's (aws-contract c).

Place: ``deliver`` sends what is made here. Invariants: pure; the function's own bytes go in as they
are (an event or a response is JSON already, it is not read and written again); ``responseContext``
and ``responsePayload`` are there only when the function ran; ``functionArn`` is always qualified.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from klambda_core.events import Event, Response
from klambda_gateway.events.policy import SUCCESS
from klambda_gateway.routing.facts import LATEST

ERROR_MESSAGE_MAX: Final = 1024
"""Bytes of a dead letter's ErrorMessage (D)."""
_ODD: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
THROTTLED: Final = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is told."""

    event: Event
    condition: str
    attempts: int
    response: Response | None
    error: str | None
    now: datetime

    @property
    def succeeded(self) -> bool:
        """Whether it is good news."""
        return self.condition == SUCCESS

    @property
    def function_arn(self) -> str:
        """Qualified, with $LATEST when no qualifier was asked for."""
        event = self.event
        return event.arn if event.qualifier else f"{event.arn}:{LATEST}"


def record(outcome: Outcome) -> bytes:
    """The record that a destination gets."""
    context = {
        "requestId": outcome.event.id,
        "functionArn": outcome.function_arn,
        "condition": outcome.condition,
        "approximateInvokeCount": outcome.attempts,
    }
    parts = [
        b'{"version":"1.0","timestamp":' + _json(_timestamp(outcome.now)),
        b'"requestContext":' + _json(context),
        b'"requestPayload":' + _raw(outcome.event.payload),
    ]
    if (response := outcome.response) is not None:
        answered: dict[str, Any] = {
            "statusCode": response.status_code,
            "executedVersion": response.executed_version,
        }
        if response.function_error is not None:
            answered["functionError"] = response.function_error
        parts += [
            b'"responseContext":' + _json(answered),
            b'"responsePayload":' + _raw(response.payload),
        ]
    return b",".join(parts) + b"}"


def dead_letter_attributes(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """A dead letter's message attributes: name → (type, value). Its body is the event alone."""
    message = (outcome.error or outcome.condition).encode()[:ERROR_MESSAGE_MAX]
    return {
        "RequestID": ("String", outcome.event.id),
        "ErrorCode": ("Number", str(_error_code(outcome))),
        "ErrorMessage": ("String", message.decode("utf-8", "ignore") or outcome.condition),
    }


def cloud_event_headers(outcome: Outcome) -> dict[str, str]:
    """CloudEvents 1.0, binary mode; the body is ``record``."""
    return {
        "ce-specversion": "1.0",
        "ce-id": outcome.event.id,
        "ce-source": outcome.function_arn,
        "ce-type": f"io.klambda.invocation.{'success' if outcome.succeeded else 'failure'}",
        "ce-time": _timestamp(outcome.now),
        "Content-Type": "application/json",
    }


def error_text(payload: bytes) -> str:
    """The message of a function's error body."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, Mapping) and isinstance(document.get("errorMessage"), str):
        return plain(str(document["errorMessage"])[:ERROR_MESSAGE_MAX])
    return plain(payload[:ERROR_MESSAGE_MAX].decode("utf-8", "replace"))


def plain(text: str) -> str:
    """A text that databases and queues take: what is no character of XML 1.0 is replaced."""
    return _ODD.sub("\ufffd", text)


def _error_code(outcome: Outcome) -> int:
    if outcome.response is not None:
        return outcome.response.status_code
    throttled = outcome.error is None or outcome.error.startswith("TooManyRequests")
    return THROTTLED if throttled else 500


def _timestamp(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _raw(payload: bytes) -> bytes:
    """A payload as JSON: as it is when it is JSON, else as a string."""
    if not payload:
        return b"null"
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return _json(payload.decode("utf-8", "replace"))
    return payload
