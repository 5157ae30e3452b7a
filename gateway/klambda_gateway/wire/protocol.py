"""uvicorn's HTTP protocol with a fast lane: plain invocations run below ASGI.

    head read ─► plain, and nothing else under way? ─no─► uvicorn's own way, unchanged
                    │yes
    body read ─► lane.begin ─declined─► uvicorn's own way, with the body
                    │story
    outcome ─► one write ─► next request, or close

Place: ``wire.server`` gives uvicorn a class made here. One parser reads both lanes' requests, so
that what one lane takes for a request's end, the other does. Invariants: answers leave in the order
of their requests: behind a plain one under way, a pipelined one waits in uvicorn's own queue; when
the connection ends, its invocation's wait does; uvicorn's limits, keep-alive time and graceful end
hold for both lanes.
Not here: what is plain and what it means (``lane``).
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from klambda_gateway.invoke.story import Story
from klambda_gateway.wire.access import Access, AccessLog, client_of
from klambda_gateway.wire.lane import Answered, Lane, Plain
from klambda_gateway.wire.lingering import Lingering
from klambda_gateway.wire.patience import Patient, Phase
from klambda_obs import logs

HASHED_WHOLE: Final = 64 << 10
"""Longer bodies are hashed piece by piece as they arrive: the loop is never held for long."""
JOINED: Final = 64 << 10
"""Longer bodies are not copied to stand behind their heads."""
TIMER_SLACK_S: Final = 0.05

_log = logs.get("klambda.gateway.wire")


class _Unheard:
    """Stands for the event by which uvicorn wakes an ASGI application."""

    def set(self) -> None:
        """Wake nobody."""


_UNHEARD = _Unheard()


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
        self.hash = hashlib.sha256() if plain.hashed and plain.length > HASHED_WHOLE else None
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
            return self.hash.hexdigest()
        return hashlib.sha256(body).hexdigest() if self.plain.hashed else ""


class TwoLanes(Patient):
    """One connection."""

    lane: Lane
    lingering: Lingering
    access: AccessLog | None
    _common: tuple[object, bytes] = (None, b"")
    """The headers of all answers, and the same rendered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading: Cycle | None = None
        """The plain request whose body is being read."""
        self._running: Cycle | None = None
        """The plain request that is not answered yet."""
        self._idle_since: float | None = None

    def phase(self) -> Phase:
        """See ``patience``."""
        cycle: Any = self.cycle
        if self._reading is not None:
            return Phase.BODY
        if cycle is not None and not cycle.response_complete:
            more = self._running is None and cycle.more_body
            return Phase.BODY if more else Phase.NOTHING
        return Phase.HEAD if self._idle_since is None else Phase.NOTHING

    # --- the parser's callbacks -------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request; uvicorn's scope is made only for the requests that take its way."""
        self.url = b""
        self.headers = []
        self._reading = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Choose the lane."""
        plain = self._look()
        if plain is None:
            self._by_asgi()
        else:
            self._reading = self._running = Cycle(plain, keep_alive=self.parser.should_keep_alive())
            self.cycle = self._running  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._reading is not None:
            self._reading.take(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Start a plain request."""
        cycle = self._reading
        if cycle is None:
            super().on_message_complete()
            return
        self._reading = None
        body = cycle.body()
        if not self._begin(cycle, body):
            self._running = None
            cycle.response_complete = True  # so that uvicorn does not queue up behind it
            self._by_asgi(keep_alive=cycle.keep_alive)
            super().on_body(body)
            super().on_message_complete()

    # --- the fast lane ----------------------------------------------------------------------------

    def _look(self) -> Plain | None:
        parser = self.parser
        cycle: Any = self.cycle  # none before the first request
        if (
            parser.get_method() != b"POST"
            or (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
        ):
            return None
        return self.lane.look(self.url, self.headers)

    def _begin(self, cycle: Cycle, body: bytes) -> bool:
        try:
            story = self.lane.begin(
                cycle.plain,
                body,
                cycle.digest(body),
                lambda answered: self._respond(cycle, answered),
            )
        except Exception:  # noqa: BLE001  a bug of ours; it may have started: never a second run
            _log.exception("fast-lane-failed")
            self.transport.close()
            return True
        if not cycle.response_complete:
            cycle.story = story
        return story is not None

    def _respond(self, cycle: Cycle, answered: Answered) -> None:
        self._running = None
        cycle.response_complete = True
        cycle.story = None
        transport = self.transport
        if not transport.is_closing():
            close = not cycle.keep_alive or self.lingering.on
            head = self._head(answered, close=close)
            if len(answered.body) <= JOINED:
                transport.write(head + answered.body)
            else:
                transport.write(head)
                transport.write(answered.body)
            if close:
                transport.close()
        if self.access is not None:
            self.access.note(self._accessed(cycle, answered))
        self.on_response_complete()

    def _accessed(self, cycle: Cycle, answered: Answered) -> Access:
        return Access(
            client=client_of(self.client),
            method="POST",
            path=cycle.plain.asked.path.decode("latin-1"),
            status=answered.status,
            request_id=answered.request_id,
            received=cycle.plain.length,
            sent=len(answered.body),
            seconds=time.monotonic() - cycle.began,
            lane="fast",
        )

    def _head(self, answered: Answered, *, close: bool) -> bytes:
        tail = "connection: close\r\n\r\n" if close else "\r\n"
        text = f"{answered.headers}content-length: {len(answered.body)}\r\n{tail}"
        start = STATUS_LINE[answered.status] + self._common_headers()
        return start + text.encode("latin-1")

    def _common_headers(self) -> bytes:
        """Render what uvicorn puts into every answer: the date, each second anew."""
        headers = self.server_state.default_headers
        known = self._common
        if known[0] is not headers:
            text = b"".join([b"%b: %b\r\n" % each for each in headers])
            known = type(self)._common = (headers, text)
        return known[1]

    # --- uvicorn's lane ---------------------------------------------------------------------------

    def _by_asgi(self, *, keep_alive: bool | None = None) -> None:
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()
        if keep_alive is not None:
            self.cycle.keep_alive = keep_alive

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait of what runs."""
        running, self._running = self._running, None
        if running is not None and running.story is not None:
            running.story.cancel()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)

    # --- keep-alive: one timer per connection, not one per request --------------------------------

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def on_response_complete(self) -> None:
        """Go on with what is pipelined, or wait for the next request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_for_the_next(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close when nothing has come for so long, else look again."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None:
            return  # busy: the next answer sets the timer
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > TIMER_SLACK_S:
            self._wait_for_the_next(left)
        else:
            super().timeout_keep_alive_handler()

    def _wait_for_the_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )


def two_lanes(lane: Lane, lingering: Lingering, access: AccessLog | None = None) -> type[TwoLanes]:
    """Return the class that uvicorn makes one of for each connection."""
    members = {"lane": lane, "lingering": lingering, "access": access}
    return type("Connection", (TwoLanes,), members)
