"""What a connection may do, in both lanes: stay, go away, pipeline, stall, outlive the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from klambda_core.limits import PAYLOAD_SYNC_MAX
from klambda_gateway.instances.call import Call
from klambda_gateway.instances.frames import Frame
from klambda_gateway.invoke.service import BODIES_LIMIT
from klambda_gateway.invoke.story import Story
from klambda_gateway.wire.incoming import Cycle
from klambda_gateway.wire.server import HttpServer
from tests.integration.gateway_dataplane.lanes import Doors, doors, request
from tests.integration.gateway_dataplane.rig import until

pytestmark = pytest.mark.parametrize("lane", ["fast", "slow"])
PATIENCE_S = 60.0


def server_of(opened: Doors, lane: str) -> HttpServer:
    return opened.fast if lane == "fast" else opened.slow


@contextlib.asynccontextmanager
async def connected(server: HttpServer, limit: int = 1 << 24):  # type: ignore[no-untyped-def]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one answer: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


async def test_a_connection_serves_many_requests(lane: str) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        for number in range(50):
            writer.write(request(b"%d" % number))
            head, body = await answer(reader)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nconnection:" not in head
            assert body == b"%d" % number
        assert opened.world.starts == [1]
        assert bool(opened.taken) is (lane == "fast")


async def test_pipelined_requests_are_answered_in_order(lane: str) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        writer.write(b"".join(request(b"%d" % number) for number in range(20)))
        bodies = [(await answer(reader))[1] for _ in range(20)]
        assert bodies == [b"%d" % number for number in range(20)]


async def test_the_largest_bodies_pass_both_ways(lane: str) -> None:
    event = b'"' + b"x" * (PAYLOAD_SYNC_MAX - 2) + b'"'
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        for _ in range(2):
            writer.write(request(event))
            _, body = await answer(reader)
            assert body == event
        assert opened.gateway.service.in_flight() == 0


async def test_a_reader_that_stalls_gets_all_of_it_later(lane: str) -> None:
    event = b'"' + b"x" * 4_000_000 + b'"'
    async with doors() as opened:
        server = server_of(opened, lane)
        async with connected(server, limit=1024) as (reader, writer):
            writer.write(request(event) * 3)
            await until(lambda: any(each.runs for each in opened.world.instances.values()))
            await asyncio.sleep(0.2)
            for _ in range(3):
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"content-length: 4000002" in head
                assert await reader.readexactly(len(event)) == event


async def test_who_goes_away_frees_his_place_and_his_instance_is_told(lane: str) -> None:
    async with doors() as opened:
        opened.world.may_start.clear()
        async with connected(server_of(opened, lane)) as (_, writer):
            writer.write(request())
            await until(lambda: any(pool.waiters for pool in opened.gateway.registry))
        await until(lambda: not any(pool.waiters for pool in opened.gateway.registry))
        assert opened.gateway.admission.running() == 0
        opened.world.may_start.set()
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(event: bytes) -> bytes:
            begun.set()
            await go_on.wait()
            return event

        opened.world.handler = slowly
        async with connected(server_of(opened, lane)) as (_, writer):
            writer.write(request())
            await asyncio.wait_for(begun.wait(), PATIENCE_S)
            assert opened.gateway.service.in_flight() == 1
        await asyncio.sleep(0.05)
        assert opened.gateway.service.in_flight() == 1, "what runs, runs on"
        go_on.set()
        await until(lambda: opened.gateway.service.in_flight() == 0)
        assert opened.gateway.admission.running() == 0


async def test_an_idle_connection_is_closed_in_its_time_and_a_busy_one_is_not(lane: str) -> None:
    async with (
        doors(keep_alive=2) as opened,
        connected(server_of(opened, lane)) as (reader, writer),
    ):

        async def slowly(event: bytes) -> bytes:
            await asyncio.sleep(2.2 if event == b"1" else 0)
            return event

        opened.world.handler = slowly
        for event in (b"0", b"1"):  # the second takes longer than the keep-alive time
            writer.write(request(event))
            assert (await answer(reader))[1] == event
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b"", "closed when nothing came"


async def test_while_a_gateway_lingers_answers_end_their_connections(lane: str) -> None:
    async with doors() as opened:
        server = server_of(opened, lane)
        async with connected(server) as (reader, writer):
            writer.write(request())
            await answer(reader)
            server.lingering.on = True
            writer.write(request(b"1"))
            head, body = await answer(reader)
            assert head.endswith(b"connection: close\r\n\r\n")
            assert body == b"1"
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""


async def test_a_request_under_way_outlives_the_end_of_listening(lane: str) -> None:
    async with doors() as opened:
        server = server_of(opened, lane)
        go_on = asyncio.Event()

        async def slowly(event: bytes) -> bytes:
            await go_on.wait()
            return event

        opened.world.handler = slowly
        async with connected(server) as (reader, writer):
            writer.write(request())
            await until(lambda: opened.gateway.service.in_flight() == 1)
            server.should_exit = True
            await asyncio.sleep(0.3)
            go_on.set()
            head, body = await answer(reader)
            assert b"connection: close\r\n" in head
            assert body == b"{}"
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""


async def test_a_half_closed_connection_counts_as_gone(lane: str) -> None:
    async with doors() as opened:
        opened.world.may_start.clear()
        async with connected(server_of(opened, lane)) as (reader, writer):
            writer.write(request())
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        assert opened.gateway.admission.running() == 0


async def test_bodies_in_flight_are_bounded(lane: str) -> None:
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        opened.gateway.service._bodies = BODIES_LIMIT - 1000  # others' requests
        writer.write(request(b'"' + b"x" * 1000 + b'"'))
        head, _ = await answer(reader)
        assert head.startswith(b"HTTP/1.1 503 ")
        writer.write(request(b"1"))
        assert (await answer(reader))[1] == b"1"


async def test_what_a_request_held_goes_without_the_cycle_collector(lane: str) -> None:
    event = b'"' + b"x" * 100_000 + b'"'
    async with doors() as opened, connected(server_of(opened, lane)) as (reader, writer):
        writer.write(request(event))
        await answer(reader)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(10):
                writer.write(request(event))
                await answer(reader)
            await until(lambda: opened.gateway.service.in_flight() == 0)
            gc.collect()
            left = [each for each in gc.garbage if isinstance(each, Story | Call | Cycle | Frame)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not left
