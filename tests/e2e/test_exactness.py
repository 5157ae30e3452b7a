"""Exactness on the cluster, checked from the function's own side: issue 6, section 2.

Every caller's answer is compared with what a witness heard from the instances themselves: nothing
runs twice, no instance runs two at once, never more than reserved, and a request fails only when
its own instance or its own gateway was killed in mid-run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.cluster import CONTROL_PLANE, LAYOUT, Cluster, processes_of, wait_until, zip_of
from tests.support.load import Load, Signer, Witness, assert_exact, source, witness
from tools.cluster import record
from tools.cluster.cluster import recorded
from tools.cluster.native import components
from tools.cluster.native.addresses import HOST_ADDRESS
from tools.cluster.native.cluster import NativeCluster

GATEWAY = "deploy/klambda-gateway"
INVOCATIONS = int(os.environ.get("KLAMBDA_E2E_INVOCATIONS", "100000"))
LONGEST_S = float(os.environ.get("KLAMBDA_E2E_LONGEST_SECONDS", "900"))
STORM_S = float(os.environ.get("KLAMBDA_E2E_STORM_SECONDS", "600"))
OUTAGE_S = 60.0
SETTLE_S = 1.0
"""After the last answer: what the instances have said is on its way to the witness."""


@dataclass
class Scene:
    """A function with a witness, and its callers."""

    cluster: Cluster
    name: str
    seen: Witness
    load: Load

    async def to(self, do: Callable[..., Any], *words: Any) -> Any:
        """Do something that blocks, while the load goes on."""
        return await asyncio.to_thread(do, *words)

    async def during(self, work: Awaitable[Any], callers: int) -> None:
        """Let so many call until the work is done."""
        calling = [asyncio.create_task(self.load.keep_calling()) for _ in range(callers)]
        try:
            await work
        finally:
            self.load.stopped = True
            await asyncio.gather(*calling)
            await asyncio.sleep(SETTLE_S)
            print(f"{self.name}: {dict(self.load.statuses)}, {self.seen.instances} instances,"
                  f" at most {self.seen.most} at once")  # fmt: skip

    async def calls(self, count: int, limit: float = 120) -> None:
        """Wait until so many more have been answered."""
        goal = len(self.load.told) + count
        async with asyncio.timeout(limit):
            while len(self.load.told) < goal:  # noqa: ASYNC110  callers announce nothing
                await asyncio.sleep(0.05)

    def instances(self) -> list[str]:
        """Return the names of the pods that are not on their way out."""
        return [
            pod["metadata"]["name"]
            for pod in self.cluster.objects("pods", "-l", f"klambda.io/function={self.name}")
            if "deletionTimestamp" not in pod["metadata"]
        ]


@pytest.fixture(autouse=True)
def _native() -> None:
    if recorded(LAYOUT) != "native":
        pytest.skip("instances tell a witness on this machine, which the native node's pods reach")


@contextlib.asynccontextmanager
async def scene(
    cluster: Cluster, name: str, *, seconds: float = 0.002, reserved: int | None = None
) -> AsyncIterator[Scene]:
    """Make the function and call it once."""
    async with witness(HOST_ADDRESS) as seen:
        variables = {"Variables": {"WITNESS": seen.address}}
        await asyncio.to_thread(cluster.create, name, source(), Environment=variables)
        if reserved is not None:
            cluster.aws.put_function_concurrency(
                FunctionName=name, ReservedConcurrentExecutions=reserved
            )
        signer = Signer(
            cluster.endpoint,
            name,
            key=cluster.env["AWS_ACCESS_KEY_ID"],
            secret=cluster.env["AWS_SECRET_ACCESS_KEY"],
        )
        yield Scene(cluster, name, seen, Load(signer, seconds))


@pytest.fixture
def gateways(cluster: Cluster) -> Iterator[Callable[[int], None]]:
    """Yield how to have more gateways; one is left."""

    def scale(count: int) -> None:
        cluster.kubectl("scale", "-n", CONTROL_PLANE, GATEWAY, f"--replicas={count}")
        cluster.wait_ready()

    yield scale
    scale(1)
    wait_until("one gateway is left", lambda: len(cluster.pods_of("gateway")) == 1, timeout=300)


def kill_pod(cluster: Cluster, pod: dict[str, Any]) -> None:
    """End a pod's processes without a word; Kubernetes makes another one."""
    for pid in processes_of(pod["metadata"]["uid"]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.kubectl(
        "delete", "pod", "-n", pod["metadata"]["namespace"], pod["metadata"]["name"], "--force",
        "--grace-period=0", "--wait=false", check=False,
    )  # fmt: skip


def leader(cluster: Cluster) -> dict[str, Any] | None:
    """Return the pod of the gateway that leads."""
    lease = cluster.one_in(CONTROL_PLANE, "lease", "klambda-gateway") or {"spec": {}}
    holder = lease["spec"].get("holderIdentity")
    pods = cluster.pods_of("gateway")
    return next((pod for pod in pods if pod["metadata"]["name"] == holder), None)


@contextlib.asynccontextmanager
async def without(cluster: Cluster, name: str) -> AsyncIterator[None]:
    """Stop a program of the node; start it again as it was, and wait for health."""
    node = NativeCluster(layout=LAYOUT).node
    running = node.processes.running(name)
    assert running is not None
    [component] = [
        each for each in components.control(node.folders, LAYOUT.bin) if each.name == name
    ]
    await asyncio.to_thread(record.end, [running.pid])
    try:
        yield
    finally:
        node.processes.ensure(component, node.inside())
        await asyncio.to_thread(wait_until, f"{name} is back", lambda: healthy(cluster))


def healthy(cluster: Cluster) -> bool:
    """Whether API, kubelet and containers answer."""
    ready = cluster.kubectl(
        "get", "node", "-o", 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}',
        check=False,
    )  # fmt: skip
    return ready.strip() == "True"


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_an_instance_deleted_and_one_killed_under_load(cluster: Cluster, name: str) -> None:
    """Who is asked to go finishes; who is killed costs the one request that it ran."""
    async with scene(cluster, name, seconds=0.02) as play:
        kills: list[float] = []

        async def faults() -> None:
            await play.calls(100)
            pod = play.instances()[0]
            await play.to(cluster.kubectl, "delete", "pod", pod, "--wait=false")
            await play.calls(100)
            assert play.load.statuses.keys() == {"200"}, "nobody noticed the deletion"
            pod = await play.to(wait_until, "an instance", lambda: play.instances()[:1])
            found = await play.to(cluster.one, "pod", pod[0])
            kills.append(time.monotonic())
            await play.to(kill_pod, cluster, found)
            await play.calls(100)

        await play.during(faults(), callers=3)
        assert_exact(play.load, play.seen)
        failed = [n for n, said in play.load.told.items() if said != "200"]
        assert {play.load.told[n] for n in failed} <= {"500"}, play.load.bodies
        # Its handler may have ended already: the answer dies with the instance, too.
        assert all(near(play.load.when[n], kills) for n in failed), failed
        assert len(failed) <= 1


@pytest.mark.full
@pytest.mark.timeout(LONGEST_S + 300)
async def test_a_hundred_thousand_invocations_through_three_gateways(
    cluster: Cluster, name: str, gateways: Callable[[int], None]
) -> None:
    gateways(3)
    async with scene(cluster, name, seconds=0, reserved=4) as play:
        began = time.monotonic()

        async def enough() -> None:
            with contextlib.suppress(TimeoutError):
                await play.calls(INVOCATIONS, limit=LONGEST_S)

        await play.during(enough(), callers=4)
        lasted = time.monotonic() - began
        print(f"{len(play.load.told)} invocations in {lasted:.0f} s")
        assert_exact(play.load, play.seen)
        assert play.load.statuses.keys() == {"200"}, play.load.bodies
        assert play.seen.most <= 4
        assert len(play.load.told) >= min(INVOCATIONS, 10_000)


@pytest.mark.full
@pytest.mark.timeout(STORM_S + 400)
async def test_updates_a_square_wave_and_leaders_killed(
    cluster: Cluster, name: str, gateways: Callable[[int], None]
) -> None:
    """Two gateways, an update each 5 s, load on and off, each minute the leader killed."""
    gateways(2)
    async with scene(cluster, name, seconds=0.02, reserved=8) as play:
        stop = time.monotonic() + STORM_S
        kills: list[float] = []

        async def update() -> None:
            turn = 0
            while time.monotonic() < stop:
                turn += 1
                archive = zip_of({"app.py": source(turn)})
                await play.to(try_update, cluster, name, archive)
                await asyncio.sleep(5)
            print(f"{turn} updates")

        async def kill_leaders() -> None:
            while time.monotonic() < stop:
                await asyncio.sleep(min(60, max(0.0, stop - time.monotonic())))
                pod = await play.to(leader, cluster)
                if pod is not None and time.monotonic() < stop:
                    kills.append(time.monotonic())
                    await play.to(kill_pod, cluster, pod)

        async def square() -> None:
            while time.monotonic() < stop:
                high = before(time.monotonic() + 10)
                await asyncio.gather(*(play.load.keep_calling(high) for _ in range(5)))
                await asyncio.sleep(10)

        async def all_of_it() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(update())
                group.create_task(kill_leaders())
                group.create_task(square())

        await play.during(all_of_it(), callers=1)
        print(f"{len(kills)} leaders killed")
        assert_exact(play.load, play.seen)
        assert play.seen.most <= 8
        failed = {n: said for n, said in play.load.told.items() if said != "200"}
        assert set(failed.values()) <= {"cut"}, play.load.bodies
        assert all(near(play.load.when[n], kills) for n in failed), failed


def before(moment: float) -> Callable[[], bool]:
    return lambda: time.monotonic() < moment


def near(moment: float, kills: list[float]) -> bool:
    """Tell whether a gateway was killed just before."""
    return any(-0.1 <= moment - at <= 5 for at in kills)


def try_update(cluster: Cluster, name: str, archive: bytes) -> None:
    """Update; the gateway that was asked may be killed over it."""
    with contextlib.suppress(Exception):
        cluster.aws.update_function_code(FunctionName=name, ZipFile=archive)


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_all_gateways_restarted_in_turn_under_load(
    cluster: Cluster, name: str, gateways: Callable[[int], None]
) -> None:
    """Keep-alive clients are told to go and lose nothing."""
    gateways(2)
    async with scene(cluster, name, seconds=0.02) as play:

        async def restart() -> None:
            await play.calls(50)
            await play.to(cluster.kubectl, "rollout", "restart", "-n", CONTROL_PLANE, GATEWAY)
            await play.to(cluster.wait_ready)
            await play.to(
                wait_until, "old ones are gone", lambda: len(cluster.pods_of("gateway")) == 2
            )
            await play.calls(50)

        await play.during(restart(), callers=4)
        assert_exact(play.load, play.seen)
        assert play.load.statuses.keys() == {"200"}, play.load.bodies


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_gateways_killed_at_random(
    cluster: Cluster, name: str, gateways: Callable[[int], None]
) -> None:
    """The connections to it break, nobody else notices, nothing runs twice."""
    gateways(3)
    chance = random.Random(7)
    async with scene(cluster, name, seconds=0.02) as play:
        kills: list[float] = []

        async def kill() -> None:
            for _ in range(4):
                await play.calls(200)
                pod = chance.choice(cluster.pods_of("gateway"))
                kills.append(time.monotonic())
                await play.to(kill_pod, cluster, pod)
            await play.calls(200)

        await play.during(kill(), callers=6)
        assert_exact(play.load, play.seen)
        failed = {n: said for n, said in play.load.told.items() if said != "200"}
        for n in failed:
            print(n, play.load.bodies[n].decode(), "had begun" if play.seen.begun[n] else "")
        assert set(failed.values()) <= {"cut"}, play.load.bodies
        assert all(near(play.load.when[n], kills) for n in failed), failed
        # Besides, a dead one's address is given out for a moment. It refuses connections, which the
        # forwarder of `make up` has accepted by then and resets: so many as callers try meanwhile,
        # and none of them has reached anybody.
        assert len([n for n in failed if play.seen.begun[n]]) <= 6 * len(kills)


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it stays running
@pytest.mark.parametrize(
    ("program", "seconds"), [("containerd", 10.0), ("kube-apiserver", OUTAGE_S)]
)
async def test_warm_traffic_flows_without(
    cluster: Cluster, name: str, program: str, seconds: float
) -> None:
    async with scene(cluster, name, seconds=0.005) as play:

        async def outage() -> None:
            await play.calls(200)
            # Rights are asked for again meanwhile: what was allowed lately must count.
            async with without(cluster, program):
                began = len(play.load.told)
                await asyncio.sleep(seconds)
                answered = len(play.load.told) - began
            print(f"{answered} answers in {seconds:.0f} s without {program}")
            assert answered > 10 * seconds
            await play.calls(200)

        await play.during(outage(), callers=2)
        assert_exact(play.load, play.seen)
        assert play.load.statuses.keys() == {"200"}, play.load.bodies
        await play.to(cluster.wait_ready)
        assert (await play.to(cluster.invoke, name, {"n": 0, "s": 0}))[0] == 0
