"""Bytes to a gateway's connections and answers back, exactly as they are cut and counted.

Bytes either go over the socket, or (to put each cut exactly where it shall be) straight into the
server's end of a real connection. Every conversation is read to its end; nothing is timed.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, cast

from klambda_gateway.api.app import build_app
from klambda_gateway.auth.gate import Gate
from klambda_gateway.bulk import whole
from klambda_gateway.wire.lane import Lane
from klambda_gateway.wire.lanes import Lanes
from klambda_gateway.wire.patience import Phase
from klambda_gateway.wire.plain import Starts
from klambda_gateway.wire.server import HttpServer
from klambda_gateway.wire.urllane import UrlLane
from tests.integration.gateway_dataplane import lanes
from tests.integration.gateway_dataplane.rig import until
from tests.integration.gateway_dataplane.simulator import echo
from tests.unit.gateway.urls.rig import NONE, World, host_of
from tests.unit.gateway_api import fakes

WITHIN: Final = 60.0
WAYS: Final = tuple(itertools.product(("invoke", "url", "event"), ("fast", "slow")))
"""By which front and lane a conversation is held."""
HIDDEN: Final = b'"hidden"'
"""The body of a request that nobody sent."""
FOLLOWER, PROBE = b'"follower"', b'"probe"'
CHUNKED: Final = b"Transfer-Encoding: chunked"
LAST_CHUNK: Final = b"0\r\n\r\n"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    body: bytes
    closes: bool


@dataclass(slots=True, kw_only=True)
class Front:
    """A function behind a server of each lane, as its callers see it."""

    servers: dict[str, HttpServer]
    line: bytes
    host: bytes
    fields: bytes
    """Lines of a good head, but for the host and what is said of the body."""
    seen: Callable[[], list[bytes]]
    """Take the bodies that the function was given, or its queue."""
    well: int = 200
    """What says that it was."""
    echoes: bool = False
    world: Any = None
    """What stands behind a URL."""

    def head(self, *lines: bytes, line: bytes = b"", host: bytes | None = None) -> bytes:
        """Return a head with these lines."""
        named = b"Host: %b\r\n" % (self.host if host is None else host) if host != b"-" else b""
        said = b"".join([each + b"\r\n" for each in lines])
        return (line or self.line) + b"\r\n" + named + self.fields + said + b"\r\n"

    def good(self, body: bytes, *lines: bytes) -> bytes:
        """Return a good request."""
        return self.head(*lines, b"Content-Length: %d" % len(body)) + body

    async def told(
        self, lane: str, segments: Sequence[bytes], *, direct: bool, hang_up: bool = False
    ) -> list[Answer]:
        """Send, and read all answers up to the connection's end.

        ``hang_up``: when the server waits for more, there is no more.
        """
        server = self.servers[lane]
        before = set(server.server_state.connections)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 25)
        try:
            if direct:
                [its] = await appeared(server, before)
                told = _feed(its, writer, segments, hang_up=hang_up)
            else:
                told = _send(writer, segments)
            sending = asyncio.create_task(told)
            async with asyncio.timeout(WITHIN):
                answers = [each async for each in answers_of(reader)]
            if direct:
                await sending
            sending.cancel()
            return answers
        finally:
            writer.transport.abort()


async def appeared(server: HttpServer, before: set[Any]) -> set[Any]:
    """Wait for a server's end of a new connection.

    A client's port does not tell: one that was cut may be in use again before the server knows.
    """
    await until(lambda: bool(server.server_state.connections - before))
    return server.server_state.connections - before


async def _send(writer: asyncio.StreamWriter, segments: Sequence[bytes]) -> None:
    for segment in segments:
        writer.write(segment)
        await writer.drain()


async def _feed(
    connection: Any, writer: asyncio.StreamWriter, segments: Sequence[bytes], *, hang_up: bool
) -> None:
    for segment in segments:
        if connection.transport.is_closing():
            return  # as a transport does that reads no more
        connection.data_received(segment)
        for _ in range(3):
            await asyncio.sleep(0)
    if hang_up:
        await until(lambda: _waits(connection))
        for _ in range(50):  # whoever answers without a body that is to come does it at once
            await asyncio.sleep(0)
        writer.write_eof()


def _waits(connection: Any) -> bool:
    """Tell whether the server says no more unless more comes."""
    under_way = connection.phase() is Phase.NOTHING and not connection.is_idle()
    return bool(connection.transport.is_closing() or not under_way)


async def answers_of(reader: asyncio.StreamReader) -> AsyncIterator[Answer]:
    """Read answers up to the end."""
    while True:
        if reader.at_eof():
            return
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise
            return
        status, fields = int(head[9:12]), head.lower().split(b"\r\n")
        closes = b"connection: close" in fields
        length = next((int(f[15:]) for f in fields if f.startswith(b"content-length:")), 0)
        body = await reader.readexactly(length)
        if b"transfer-encoding: chunked" in fields:
            body = await _chunks(reader)
        yield Answer(status, body, closes)


def chunks(pieces: Iterable[bytes], *, size: bytes = b"%x") -> bytes:
    """Return pieces of a body as chunks; the last one is not among them."""
    return b"".join([size % len(piece) + b"\r\n%b\r\n" % piece for piece in pieces])


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    pieces = []
    while size := int(await reader.readline(), 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    assert await reader.readline() == b"\r\n"
    return b"".join(pieces)


@asynccontextmanager
async def invoked() -> AsyncIterator[Front]:
    """A function that is invoked by name."""
    events: list[bytes] = []

    async def handle(event: bytes) -> bytes:
        events.append(event)
        return await echo(event)

    async with lanes.doors() as opened:
        opened.world.handler = handle
        yield Front(
            servers={"fast": opened.fast, "slow": opened.slow},
            **_signed(),
            seen=lambda: _taken(events),
            echoes=True,
        )


@asynccontextmanager
async def queued() -> AsyncIterator[Front]:
    """A function that is invoked by name, later."""
    world = fakes.World()
    one_key = Gate(
        fakes.OneKey(), region=fakes.REGION, account_of=lambda _: fakes.ACCOUNT,
        now=lambda: lanes.NOW,
    )  # fmt: skip
    served = replace(world.services, gate=one_key)
    invocations = Lane(served, cast("Starts", None))
    lane = Lanes(invocations, lanes.no_urls())
    servers = {
        "fast": HttpServer(build_app(served), port=0, grace_seconds=1, lane=lane),
        "slow": HttpServer(build_app(served), port=0, grace_seconds=1),
    }
    async with lanes.serving(*servers.values()):
        yield Front(
            servers=servers,
            **_signed(("X-Amz-Invocation-Type", "Event")),
            seen=lambda: [each.payload for each in _taken(world.events.events)],
            well=202,
        )


def _signed(*headers: tuple[str, str]) -> dict[str, Any]:
    head = lanes.request(b"", length=False, headers=[UNSIGNED, *headers])
    line, host, *fields = head.rstrip().split(b"\r\n")
    return {
        "line": line,
        "host": host.partition(b": ")[2],
        "fields": b"".join([each + b"\r\n" for each in fields]),
    }


UNSIGNED: Final = ("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")


@asynccontextmanager
async def visited() -> AsyncIterator[Front]:
    """A function that has a URL."""
    world = World()
    host = host_of(world.function(url=NONE))
    invocations = Lane(fakes.World().services, cast("Starts", None), is_url=world.door.is_url)
    lane = Lanes(invocations, UrlLane(world.door, world.invoker, world))
    servers = {
        "fast": HttpServer(world.front, port=0, grace_seconds=1, lane=lane),
        "slow": HttpServer(world.front, port=0, grace_seconds=1),
    }
    async with lanes.serving(*servers.values()):
        yield Front(
            servers=servers,
            line=b"POST /a HTTP/1.1",
            host=host.encode(),
            fields=b"X-A: b\r\n",
            seen=lambda: [_body(each.payload) for each in _taken(world.invoker.requests)],
            world=world,
        )


@asynccontextmanager
async def fronts() -> AsyncIterator[dict[str, Front]]:
    """All of them."""
    async with AsyncExitStack() as stack:
        yield {
            "invoke": await stack.enter_async_context(invoked()),
            "url": await stack.enter_async_context(visited()),
            "event": await stack.enter_async_context(queued()),
        }


def _body(payload: Any) -> bytes:
    event = json.loads(whole(payload))
    assert "late" not in event["headers"], "a trailer is no header"
    body: str = event.get("body", "")
    return base64.b64decode(body) if event["isBase64Encoded"] else body.encode()


def _taken(events: list[Any]) -> list[Any]:
    taken = events[:]
    events.clear()
    return taken


class Opened:
    """Fronts in a loop of their own."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._context: AbstractAsyncContextManager[dict[str, Front]] = fronts()
        self.fronts = runner.run(self._context.__aenter__())
        self._runner = runner

    def run(self, talk: Coroutine[Any, Any, T]) -> T:
        """Run in that loop."""
        return self._runner.run(talk)

    def told(
        self,
        front: str,
        lane: str,
        segments: Sequence[bytes],
        *,
        direct: bool,
        hang_up: bool = False,
    ) -> tuple[list[Answer], list[bytes]]:
        """Return the answers, and what the function saw."""
        its = self.fronts[front]
        its.seen()
        answers = self._runner.run(its.told(lane, segments, direct=direct, hang_up=hang_up))
        return answers, its.seen()

    def close(self) -> None:
        self._runner.run(self._context.__aexit__(None, None, None))
