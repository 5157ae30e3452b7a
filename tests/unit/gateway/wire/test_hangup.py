"""Work for a client ends with the client, and only then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from klambda_gateway.wire.hangup import HungUp, unless_gone


class Client:
    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def work(ended: list[str]) -> str:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise
    return "never"


async def test_work_that_ends_first_is_returned_and_nothing_is_cancelled_later() -> None:
    client = Client()

    async def quick() -> int:
        await asyncio.sleep(0)
        return 7

    assert await unless_gone(quick(), client.receive) == 7
    client.gone.set()
    for _ in range(5):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_client_who_goes_ends_the_work_and_the_task_goes_on() -> None:
    client, ended = Client(), list[str]()
    asyncio.get_running_loop().call_soon(client.gone.set)
    with pytest.raises(HungUp):
        await unless_gone(work(ended), client.receive)
    assert ended == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_errors_of_the_work_pass() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await unless_gone(fail(), Client().receive)


async def test_who_is_cancelled_from_elsewhere_stays_cancelled() -> None:
    ended = list[str]()
    task = asyncio.create_task(unless_gone(work(ended), Client().receive))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


async def test_a_connection_that_breaks_is_a_client_who_goes() -> None:
    async def broken() -> dict[str, Any]:
        raise OSError("reset")

    with pytest.raises(HungUp):
        await unless_gone(work([]), broken)
