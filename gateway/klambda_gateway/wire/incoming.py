"""The requests of one connection, as its parser tells of them; and the plain one under way.

    the parser's callbacks ─► a head: the connection chooses the lane ─► plain: its body is kept
                                                                     └─► else: passed to uvicorn
    the rest of a plain request's large body ─► kept, past the parser, which would copy it

Place: between httptools' parser and ``wire.protocol``: what happens for each header and each piece
of a body, taken out of uvicorn's class so that it can be compiled. Invariants: names are lower
case; whatever the parser says of a request that is not plain, uvicorn hears in the same order,
but for trailers, which are thrown away: a field that comes behind the body must not pass for one
that was looked at before it (RFC 9110, 6.5.1).
Not here: which requests are plain (``lane``), answers and the connection's life (``protocol``).
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, Final, Protocol

from klambda_gateway.bulk import JOINED, Body, Piece, gathered, pieces_of
from klambda_gateway.invoke.story import Story
from klambda_gateway.wire.plain import Answered, Plain

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
        "began", "disconnected", "hash", "keep_alive", "left", "message_event", "past_parser",
        "pieces", "plain", "response_complete", "response_started", "story",
    )  # fmt: skip

    def __init__(self, plain: Plain, *, keep_alive: bool) -> None:
        self.plain = plain
        self.began = time.monotonic()
        self.keep_alive = keep_alive
        self.left = plain.length
        """Bytes of the body that are to come."""
        self.past_parser = False
        """The rest of the body is taken without it."""
        self.pieces: list[Piece] = []
        self.hash: Any = None
        if plain.hashed and plain.length > HASHED_WHOLE:
            self.hash = hashlib.sha256()
        self.story: Story | None = None
        self.response_complete = False
        self.response_started = False
        self.disconnected = False
        self.message_event = _UNHEARD

    def take(self, piece: Piece) -> None:
        """Take a piece of the body."""
        self.pieces.append(piece)
        self.left -= len(piece)
        if self.hash is not None:
            self.hash.update(piece)

    def body(self) -> Body:
        """Return all of it, once."""
        pieces, self.pieces = self.pieces, []
        return gathered(pieces)

    def digest(self, body: Body) -> str:
        """Return its hash, or nothing when nobody needs it."""
        if not self.plain.hashed:
            return ""
        if self.hash is None:
            self.hash = hashlib.sha256()
            for piece in pieces_of(body):
                self.hash.update(piece)
        return str(self.hash.hexdigest())


class Connection(Protocol):
    """Whose requests they are."""

    def choose(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> Cycle | None:
        """Begin a plain request. Raises what ends the reading."""
        ...

    def check(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """See whether a head is too large. Raises what ends the reading."""
        ...

    def by_asgi(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
        """Begin another; False: it will come again. Raises what ends the reading."""
        ...

    def run(self, cycle: Cycle, body: Body) -> None:
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

    __slots__ = ("_connection", "again", "body_open", "got", "headers", "large", "reading", "url")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.reading: Cycle | None = None
        """The plain request whose body is being read."""
        self.again = False
        """The parser will say this request again."""
        self.body_open = False
        """A head is complete, and its request is not."""
        self.got = False
        """A head was complete, a request, or some of a body came, since this was last set."""
        self.large = False
        """The next head may be too large."""

    def end(self) -> None:
        """Forget the connection."""
        self._connection = None
        self.reading = None

    def on_message_begin(self) -> None:
        """Begin a request; uvicorn's scope is made only for the requests that take its way."""
        self.url = b""
        self.headers = []
        self.reading = None
        self.again = False

    def on_url(self, url: bytes) -> None:
        """Take the target, or a piece of it."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; no trailer."""
        if not self.body_open:
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Choose the lane."""
        connection = self._connection
        if connection is None:
            return
        self.got = True
        if self.large:
            connection.check(self.url, self.headers)
        self.reading = connection.choose(self.url, self.headers)
        if self.reading is None and not connection.by_asgi(self.url, self.headers):
            self.again = True
        else:
            self.body_open = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self.got = True
        if self.reading is not None:
            self.reading.take(body)
        elif self._connection is not None:
            self._connection.asgi_body(body)

    def past_parser(self, data: bytes) -> bytes | None:
        """Take what belongs to a large body; return what follows it, None while more is to come.

        For bytes that come when ``bulky``. The parser does not see the body's end then: it is of no
        more use.
        """
        cycle = self.reading
        assert cycle is not None  # noqa: S101  it is bulky
        cycle.past_parser = True
        left = cycle.left
        cycle.take(data if len(data) <= left else memoryview(data)[:left])
        if cycle.left:
            return None
        self.on_message_complete()
        return data[left:]

    @property
    def bulky(self) -> bool:
        """So much of a plain request's body is to come that the parser need not see it."""
        cycle = self.reading
        return cycle is not None and (cycle.past_parser or cycle.left > JOINED)

    def on_message_complete(self) -> None:
        """Start the request."""
        cycle, self.reading = self.reading, None
        self.body_open, self.got = False, True
        if self._connection is None or self.again:
            return
        if cycle is None:
            self._connection.asgi_complete()
        else:
            self._connection.run(cycle, cycle.body())


def head_of(answered: Answered, common: bytes, status: bytes, *, close: bool) -> bytes:
    """Return an answer's head: status line, what all answers have, its own headers."""
    tail = b"connection: close\r\n\r\n" if close else b"\r\n"
    return status + common + answered.headers + tail
