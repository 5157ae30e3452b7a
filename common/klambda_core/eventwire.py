"""How asynchronous events travel between gateway and store (docs/runtime-contract.md, section 5).

A message is a sequence of parts, each a JSON header and two byte strings (event and response), so
that payloads are never escaped. Pure. Not here: what the members mean (``events``).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from klambda_core.events import (
    FINAL,
    Delivery,
    Event,
    Leased,
    Postponement,
    Record,
    Response,
    Settlement,
)

T = TypeVar("T")
_SIZES: Final = struct.Struct(">III")

Part = tuple[dict[str, Any], bytes, bytes]


class Garbled(ValueError):
    """The bytes are no message."""


def pack(parts: Iterable[tuple[Mapping[str, Any], bytes, bytes]]) -> bytes:
    """Write parts one after another."""
    pieces: list[bytes] = []
    for header, first, second in parts:
        text = json.dumps(header, separators=(",", ":")).encode()
        pieces += (_SIZES.pack(len(text), len(first), len(second)), text, first, second)
    return b"".join(pieces)


def unpack(data: bytes) -> Iterator[Part]:
    """Read what ``pack`` wrote. Raises Garbled."""
    at, end = 0, len(data)
    while at < end:
        if at + _SIZES.size > end:
            raise Garbled("a part's sizes are cut off")
        text, first, second = _SIZES.unpack_from(data, at)
        at += _SIZES.size
        if at + text + first + second > end:
            raise Garbled("a part is cut off")
        try:
            header = json.loads(data[at : at + text])
        except ValueError as error:
            raise Garbled(f"a header is not JSON: {error}") from error
        if not isinstance(header, dict):
            raise Garbled("a header is no object")
        at += text
        yield header, data[at : at + first], data[at + first : at + first + second]
        at += first + second


def event_part(event: Event) -> Part:
    """An event as a part."""
    return _event_header(event), event.payload, b""


def event_of(part: Part) -> Event:
    """Read ``event_part``. Raises Garbled."""
    header, payload, _ = part
    try:
        return Event(payload=payload, **header["event"])
    except (KeyError, TypeError) as error:
        raise Garbled(f"not an event: {error}") from error


def leased_part(leased: Leased) -> Part:
    """A leased event as a part."""
    header = _event_header(leased.event) | {
        "lease": leased.lease,
        "age": leased.age,
        "attempts": leased.attempts,
        "backoffs": leased.backoffs,
        "leases": leased.leases,
        "condition": leased.condition,
        "error": leased.error,
    }
    return _with_outcome(header, leased.event.payload, leased.response, leased.pending)


def leased_of(part: Part) -> Leased:
    """Read ``leased_part``. Raises Garbled."""
    return _read(Leased, part, event=event_of(part))


def postponement_part(item: Postponement) -> Part:
    """A postponement as a part."""
    header = {
        "id": item.id,
        "lease": item.lease,
        "delay": item.delay,
        "attempts": item.attempts,
        "backoffs": item.backoffs,
        "error": item.error,
        "condition": item.condition,
        "hold": item.hold,
    }
    return _with_outcome(header, b"", item.response, item.pending)


def postponement_of(part: Part) -> Postponement:
    """Read ``postponement_part``. Raises Garbled."""
    return _read(Postponement, part)


def settlement_part(item: Settlement) -> Part:
    """A settlement as a part."""
    header = {
        "id": item.id,
        "lease": item.lease,
        "state": item.state,
        "attempts": item.attempts,
        "condition": item.condition,
        "error": item.error,
    }
    return _with_outcome(header, b"", item.response, item.pending)


def settlement_of(part: Part) -> Settlement:
    """Read ``settlement_part``. Raises Garbled."""
    found = _read(Settlement, part)
    if found.state not in FINAL:
        raise Garbled(f"{found.state!r} is no final state")
    return found


def record_part(record: Record) -> Part:
    """A record as a part."""
    header = _event_header(record.event) | {
        "state": record.state,
        "received_at": record.received_at,
        "due_at": record.due_at,
        "settled_at": record.settled_at,
        "leased": record.leased,
        "attempts": record.attempts,
        "backoffs": record.backoffs,
        "leases": record.leases,
        "condition": record.condition,
        "error": record.error,
    }
    if record.redriven:  # gateways of former releases do not know it
        header["redriven"] = record.redriven
    return _with_outcome(header, record.event.payload, record.response, record.pending)


def record_of(part: Part) -> Record:
    """Read ``record_part``. Raises Garbled."""
    return _read(Record, part, event=event_of(part))


def pending_text(pending: Iterable[Delivery]) -> str:
    """Deliveries as JSON."""
    return json.dumps([[each.kind, each.target] for each in pending], separators=(",", ":"))


def pending_of(text: str) -> tuple[Delivery, ...]:
    """Read ``pending_text``."""
    return tuple(Delivery(kind=kind, target=target) for kind, target in json.loads(text or "[]"))


def _event_header(event: Event) -> dict[str, Any]:
    return {
        "event": {
            "id": event.id,
            "namespace": event.namespace,
            "function": event.function,
            "function_uid": event.function_uid,
            "qualifier": event.qualifier,
            "arn": event.arn,
            "trace": event.trace,
        }
    }


def _with_outcome(
    header: dict[str, Any], payload: bytes, response: Response | None, pending: tuple[Delivery, ...]
) -> Part:
    header["pending"] = [[each.kind, each.target] for each in pending]
    header["response"] = None
    if response is None:
        return header, payload, b""
    header["response"] = {
        "status_code": response.status_code,
        "executed_version": response.executed_version,
        "function_error": response.function_error,
    }
    return header, payload, response.payload


def _read(kind: Callable[..., T], part: Part, **more: Any) -> T:
    header, _, second = part
    members = {key: value for key, value in header.items() if key != "event"}
    try:
        response = members.pop("response")
        pending = members.pop("pending")
        return kind(
            response=None if response is None else Response(payload=second, **response),
            pending=tuple(Delivery(kind=word, target=target) for word, target in pending),
            **members,
            **more,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Garbled(f"not what it should be: {error}") from error
