"""Clients that keep a gateway waiting or send too much of a head, in both lanes.

The limits are shortened, not waited for: what is tested is that each of them is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from klambda_gateway.wire import patience, server
from klambda_gateway.wire.patience import HEAD_MAX, Phase
from klambda_gateway.wire.server import HttpServer
from tests.integration.gateway_dataplane.lanes import PATH, Doors, doors, request
from tests.integration.gateway_dataplane.rig import until
from tests.integration.gateway_dataplane.test_connections import connected, server_of

pytestmark = pytest.mark.parametrize("lane", ["fast", "slow"])
WITHIN = 60.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SWEEP_TICKS", 1)


async def rest(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, str]]:
    """Everything up to the end of the connection: status line, and the body read as JSON."""
    text = await asyncio.wait_for(reader.read(), WITHIN)
    head, _, body = text.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], json.loads(body) if body else {}


@pytest.mark.parametrize("size", [HEAD_MAX + 1024, 1 << 20])
async def test_a_head_that_is_too_large(lane: str, size: int) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        writer.write(b"POST %b HTTP/1.1\r\nhost: x\r\nx-large: " % PATH.encode())
        writer.write(b"a" * size)  # and no end
        status, body = await rest(reader)
        assert status == b"HTTP/1.1 431 Request Header Fields Too Large"
        assert body == {"message": "Request line and headers must be smaller than 65536 bytes"}


async def test_a_head_of_many_small_lines(lane: str) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)
        assert (await rest(reader))[0].startswith(b"HTTP/1.1 431 ")


async def test_a_head_within_the_limit_passes(lane: str) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        large = request(b"1").replace(b"\r\n", b"\r\nx-large: " + b"a" * 60_000 + b"\r\n", 1)
        writer.write(large)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Amz-Meta: folded,\r\n as of old\r\n\r\n",  # RFC 9112, 5.2
    ],
)
async def test_what_is_no_http_is_answered_in_json(lane: str, raw: bytes) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        writer.write(raw)
        status, body = await rest(reader)
        assert status == b"HTTP/1.1 400 Bad Request"
        assert body["message"]


async def test_who_says_nothing_is_let_go(lane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SILENCE_S", 0.2)
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, _):
        assert await asyncio.wait_for(reader.read(), WITHIN) == b""


async def test_a_head_that_drips(lane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(patience.LIMITS_S, Phase.HEAD, 0.3)
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"a: b\r\n")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        try:
            status, body = await rest(reader)
        finally:
            dripping.cancel()
        assert status == b"HTTP/1.1 408 Request Timeout"
        assert body == {"message": "The request did not arrive in time."}


async def test_a_body_that_stops(lane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SILENCE_S", 0.3)
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        whole = request(b'"' + b"x" * 1000 + b'"')
        writer.write(whole[:-10])
        assert await asyncio.wait_for(reader.read(), WITHIN) == b""
        assert opened.gateway.admission.running() == 0
        assert opened.taken == []


async def test_a_body_that_drips(lane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(patience.LIMITS_S, Phase.BODY, 0.3)
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        whole = request(b'"' + b"x" * 5000 + b'"')
        writer.write(whole[:-4900])

        async def drip() -> None:
            for at in range(len(whole) - 4900, len(whole) - 1):
                writer.write(whole[at : at + 1])
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        try:
            with contextlib.suppress(ConnectionResetError):  # a drop that met a closed end
                assert await asyncio.wait_for(reader.read(), WITHIN) == b""
        finally:
            dripping.cancel()


async def test_a_slow_function_is_no_slow_client(
    lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doors() as opened:
        opened.world.may_start.clear()
        async with connected(server_of(opened, lane)) as (reader, writer):
            writer.write(request(b"1"))
            await until(lambda: any(pool.waiters for pool in opened.gateway.registry))
            monkeypatch.setattr(patience, "SILENCE_S", 0.0)
            monkeypatch.setitem(patience.LIMITS_S, Phase.BODY, 0.0)
            monkeypatch.setitem(patience.LIMITS_S, Phase.HEAD, 0.0)
            await asyncio.sleep(0.5)  # several sweeps
            opened.world.may_start.set()
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_an_idle_connection_is_keep_alives_business(
    lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        for _ in range(2):
            writer.write(request(b"1"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(1) == b"1"
            monkeypatch.setattr(patience, "SILENCE_S", 0.0)
            await asyncio.sleep(0.5)
            monkeypatch.setattr(patience, "SILENCE_S", 35.0)


async def test_a_body_that_does_not_come_does_not_hold_up_the_end(
    lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        ending = server_of(opened, lane)
        writer.write(request(b"12345")[:-2])
        connections = ending.server_state.connections
        await until(
            lambda: any(
                isinstance(each, patience.Patient) and each.phase() is Phase.BODY
                for each in connections
            )
        )
        ending.should_exit = True
        await until(lambda: not ending.servers[0].is_serving())
        monkeypatch.setattr(patience, "SILENCE_S", 0.2)
        assert await asyncio.wait_for(reader.read(), WITHIN) == b""


LARGE = b'"' + b"x" * 5_000_000 + b'"'
"""More than the sockets' buffers take."""


@contextlib.asynccontextmanager
async def taking_nothing(
    opened: Doors, lane: str
) -> AsyncIterator[tuple[asyncio.StreamReader, HttpServer]]:
    """A client with a large answer before it that it does not read."""
    server = server_of(opened, lane)
    async with connected(server, limit=1024) as (reader, writer):
        writer.transport.pause_reading()
        writer.write(request(LARGE))
        await until(
            lambda: any(
                each.transport.get_write_buffer_size() for each in server.server_state.connections
            )
        )
        yield reader, server


async def test_who_takes_nothing_of_his_answer_is_let_go(
    lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doors() as opened, taking_nothing(opened, lane) as (_, server):
        await asyncio.sleep(0.5)  # several sweeps
        assert server.server_state.connections, "he has some time"
        monkeypatch.setattr(patience, "SILENCE_S", 0.3)
        await until(lambda: not server.server_state.connections)
        assert opened.gateway.admission.running() == 0


async def test_who_takes_a_little_at_a_time_has_longer_but_not_for_ever(
    lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doors() as opened, taking_nothing(opened, lane) as (_, server):
        connection, transport = _seen(server, monkeypatch, range(1 << 20, 0, -1))
        began = connection.loop.time()
        for turn in range(29):
            connection.sweep(began + turn * (patience.SILENCE_S - 5))
        assert not transport.aborted
        connection.sweep(began + patience.BODY_S + 1)
        assert transport.aborted


async def test_a_pause_in_an_answer_under_way_may_last_as_long_as_a_run(
    lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doors() as opened, taking_nothing(opened, lane) as (_, server):
        connection, transport = _seen(server, monkeypatch, itertools.repeat(65_536))
        under_way = SimpleNamespace(response_complete=False, more_body=False)
        monkeypatch.setattr(connection, "cycle", under_way)
        began = connection.loop.time()
        for seconds in (0, patience.SILENCE_S + 10, patience.BODY_S - 10):
            connection.sweep(began + seconds)
        assert not transport.aborted
        connection.sweep(began + patience.BODY_S + 10)
        assert transport.aborted


async def test_who_takes_nothing_does_not_hold_up_the_end(
    lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doors() as opened, taking_nothing(opened, lane) as (_, server):
        server.should_exit = True
        await until(lambda: not server.servers[0].is_serving())
        monkeypatch.setattr(patience, "SILENCE_S", 0.2)
        await until(lambda: not server.server_state.connections)


class _Watched:
    """A transport of which so many bytes are left at each look."""

    def __init__(self, transport: Any, left: Iterable[int]) -> None:
        self._transport = transport
        self._left = iter(left)
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return next(self._left)

    def abort(self) -> None:
        self.aborted = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _seen(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, left: Iterable[int]
) -> tuple[patience.Patient, _Watched]:
    """Return the only connection, and its transport under watch."""
    [connection] = server.server_state.connections
    assert isinstance(connection, patience.Patient)
    transport = _Watched(connection.transport, left)
    monkeypatch.setattr(connection, "transport", transport)
    return connection, transport
