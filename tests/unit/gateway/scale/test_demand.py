"""What is started for requests that wait, in virtual time."""

from __future__ import annotations

import asyncio

from klambda_gateway.instances.acquire import acquire
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.scale.demand import Demand
from klambda_gateway.scale.pace import SILENT_S, STALLED_S
from tests.support.virtualtime import virtual

KEY = DeploymentKey("default", "area-1")
SHORT = 0.003
DEADLINE = 100.0


class Rig:
    """A function whose runs are short, with one instance, and a Kubernetes that starts nothing."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.began: list[float] = []
        """When each start was asked for, since the first request that had to wait."""
        self.registry = Registry(clock=loop.time)
        self.demand = Demand(self.registry, self, known=lambda _: None)
        self.registry.on_short = self.demand.short
        self.demand.ran(KEY, SHORT)
        self.registry.see_pod(
            PodFacts(namespace=KEY.namespace, name="p", uid="u", deployment=KEY.name)
        )
        self.record = self.registry.link("u", KEY, boot="b", state="idle")
        self._loop = loop
        self._since = 0.0

    async def start(self, key: DeploymentKey, count: int, *, ceiling: int | None = None) -> int:
        assert (key, ceiling) == (KEY, None)
        self.began += [self._loop.time() - self._since] * count
        return count

    async def lower(self, key: DeploymentKey, *, from_replicas: int, to_replicas: int) -> bool:
        raise AssertionError(f"{key}: {from_replicas} to {to_replicas}")

    def replicas(self, _: DeploymentKey) -> int:
        return 1 + len(self.began)

    def wait(self, count: int) -> list[asyncio.Task[Record]]:
        """Let so many requests wait."""
        self._since = self._loop.time()
        return [
            self._loop.create_task(acquire(self.registry, KEY, f"waits-{n}", deadline=DEADLINE))
            for n in range(count)
        ]

    async def send(self, attempt: str) -> None:
        """Send the instance, which has been idle for long, an attempt."""
        await asyncio.sleep(10 * SILENT_S)
        assert self.registry.take(KEY, attempt) is self.record


async def end(waiting: list[asyncio.Task[Record]]) -> None:
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@virtual
async def test_who_waits_behind_an_instance_that_says_nothing_more_gets_another() -> None:
    """Its connection broke without a word: the kernel takes up to 20 s to find out."""
    rig = Rig()
    await rig.send("lost")
    waiting = rig.wait(14)
    await asyncio.sleep(10.0)
    assert len(rig.began) == 1, "one is enough for short runs"
    assert SILENT_S <= rig.began[0] <= SILENT_S + 0.2
    await end(waiting)


@virtual
async def test_nothing_starts_behind_an_instance_that_takes_one_after_the_other() -> None:
    rig = Rig()
    await rig.send("first")
    waiting, now = rig.wait(300), asyncio.get_running_loop().time
    attempt = "first"
    while waiting:
        await asyncio.sleep(SHORT)
        rig.record.accepted(now())
        rig.record.ended(attempt, now())
        rig.registry.touch(rig.record)
        (done,), rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert done.result() is rig.record
        attempt, waiting = str(rig.record.attempt), list(rest)
    assert len(rig.began) <= 7, "what 300 short runs are worth when they come, and no more"
    assert max(rig.began) < STALLED_S


@virtual
async def test_who_has_just_come_gives_a_silent_instance_its_time() -> None:
    rig = Rig()
    await rig.send("first")
    await end(rig.wait(1))
    await asyncio.sleep(2 * SILENT_S)
    waiting = rig.wait(1)
    await asyncio.sleep(SILENT_S / 2)
    assert rig.began == []
    rig.record.accepted(asyncio.get_running_loop().time())
    rig.registry.touch(rig.record)
    await asyncio.sleep(SILENT_S)
    assert len(rig.began) == 1, "now it is a run that lasts"
    await end(waiting)
