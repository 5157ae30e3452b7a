"""The requests of one connection, as its parser tells of them; and the plain one under way.

    the parser's callbacks ─► a head: the connection chooses the lane ─► plain: its body is kept
                                                                     └─► else: passed to uvicorn

Place: between httptools' parser and ``wire.protocol``: what happens for each header and each piece
of a body, taken out of uvicorn's class so that it can be compiled. Invariants: names are lower
case; whatever the parser says of a request that is not plain, uvicorn hears in the same order.
Not here: which requests are plain (``lane``), answers and the connection's life (``protocol``).
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, Final, Protocol

from klambda_gateway.invoke.story import Story
from klambda_gateway.wire.lane import Answered, Plain

HASHED_WHOLE: Final = 64 << 10
"""Longer bodies are hashed piece by piece as they arrive: the loop is never held for long."""


class _Unheard:
    """Stands for the event by which uvicorn wakes an ASGI application."""

    def set(self) -> None:
        """Wake nobody."""


_UNHEARD: Final = _Unheard()


class Cycle:
    """A plain request under way; to uvicorn it looks like one of its own cycles."""

    __slots__ = (
        "began", "disconnected", "hash", "keep_alive", "message_event", "pieces", "plain",
        "response_complete", "story",
    )  # fmt: skip

    def __init__(self, plain: Plain, *, keep_alive: bool) -> None:
        self.plain = plain
        self.began = time.monotonic()
        self.keep_alive = keep_alive
        self.pieces: list[bytes] = []
        self.hash: Any = None
        if plain.hashed and plain.length > HASHED_WHOLE:
            self.hash = hashlib.sha256()
        self.story: Story | None = None
        self.response_complete = False
        self.disconnected = False
        self.message_event = _UNHEARD

    def take(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self.pieces.append(piece)
        if self.hash is not None:
            self.hash.update(piece)

    def body(self) -> bytes:
        """Return all of it, once."""
        pieces, self.pieces = self.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def digest(self, body: bytes) -> str:
        """Return its hash, or nothing when nobody needs it."""
        if self.hash is not None:
            return str(self.hash.hexdigest())
        return hashlib.sha256(body).hexdigest() if self.plain.hashed else ""


class Connection(Protocol):
    """Whose requests they are."""

    def choose(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> Cycle | None:
        """Begin a plain request."""
        ...

    def by_asgi(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Begin another; returns where its trailers go."""
        ...

    def run(self, cycle: Cycle, body: bytes) -> None:
        """Start a plain request, whose body is there."""
        ...

    def asgi_body(self, body: bytes) -> None:
        """Take a piece of another one's body."""
        ...

    def asgi_complete(self) -> None:
        """Note that another one is there completely."""
        ...


class Incoming:
    """What the parser calls."""

    __slots__ = ("_connection", "headers", "reading", "url")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.reading: Cycle | None = None
        """The plain request whose body is being read."""

    def end(self) -> None:
        """Forget the connection."""
        self._connection = None
        self.reading = None

    def on_message_begin(self) -> None:
        """Begin a request; uvicorn's scope is made only for the requests that take its way."""
        self.url = b""
        self.headers = []
        self.reading = None

    def on_url(self, url: bytes) -> None:
        """Take the target, or a piece of it."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Choose the lane."""
        connection = self._connection
        if connection is None:
            return
        self.reading = connection.choose(self.url, self.headers)
        if self.reading is None:
            self.headers = connection.by_asgi(self.url, self.headers)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self.reading is not None:
            self.reading.take(body)
        elif self._connection is not None:
            self._connection.asgi_body(body)

    def on_message_complete(self) -> None:
        """Start the request."""
        cycle, self.reading = self.reading, None
        if self._connection is None:
            return
        if cycle is None:
            self._connection.asgi_complete()
        else:
            self._connection.run(cycle, cycle.body())


def head_of(answered: Answered, common: bytes, status: bytes, *, close: bool) -> bytes:
    """Return an answer's head: status line, what all answers have, its own headers."""
    tail = "connection: close\r\n\r\n" if close else "\r\n"
    text = f"{answered.headers}content-length: {len(answered.body)}\r\n{tail}"
    return status + common + text.encode("latin-1")
