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
Not here: what is plain and what it means (``lanes``).
"""

from __future__ import annotations

import time
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from klambda_core import errors
from klambda_gateway.bulk import JOINED, Body, pieces_of, whole
from klambda_gateway.wire.access import Access, AccessLog, client_of
from klambda_gateway.wire.expectation import closes_unless_continued
from klambda_gateway.wire.heads import Malformed, checked, size_of, without_upgrade
from klambda_gateway.wire.incoming import Cycle, Incoming, head_of
from klambda_gateway.wire.lingering import Lingering
from klambda_gateway.wire.patience import HEAD_MAX, Patient
from klambda_gateway.wire.plain import Answered, FastLane, Plain
from klambda_obs import logs

TIMER_SLACK_S: Final = 0.05
QUEUED_MAX: Final = 4
"""Requests behind the one that runs; with so many no more is read."""
NO_HTTP: Final = "Invalid HTTP request received."

_log = logs.get("klambda.gateway.wire")


class Closed(Exception):
    """The connection is at its end: what follows is no request any more (RFC 9112, 9.6)."""


class TwoLanes(Patient):
    """One connection."""

    lane: FastLane
    lingering: Lingering
    access: AccessLog | None
    _common: tuple[object, bytes] = (None, b"")
    """The headers of all answers, and the same rendered."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._incoming = Incoming(self)
        self.parser = _parser(self._incoming)
        self._running: Cycle | None = None
        """The plain request that is not answered yet."""
        self._idle_since: float | None = None
        self._ending = False

    def is_idle(self) -> bool:
        """See ``patience``."""
        return self._idle_since is not None

    def body_is_open(self) -> bool:
        """See ``parting``."""
        return self._incoming.body_open

    # --- what comes in: see ``incoming`` ----------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Take bytes: what belongs to a large body past the parser, else through it."""
        incoming = self._incoming
        if incoming.bulky:
            rest = incoming.past_parser(data)
            if rest is None:
                return
            self.parser = _parser(incoming)
            if not rest:
                return
            data = rest
        self._idle_since = None
        incoming.got, incoming.large = False, self.head_grows(len(data))
        self._parse(data)
        self.head_came(len(data), got=incoming.got)

    def _parse(self, data: bytes) -> None:
        left: bytes | memoryview = data
        try:
            while left:
                try:
                    self.parser.feed_data(left)
                except httptools.HttpParserUpgrade as upgrade:
                    left = memoryview(left)[upgrade.args[0] :]
                    self._ignore_upgrade()
                else:
                    return
        except httptools.HttpParserError as error:
            cause = error.__context__
            known = cause.error if isinstance(cause, Malformed) else None
            self._refuse(known or errors.serialization(NO_HTTP))

    def _ignore_upgrade(self) -> None:
        """Let the parser read a head again, without what made it stop."""
        incoming, parser = self._incoming, self.parser
        head = without_upgrade(
            parser.get_method(), incoming.url, parser.get_http_version(), incoming.headers
        )
        self.parser = _parser(incoming)
        self.parser.feed_data(head)

    def check(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """See whether a head is too large. Raises Malformed."""
        if size_of(url, headers) > HEAD_MAX:
            raise Malformed(errors.head_too_large(HEAD_MAX))

    def choose(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> Cycle | None:
        """Begin a plain request. Raises Closed."""
        if self.transport.is_closing():
            raise Closed
        plain = self._look(url, headers)
        if plain is None:
            return None
        self._running = cycle = Cycle(plain, keep_alive=self.parser.should_keep_alive())
        self.cycle = self._answering = cycle  # type: ignore[assignment]
        return cycle

    def run(self, cycle: Cycle, body: Body) -> None:
        """Start a plain request."""
        if not self._begin(cycle, body):
            self._running = None
            cycle.response_complete = True  # so that uvicorn does not queue up behind it
            self._to_uvicorn(self._incoming.url, self._incoming.headers)
            self.cycle.keep_alive = cycle.keep_alive  # the parser may know no more
            super().on_body(whole(body))
            super().on_message_complete()

    def asgi_body(self, body: bytes) -> None:
        """Take a piece of the body of another one."""
        super().on_body(body)

    def asgi_complete(self) -> None:
        """Note that another one is there completely."""
        super().on_message_complete()

    # --- the fast lane ----------------------------------------------------------------------------

    def _look(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> Plain | None:
        parser = self.parser
        cycle: Any = self.cycle  # none before the first request
        if (
            (cycle is not None and not cycle.response_complete)
            or self.flow.write_paused
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
        ):
            return None
        return self.lane.look(parser.get_method(), url, headers)

    def _begin(self, cycle: Cycle, body: Body) -> bool:
        try:
            story = self.lane.begin(
                cycle.plain,
                body,
                cycle.digest(body),
                (self.client or ("",))[0],
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
            status, common = STATUS_LINE[answered.status], self._common_headers()
            head = head_of(answered, common, status, close=close)
            if len(answered.body) <= JOINED:
                transport.write(head + whole(answered.body))
            else:
                transport.writelines((head, *pieces_of(answered.body)))
            if close:
                transport.close()
        if self.access is not None:
            self.access.note(self._accessed(cycle, answered))
        self.on_response_complete()

    def _accessed(self, cycle: Cycle, answered: Answered) -> Access:
        return Access(
            client=client_of(self.client),
            method=cycle.plain.method.decode(),
            path=cycle.plain.path.decode("latin-1"),
            status=answered.status,
            request_id=answered.request_id,
            received=cycle.plain.length,
            sent=len(answered.body),
            seconds=time.monotonic() - cycle.began,
            lane="fast",
        )

    def _common_headers(self) -> bytes:
        """Render what uvicorn puts into every answer: the date, each second anew."""
        headers = self.server_state.default_headers
        known = self._common
        if known[0] is not headers:
            text = b"".join([b"%b: %b\r\n" % each for each in headers])
            known = type(self)._common = (headers, text)
        return known[1]

    # --- uvicorn's lane ---------------------------------------------------------------------------

    def by_asgi(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
        """Begin a request in uvicorn's way; False: not yet. Raises Malformed."""
        parser = self.parser
        if parser.should_upgrade() and parser.get_method() != b"CONNECT":
            return False
        self._to_uvicorn(*checked(parser.get_method(), url, parser.get_http_version(), headers))
        return True

    def _to_uvicorn(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1
        super().on_headers_complete()
        if self.expect_100_continue:
            closes_unless_continued(self.cycle, lambda: self._ending)
        if self.pipeline and len(self.pipeline) < QUEUED_MAX:
            self.flow.resume_reading()  # who does not read hears of no hanging up

    def shutdown(self) -> None:
        """Keep the connection no longer than for what runs."""
        self._ending = True
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the wait of what runs."""
        running, self._running = self._running, None
        if running is not None and running.story is not None:
            running.story.cancel()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._incoming.end()

    # --- keep-alive: one timer per connection, not one per request --------------------------------

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
        if self._last_word is not None:
            self._part()
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


def _parser(incoming: Incoming) -> Any:
    """Return a parser as uvicorn makes it."""
    parser = httptools.HttpRequestParser(incoming)
    # What follows a "Connection: close" is no error: the request before it is answered.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def two_lanes(
    lane: FastLane, lingering: Lingering, access: AccessLog | None = None
) -> type[TwoLanes]:
    """Return the class that uvicorn makes one of for each connection."""
    members = {"lane": lane, "lingering": lingering, "access": access}
    return type("Connection", (TwoLanes,), members)
