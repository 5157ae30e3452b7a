"""Real gateways and instances under load, and what may happen to each of them.

What callers were told is compared with what the function itself did (`tests.support.load`).
"""

from __future__ import annotations

import asyncio
import base64
import signal
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any

import pytest

from klambda_core.kinds import SECRET
from tests.integration.gateway_dataplane.conftest import HOME, ControlPlane
from tests.integration.gateway_dataplane.test_gateway_process import create
from tests.support.load import Load, Signer, Witness, assert_exact, source, witness

SETTLE_S = 0.5


@dataclass
class Scene:
    """A function with a witness, and a load through each gateway."""

    seen: Witness
    loads: list[Load]

    async def during(self, work: Awaitable[Any], callers: int) -> None:
        """Let so many call at each gateway until the work is done."""
        for load in self.loads:
            load.stopped = False
        calling = [
            asyncio.create_task(load.keep_calling()) for load in self.loads for _ in range(callers)
        ]
        try:
            await work
        finally:
            for load in self.loads:
                load.stopped = True
            await asyncio.gather(*calling)
            await asyncio.sleep(SETTLE_S)

    async def calls(self, count: int) -> None:
        """Wait until each gateway has answered so many more."""
        goals = [len(load.told) + count for load in self.loads]
        async with asyncio.timeout(60):
            while not self._reached(goals):  # noqa: ASYNC110  callers announce nothing
                await asyncio.sleep(0.02)

    def _reached(self, goals: list[int]) -> bool:
        return all(len(load.told) >= goal for load, goal in zip(self.loads, goals, strict=True))


@pytest.fixture
async def play(control_plane: ControlPlane, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    name = request.node.name.removeprefix("test_")[:40].replace("_", "-")
    _, body = control_plane.server.request("GET", SECRET.path(HOME, "klambda-credentials"))
    keys = {k: base64.b64decode(value).decode() for k, value in body["data"].items()}
    async with witness() as seen:
        variables = {"Variables": {"WITNESS": seen.address}}
        await asyncio.to_thread(create, control_plane, name, source(), Environment=variables)
        loads = []
        for number, gateway in enumerate(control_plane.gateways[:2]):
            signer = Signer(
                f"http://127.0.0.1:{gateway.http}",
                name,
                key=keys["accessKeyId"],
                secret=keys["secretAccessKey"],
            )
            first = number * 1_000_000 + 1
            loads.append(Load(signer, 0.005, numbers=iter(range(first, first + 999_999))))
        yield Scene(seen, loads)
        await asyncio.to_thread(control_plane.client().delete_function, FunctionName=name)


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_a_gateway_restarted_and_one_killed_under_load(
    control_plane: ControlPlane, play: Scene
) -> None:
    """Who is asked to end loses nothing; who is killed loses the connections that it had."""
    polite, killed = control_plane.gateways[:2]

    async def faults() -> None:
        await play.calls(50)
        polite.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(polite.process.wait, 30)
        await asyncio.to_thread(control_plane.restart, 0)
        await play.calls(50)
        killed.process.kill()
        await asyncio.to_thread(killed.process.wait, 30)
        await asyncio.to_thread(control_plane.restart, 1)
        await play.calls(50)

    await play.during(faults(), callers=2)
    for load in play.loads:
        assert_exact(load, play.seen)
    at_the_polite, at_the_killed = (load.statuses for load in play.loads)
    assert at_the_polite.keys() == {"200"}, play.loads[0].bodies
    assert at_the_killed.keys() <= {"200", "cut"}, play.loads[1].bodies
    assert at_the_killed["cut"] <= 2
