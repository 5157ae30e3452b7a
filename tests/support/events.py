"""Events for tests: short to write, complete."""

from __future__ import annotations

import uuid
from typing import Any

from klambda_core.events import Event, Leased, LeaseRequest, Postponement, Response, Settlement

ACCOUNT = "123456789012"


def event(function: str = "f", **members: Any) -> Event:
    """One event for a function whose uid is ``uid-<name>``."""
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "namespace": "default",
        "function": function,
        "function_uid": f"uid-{function}",
        "qualifier": None,
        "arn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{function}",
        "payload": b'{"n":1}',
        "trace": "Root=1-2-3",
    }
    return Event(**(values | members))


def wants(limit: int = 10, **members: Any) -> LeaseRequest:
    """A gateway with room."""
    values: dict[str, Any] = {
        "holder": "gw",
        "limit": limit,
        "bytes_limit": 1 << 20,
        "credits": {},
        "default_credit": 100,
    }
    return LeaseRequest(**(values | members))


def retry(leased: Leased, delay: float, **members: Any) -> Postponement:
    """Back into the queue after another attempt."""
    values: dict[str, Any] = {
        "id": leased.event.id,
        "lease": leased.lease,
        "delay": delay,
        "attempts": leased.attempts + 1,
        "backoffs": 0,
    }
    return Postponement(**(values | members))


def settled(leased: Leased, **members: Any) -> Settlement:
    """A success."""
    values: dict[str, Any] = {
        "id": leased.event.id,
        "lease": leased.lease,
        "state": "succeeded",
        "attempts": leased.attempts + 1,
        "condition": "Success",
        "response": Response(
            status_code=200, executed_version="$LATEST", function_error=None, payload=b'"done"'
        ),
    }
    return Settlement(**(values | members))
