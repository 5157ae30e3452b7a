"""Letting go with simulated instances: drained, confirmed, cheap to delete, then fewer replicas."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from klambda_core.kinds import Kind
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.scale.crowding import Crowding
from klambda_gateway.scale.decide import Spec
from klambda_gateway.scale.scaler import CHEAP, DELETION_COST, Scaler
from klambda_gateway.scale.starts import SCHEDULING_PATIENCE_S
from tests.integration.gateway_dataplane.rig import World, running, until
from tests.integration.gateway_dataplane.simulator import Simulated, gated


class Pods:
    """The pods' part of the Kubernetes API, and a ReplicaSet that follows replicas."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cheap: list[str] = []
        self.deleted: list[str] = []

    async def merge_patch(
        self, _: Kind, __: str, name: str, patch: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        assert field_manager == "klambda-gateway"
        assert patch["metadata"]["annotations"] == {DELETION_COST: CHEAP}
        self.cheap.append(name)
        return {}

    async def delete(self, _: Kind, __: str, name: str, *, uid: str) -> None:
        assert self.world.pods[uid].name == name
        self.deleted.append(name)


def scaler(
    world: World,
    *,
    idle_seconds: float = 0.0,
    superseded: bool = False,
    spec: Callable[[DeploymentKey], Spec] | None = None,
    make_room: Callable[[float], bool] = lambda _: False,
) -> tuple[Scaler, Pods]:
    gateway, pods = world.gateways[0], Pods(world)
    made = Scaler(
        pods,
        gateway.registry,
        gateway.server,
        gateway.demand,
        world,
        spec=spec or (lambda _: Spec(idle_seconds=idle_seconds, superseded=superseded)),
        make_room=make_room,
        wanted=lambda: [key for key, each in world.deployments.items() if each.replicas],
        leads=lambda: True,
    )
    return made, pods


def ready(world: World) -> None:
    for pod in list(world.pods.values()):
        world.show(dataclasses.replace(pod, ready=True))


def known_idle(world: World, instance: Simulated) -> bool:
    """The gateway has heard of it, too."""
    return world.gateways[0].registry.records[instance.uid].free


def key(world: World) -> DeploymentKey:
    return next(iter(world.deployments))


async def test_an_idle_instance_goes_in_three_steps() -> None:
    async with running() as world:
        made, pods = scaler(world)
        await world.gateways[0].invoke()
        instance = world.only()
        await until(lambda: known_idle(world, instance))
        await made.tick()
        await until(lambda: instance.state == "drained")
        assert world.replicas(key(world)) == 1, "asked, not yet confirmed here"
        await until(lambda: world.gateways[0].registry.records[instance.uid].drained)
        await made.tick()
        assert pods.cheap == [instance.pod]
        assert world.replicas(key(world)) == 0
        assert (await world.gateways[0].invoke(b"2")).payload == b"2", "and starts again"


async def test_a_minimum_is_started_before_anybody_asks_and_stays() -> None:
    async with running() as world:
        made, _ = scaler(world, spec=lambda _: Spec(idle_seconds=0, minimum=2))
        where, gateway = key(world), world.gateways[0]
        gateway.registry.pool(where)
        made._wanted = lambda: [where]
        await made.tick()
        assert world.replicas(where) == 2
        await until(lambda: sum(each.free for each in gateway.registry.records.values()) == 2)
        ready(world)
        for _ in range(3):
            await made.tick()
        assert world.replicas(where) == 2
        assert world.starts == [2]
        assert (await gateway.invoke(b"2")).payload == b"2"
        assert world.starts == [2], "it met one that was there"


async def test_a_bare_pod_is_drained_and_deleted_and_replicas_are_left_alone() -> None:
    async with running() as world:
        made, pods = scaler(world)
        gateway = world.gateways[0]
        await gateway.invoke()
        first = world.only()
        world.bare = True
        first.state = "busy"  # another gateway's request
        for wire in first.wires:
            first._state(wire)
        await until(lambda: not known_idle(world, first))
        assert (await gateway.invoke(b"2")).payload == b"2"
        [second] = [each for each in world.instances.values() if each is not first]
        await until(lambda: known_idle(world, second))
        window = made.window(gateway.registry.pool(key(world)))
        assert (window.replicas, window.pods, window.bare) == (1, 1, 1)
        await made.tick()
        await until(lambda: gateway.registry.records[second.uid].drained)
        assert not pods.deleted, "asked first"
        await made.tick()
        assert pods.deleted == [second.pod]
        assert world.replicas(key(world)) == 1
        assert first.state == "busy"


async def test_what_is_not_ready_yet_holds_the_others_back() -> None:
    """A ReplicaSet would kill the freshest, which may be busy, and not the drained one."""
    gate = asyncio.Event()
    async with running() as world:
        made, _ = scaler(world)
        gateway = world.gateways[0]
        await gateway.invoke()
        first = world.only()
        await until(lambda: known_idle(world, first))
        await made.tick()
        await until(lambda: gateway.registry.records[first.uid].drained)
        world.handler = gated(gate)
        request = asyncio.create_task(gateway.invoke(b"2"))
        await until(lambda: len(world.instances) == 2)
        second = next(each for each in world.instances.values() if each is not first)
        await until(lambda: second.runs)
        await made.tick()
        assert world.replicas(key(world)) == 2
        ready(world)
        await made.tick()
        assert world.replicas(key(world)) == 1
        gate.set()
        assert (await request).payload == b"2"


async def test_a_run_that_meets_the_drain_wins() -> None:
    async with running() as world:
        made, _ = scaler(world)
        gateway = world.gateways[0]
        await gateway.invoke()
        ready(world)
        instance = world.only()
        await until(lambda: known_idle(world, instance))
        instance.state = "busy"  # another gateway's request, its state frame still on the way
        await made.tick()
        assert not gateway.registry.records[instance.uid].free
        await asyncio.sleep(0.02)
        for wire in instance.wires:
            instance._state(wire)
        instance._become("idle")
        await until(lambda: gateway.registry.records[instance.uid].free)
        assert world.replicas(key(world)) == 1


async def test_a_superseded_revision_goes_at_once_and_a_served_one_stays() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        await gateway.invoke()
        ready(world)
        await until(lambda: known_idle(world, world.only()))
        patient, _ = scaler(world, idle_seconds=60)
        await patient.tick()
        assert world.only().state == "idle"
        old, pods = scaler(world, idle_seconds=60, superseded=True)
        await old.tick()
        await until(lambda: gateway.registry.records[world.only().uid].drained)
        await old.tick()
        assert world.replicas(key(world)) == 0
        assert pods.cheap == [world.only().pod]


async def test_restarted_pods_are_released_and_dead_ones_deleted() -> None:
    async with running() as world:
        made, pods = scaler(world, idle_seconds=60)
        gateway = world.gateways[0]
        await gateway.invoke()
        await until(lambda: known_idle(world, world.only()))
        pod = world.pods[world.only().uid]
        world.show(dataclasses.replace(pod, ready=True, restarts=1))
        await made.tick()
        assert pods.cheap == [pod.name]
        assert world.replicas(key(world)) == 0
        world.show(dataclasses.replace(pod, ended=True))
        await made.tick()
        assert pods.deleted == [pod.name]


async def test_a_failed_assignment_is_told_and_its_instance_released() -> None:
    async with running() as world:
        made, pods = scaler(world, idle_seconds=60)
        gateway = world.gateways[0]
        await gateway.invoke()
        await until(lambda: known_idle(world, world.only()))
        ready(world)
        gateway.registry.records[world.only().uid].failed()
        gateway.registry.touch(gateway.registry.records[world.only().uid])
        await made.tick()
        assert pods.cheap == [world.only().pod]
        assert world.replicas(key(world)) == 0


async def test_a_lone_tick_of_demand_asks_again_for_a_lost_start() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        gateway.demand.tick()
        assert not gateway.demand.in_flight(key(world))
        world.start_delay = 0.05
        request = asyncio.create_task(gateway.invoke())
        await until(lambda: world.starts)
        await until(lambda: gateway.demand.in_flight(key(world)))
        gateway.demand.tick()
        assert world.starts == [1]
        await request
        await until(lambda: not gateway.demand.in_flight(key(world)))


async def test_a_full_cluster_serves_with_what_it_has_and_gives_up_what_it_cannot_make() -> None:
    async def brief(event: bytes) -> bytes:
        await asyncio.sleep(0.005)
        return event

    async with running() as world:
        made, _ = scaler(world, idle_seconds=60)
        gateway = world.gateways[0]
        world.handler = brief
        await gateway.invoke()
        ready(world)
        world.broken = {"unschedulable": True, "message": "Insufficient cpu"}
        homeless = gateway.demand._troubles._homeless
        homeless._seen = dict.fromkeys((f"uid-{n}" for n in range(2, 30)), 0.0)
        answers = await asyncio.gather(*(gateway.invoke(str(n).encode()) for n in range(20)))
        assert [each.payload for each in answers] == [str(n).encode() for n in range(20)]
        assert len(world.instances) == 1
        assert world.replicas(key(world)) > 1
        await asyncio.sleep(0)
        gateway.demand._starts.clear()  # as after their patience
        await made.tick()
        assert world.replicas(key(world)) > 1, "another gateway's requests may wait for them"
        made._first_seen = dict.fromkeys(made._first_seen, 0.0)
        await made.tick()
        assert world.replicas(key(world)) == 1, "pods that found no node are given up"


NEVER = "Preemption is not helpful for scheduling"
FULL = (
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
    "1 No preemption victims found for incoming pod."
)


@pytest.mark.parametrize(
    ("message", "provisioned", "minimum", "left"),
    [
        (FULL, 0, 0, 1),
        (FULL.replace("No preemption victims found for incoming pod", NEVER), 0, 0, 2),
        (FULL, 2, 0, 2),
        (FULL, 0, 2, 2),
        (FULL, 0, 1, 1),
    ],
    ids=["gives way", "would not help", "provisioned stays", "minimum stays", "one is beyond it"],
)
async def test_in_a_full_cluster_an_idle_instance_of_another_function_gives_way(
    message: str, provisioned: int, minimum: int, left: int
) -> None:
    async with running() as world:
        gateway, other = world.gateways[0], world.add_deployment("other-latest-1")
        world.deployments[other] = dataclasses.replace(world.deployments[other], function="other")

        def spec(key: DeploymentKey) -> Spec:
            if key != other:
                return Spec(idle_seconds=60)
            return Spec(idle_seconds=60, provisioned=provisioned, minimum=minimum)

        gateway.server._ahead = lambda key: spec(key).provisioned > 0
        crowding = Crowding(
            gateway.registry,
            gateway.server,
            homeless=gateway.demand.homeless,
            known=world.deployments.get,
            spec=spec,
            patience=SCHEDULING_PATIENCE_S,
        )
        made, pods = scaler(world, spec=spec, make_room=crowding.make_room)
        await gateway.demand.start_ahead(other, 1)
        await until(lambda: world.instances)
        guest = world.only()
        await until(lambda: known_idle(world, guest))
        await gateway.demand.start_ahead(other, 1)
        await until(lambda: len(world.instances) == 2)
        second = next(each for each in world.instances.values() if each is not guest)
        await until(lambda: known_idle(world, second))
        world.show(dataclasses.replace(world.pods[second.uid], ready=True, cpu=300))
        world.show(dataclasses.replace(world.pods[guest.uid], ready=True, cpu=300))
        gateway.registry.records[guest.uid].idle_since = 0.0
        gateway.registry.records[second.uid].idle_since = 1.0
        world.broken = {"unschedulable": True, "message": message, "cpu": 300}
        request = asyncio.create_task(gateway.invoke())
        await until(gateway.demand.homeless)
        await made.tick()
        assert world.replicas(other) == left
        assert pods.cheap == ([guest.pod] if left == 1 else [])
        assert (guest.state, second.state) == ("drained" if left == 1 else "idle", "idle")
        if left == 1:
            world.lose(world.pods[guest.uid])
            await made.tick()
            assert second.state == "idle", "the scheduler has not looked again yet"
        request.cancel()
