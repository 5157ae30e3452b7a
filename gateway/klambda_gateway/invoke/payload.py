"""The event before it is sent: is it JSON?

Place: first step of ``invoke.service``. Small events are parsed here, so that an error costs no
instance; larger ones are left to init, which parses them without holding up everybody else's loop
(137 ms for 6 MB in Python). Invariants: pure; RFC 8259: no NaN, UTF-8 only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, NamedTuple, NoReturn

import orjson

from klambda_gateway.bulk import Body, whole
from klambda_gateway.invoke.jackson import complaint

VALIDATE_LIMIT: Final = 16 << 10
"""Bytes; design/data-plane.md, "Hot path"."""
EMPTY: Final = b"{}"
"""What an empty body stands for (aws-contract b)."""


class Event(NamedTuple):
    """An event to send."""

    payload: Body
    validated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJson:
    """Why it cannot be sent."""

    detail: str


def made_event(payload: Body) -> Event:
    """Take what this gateway has made itself, which is JSON."""
    return Event(payload=payload, validated=True)


def read_event(body: Body) -> Event | NotJson:
    """Take a request's body as the event."""
    if not len(body):
        return Event(payload=EMPTY, validated=True)
    if len(body) > VALIDATE_LIMIT:
        return Event(payload=body, validated=False)
    return read_whole(whole(body))


def read_whole(body: bytes) -> Event | NotJson:
    """Take a body as the event, judged here whatever its size: what nobody waits for."""
    try:
        # Takes a tenth of the time and accepts less; what it does not accept, the next one judges.
        orjson.loads(body)
    except ValueError:
        return _judged(body)
    return Event(payload=body, validated=True)


def _judged(body: bytes) -> Event | NotJson:
    try:
        json.loads(body.decode(), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        return NotJson(detail=_told(body, f"Invalid UTF-8 at byte {error.start}"))
    except RecursionError:
        return NotJson(detail="nested too deep")
    except ValueError as error:
        return NotJson(detail=_told(body, str(error)))
    return Event(payload=body, validated=True)


def _told(body: bytes, otherwise: str) -> str:
    """AWS's words about a small body; reading a large one once more would hold up the loop."""
    return complaint(body) if len(body) <= VALIDATE_LIMIT else otherwise


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"Unexpected token {word}")
