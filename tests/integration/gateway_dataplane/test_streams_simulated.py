"""Streamed answers through a gateway's data plane: real sockets and frames, simulated instances."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from klambda_core.errors import LambdaError
from klambda_gateway.instances.frames import PIECE
from klambda_gateway.instances.streamed import WINDOW, Ending
from klambda_gateway.invoke.model import InvokeStream
from tests.integration.gateway_dataplane.rig import World, running, until
from tests.integration.gateway_dataplane.simulator import Outlet


async def whole(stream: InvokeStream) -> bytes:
    return b"".join([piece async for piece in stream.pieces()])


async def warm(world: World, streamer: Any) -> None:
    """Have one instance that streams so."""
    await world.gateways[0].invoke()
    world.only().streamer = streamer


async def test_pieces_come_while_the_function_runs() -> None:
    go_on = asyncio.Event()

    async def slowly(outlet: Outlet) -> dict[str, Any]:
        await outlet.write(b"first")
        await go_on.wait()
        await outlet.write(b"second")
        return {}

    async with running() as world:
        await warm(world, slowly)
        stream = await world.gateways[0].stream(log_tail=True)
        assert stream.opening.content_type == "text/plain"
        assert stream.executed_version == "$LATEST"
        pieces = stream.pieces()
        assert await anext(pieces) == b"first"
        go_on.set()
        assert [piece async for piece in pieces] == [b"second"]
        assert stream.ending == Ending(log_tail=b"the log")
        await until(lambda: world.gateways[0].service.in_flight() == 0)
        assert world.gateways[0].admission.running() == 0


async def test_a_slow_reader_holds_the_function_and_nobody_else() -> None:
    async def pour(outlet: Outlet) -> dict[str, Any]:
        for _ in range(64):
            await outlet.write(bytes(PIECE))
        return {}

    async with running() as world:
        await warm(world, pour)
        gateway = world.gateways[0]
        stream = await gateway.stream()
        pieces = stream.pieces()
        taken = len(await anext(pieces))
        (outlet,) = world.only().outlets.values()
        await until(lambda: outlet.credit <= 0)
        assert outlet.written <= WINDOW + PIECE
        assert (await gateway.invoke(b"2")).payload == b"2", "on another instance"
        async for piece in pieces:
            taken += len(piece)
            assert outlet.written - taken <= WINDOW + 2 * PIECE
        assert taken == 64 * PIECE


async def test_a_stream_counts_as_running_until_its_end() -> None:
    go_on = asyncio.Event()

    async def slowly(outlet: Outlet) -> dict[str, Any]:
        await outlet.write(b"first")
        await go_on.wait()
        return {}

    async with running() as world:
        await warm(world, slowly)
        gateway = world.gateways[0]
        assert gateway.function is not None
        gateway.switch(next(iter(world.deployments)), reserved=1)
        stream = await gateway.stream()
        pieces = stream.pieces()
        assert await anext(pieces) == b"first"
        assert gateway.admission.running() == 1
        with pytest.raises(LambdaError) as refused:
            await gateway.invoke(b"2")
        assert refused.value.status == 429
        go_on.set()
        assert [piece async for piece in pieces] == []
        await until(lambda: gateway.admission.running() == 0)
        assert (await gateway.invoke(b"2")).payload == b"2"


async def test_a_function_that_does_not_stream() -> None:
    async with running() as world:
        stream = await world.gateways[0].stream(b'"' + bytes(b"x" * 200_000) + b'"')
        assert len(await whole(stream)) == 200_002
        assert stream.ending == Ending()


async def test_an_error_before_the_head_and_one_after_it() -> None:
    async def fail(_: bytes) -> bytes:
        raise ValueError("boom")

    async def fail_late(outlet: Outlet) -> dict[str, Any]:
        await outlet.write(b"part")
        return {"functionError": "Unhandled", "errorDetails": "{}"}

    async with running() as world:
        world.handler = fail
        stream = await world.gateways[0].stream()
        assert stream.opening.function_error == "Unhandled"
        assert await whole(stream) == b""
        assert stream.ending.function_error == "Unhandled"
        assert stream.ending.details == '{"errorMessage": "boom", "errorType": "ValueError"}'
        world.only().streamer = fail_late
        stream = await world.gateways[0].stream()
        assert await whole(stream) == b"part"
        assert stream.ending == Ending(function_error="Unhandled", details="{}")


async def test_bad_json_costs_no_instance_here_either() -> None:
    async with running() as world:
        with pytest.raises(LambdaError, match="Could not parse request body into json"):
            await world.gateways[0].stream(b"{")
        assert world.starts == []


async def test_a_reader_who_goes_away_lets_the_function_finish() -> None:
    async def pour(outlet: Outlet) -> dict[str, Any]:
        for _ in range(64):
            await outlet.write(bytes(PIECE))
        return {}

    async with running() as world:
        await warm(world, pour)
        gateway = world.gateways[0]
        stream = await gateway.stream()
        await anext(stream.pieces())
        stream.close()
        stream.close()
        await until(lambda: gateway.service.in_flight() == 0)
        (outlet,) = world.only().outlets.values()
        assert outlet.written == 64 * PIECE
        assert (await gateway.invoke(b"2")).payload == b"2"
        assert world.starts == [1], "the instance is free again"


@pytest.mark.parametrize(
    ("terminated", "error"), [(None, "Sandbox.Failure"), ("OOMKilled", "Runtime.ExitError")]
)
async def test_an_instance_lost_in_the_middle_is_an_ending(
    terminated: str | None, error: str
) -> None:
    async def stall(outlet: Outlet) -> dict[str, Any]:
        await outlet.write(b"part")
        await asyncio.Event().wait()
        return {}

    async with running() as world:
        await warm(world, stall)
        stream = await world.gateways[0].stream(request_id="r-1")
        pieces = stream.pieces()
        assert await anext(pieces) == b"part"
        (pod,) = world.pods.values()
        world.show(dataclasses.replace(pod, terminated=terminated))
        world.only().cut()
        assert [piece async for piece in pieces] == []
        assert stream.ending.function_error == "Unhandled"
        assert stream.ending.details is not None
        assert f'"errorType":"{error}"' in stream.ending.details
        assert "RequestId: r-1 Error: " in stream.ending.details
