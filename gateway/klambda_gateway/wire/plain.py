"""Plain requests: what the fast lane can take from a head, and what it gives back.

Place: made by ``lane`` (Invoke) and ``urllane`` (function URLs), which ``lanes`` puts behind one
another; ``incoming`` keeps a plain request's body, ``protocol`` writes its answer. Not here: which
requests are plain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from klambda_gateway.bulk import Body
from klambda_gateway.invoke.model import InvokeRequest
from klambda_gateway.invoke.story import Done, Story
from klambda_gateway.urls.door import Visit
from klambda_gateway.wire.heads import HOST

HEADERS_MAX: Final = 64
"""More of them are no plain request's."""
CONNECTION: Final = (None, b"keep-alive", b"Keep-Alive", b"close")
"""What a plain request may say of its connection."""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an Invoke's URL asks for."""

    path: bytes
    query: bytes
    name: str
    qualifier: str | None


@dataclass(slots=True, kw_only=True)
class Plain:
    """A plain request's head."""

    method: bytes
    path: bytes
    query: bytes
    headers: Headers
    fields: Mapping[bytes, bytes]
    length: int
    hashed: bool
    """Whether the body's hash is wanted with the body."""
    asked: Asked | Visit
    """An invocation by name, or by URL."""


@dataclass(slots=True, kw_only=True)
class Answered:
    """An answer but for what its connection adds."""

    status: int
    headers: bytes
    """As they are sent, the body's length among them."""
    body: Body
    request_id: str


Respond = Callable[[Answered], None]


class Starts(Protocol):
    """The invoke service, as a lane needs it."""

    def start(self, request: InvokeRequest, done: Done) -> Story:
        """Run the function; ``done`` is told, maybe before this returns."""
        ...


class FastLane(Protocol):
    """Recognises plain requests and runs them; see ``lanes``."""

    def look(self, method: bytes, url: bytes, headers: Headers) -> Plain | None:
        """Return what a head asks for, if it is plain. Header names are lower case."""
        ...

    def begin(
        self, plain: Plain, body: Body, digest: str, peer: str, respond: Respond
    ) -> Story | None:
        """Start the invocation; None when ASGI must answer instead.

        ``digest``: SHA-256 of the body, hex, if it is wanted. ``peer``: the other end's address.
        ``respond`` is told once, maybe before this returns, unless the story is cancelled.
        """
        ...


def names_host(fields: Mapping[bytes, bytes]) -> bool:
    """Tell whether a head says which host it is for, as it must."""
    host = fields.get(b"host")
    return host is not None and HOST.fullmatch(host) is not None


def length_of(fields: Mapping[bytes, bytes], most: int) -> int | None:
    """Return how long the body is, 0 when nothing is said; None when that is not plain."""
    length = fields.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > len(str(most)) or int(length) > most:
        return None
    return int(length)
