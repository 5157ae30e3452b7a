"""Bytes to a gateway's connections and answers back, exactly as they are cut and counted.

Bytes either go over the socket, or (to put each cut exactly where it shall be) straight into the
server's end of a real connection. Every conversation is read to its end; nothing is timed.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

from klambda_gateway.bulk import whole
from klambda_gateway.wire.lane import Lane
from klambda_gateway.wire.lanes import Lanes
from klambda_gateway.wire.plain import Starts
from klambda_gateway.wire.server import HttpServer
from klambda_gateway.wire.urllane import UrlLane
from tests.integration.gateway_dataplane import lanes
from tests.integration.gateway_dataplane.rig import until
from tests.integration.gateway_dataplane.simulator import echo
from tests.unit.gateway.urls.rig import NONE, World, host_of
from tests.unit.gateway_api import fakes

WITHIN: Final = 60.0


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
    """Take the bodies that the function was given."""

    def head(self, *lines: bytes, line: bytes = b"", host: bytes | None = None) -> bytes:
        """Return a head with these lines."""
        named = b"Host: %b\r\n" % (self.host if host is None else host) if host != b"-" else b""
        said = b"".join([each + b"\r\n" for each in lines])
        return (line or self.line) + b"\r\n" + named + self.fields + said + b"\r\n"

    def good(self, body: bytes, *lines: bytes) -> bytes:
        """Return a good request."""
        return self.head(*lines, b"Content-Length: %d" % len(body)) + body

    async def told(self, lane: str, segments: Sequence[bytes], *, direct: bool) -> list[Answer]:
        """Send, and read all answers up to the connection's end."""
        server = self.servers[lane]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 25)
        try:
            sending = asyncio.create_task(_send(server, writer, segments, direct=direct))
            async with asyncio.timeout(WITHIN):
                answers = [each async for each in _answers(reader)]
            sending.cancel()
            return answers
        finally:
            writer.transport.abort()


async def _send(
    server: HttpServer, writer: asyncio.StreamWriter, segments: Sequence[bytes], *, direct: bool
) -> None:
    if not direct:
        for segment in segments:
            writer.write(segment)
            await writer.drain()
        return
    port = writer.get_extra_info("sockname")[1]

    def its() -> Any:
        every: Any = server.server_state.connections
        return next((each for each in every if each.client and each.client[1] == port), None)

    await until(lambda: its() is not None)
    connection = its()
    for segment in segments:
        if connection.transport.is_closing():
            return  # as a transport does that reads no more
        connection.data_received(segment)
        for _ in range(3):
            await asyncio.sleep(0)


async def _answers(reader: asyncio.StreamReader) -> AsyncIterator[Answer]:
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
        yield Answer(status, await reader.readexactly(length), closes)


@asynccontextmanager
async def invoked() -> AsyncIterator[Front]:
    """A function that is invoked by name."""
    events: list[bytes] = []

    async def handle(event: bytes) -> bytes:
        events.append(event)
        return await echo(event)

    async with lanes.doors() as opened:
        opened.world.handler = handle
        head = lanes.request(b"", length=False, headers=[UNSIGNED])
        line, host, *fields = head.rstrip().split(b"\r\n")
        yield Front(
            servers={"fast": opened.fast, "slow": opened.slow},
            line=line,
            host=host.partition(b": ")[2],
            fields=b"".join([each + b"\r\n" for each in fields]),
            seen=lambda: _taken(events),
        )


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
        )


@asynccontextmanager
async def fronts() -> AsyncIterator[dict[str, Front]]:
    """Both."""
    async with AsyncExitStack() as stack:
        yield {
            "invoke": await stack.enter_async_context(invoked()),
            "url": await stack.enter_async_context(visited()),
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
