"""What became of an asynchronous invocation: ours, beyond Lambda's API (docs/operations.md).

    GET /klambda/v1/async-invocations/<request id>, signed like any request of Lambda's

Place: ``dispatch`` comes here before it routes. Invariants: an id of another account is as unknown
as one that never was; whoever may invoke the function may see what its events came to.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

from klambda_core import errors
from klambda_core.events import Record, Response
from klambda_core.names import LATEST
from klambda_gateway.api.call import Reply, Services
from klambda_gateway.auth.caller import Caller

PREFIX: Final = b"/klambda/v1/async-invocations/"
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_ours(path: bytes) -> bool:
    """Whether a request's path leads here."""
    return path.startswith(PREFIX)


async def answer(services: Services, caller: Caller, method: str, path: bytes) -> Reply:
    """Look an event up. Raises LambdaError 403, 404, 503."""
    event_id = path.removeprefix(PREFIX).decode("ascii", "replace")
    if method != "GET":
        raise errors.LambdaError(errors.UNKNOWN_OPERATION, "Only GET is served here.")
    record = None
    if _ID.fullmatch(event_id):
        record = await services.events.lookup(caller.namespace, event_id)
    if record is None:
        raise errors.not_found(f"Asynchronous invocation not found: {event_id}")
    await services.authorizer.check(caller, "lambda:InvokeFunction", record.event.arn)
    return Reply(document=document(record))


def document(record: Record) -> dict[str, Any]:
    """A record as it is shown; members without a value are left out."""
    event, open_ = record.event, record.settled_at is None
    shown: dict[str, Any] = {
        "RequestId": event.id,
        "FunctionArn": event.arn if event.qualifier else f"{event.arn}:{LATEST}",
        "State": _state(record),
        "ReceivedAt": _time(record.received_at),
        "Attempts": record.attempts,
        "Leases": record.leases,
        "Redriven": record.redriven or None,
        "NextAttemptAt": _time(record.due_at) if open_ and not record.leased else None,
        "SettledAt": None if record.settled_at is None else _time(record.settled_at),
        "Condition": record.condition,
        "LastError": record.error,
        "PendingDeliveries": [{"Kind": each.kind, "Target": each.target} for each in record.pending]
        or None,
        **_response(record.response),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _state(record: Record) -> str:
    if record.state == "queued" and record.leased:
        return "Running"
    return record.state.capitalize()


def _response(response: Response | None) -> dict[str, Any]:
    if response is None:
        return {}
    try:
        payload = json.loads(response.payload or b"null")
    except (ValueError, RecursionError):
        payload = response.payload.decode("utf-8", "replace")
    return {
        "ExecutedVersion": response.executed_version,
        "FunctionError": response.function_error,
        "ResponsePayload": payload,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
