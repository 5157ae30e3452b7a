"""One gateway: the real machines of the data plane, wired as `klambda_gateway.app` wires them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from klambda_core.errors import LambdaError
from klambda_gateway.admission.concurrency import Admission
from klambda_gateway.admission.elsewhere import elsewhere
from klambda_gateway.admission.unreserved import Unreserved
from klambda_gateway.bulk import Body, whole
from klambda_gateway.instances.assignment import Assignments
from klambda_gateway.instances.call import Call
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.family import Families, Function
from klambda_gateway.instances.link import Link
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.instances.server import InstanceServer
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_gateway.invoke.service import InvokeService
from klambda_gateway.invoke.story import Story
from klambda_gateway.routing.facts import FunctionFacts
from klambda_gateway.routing.finder import Finder
from klambda_gateway.routing.table import RoutingTable
from klambda_gateway.scale.crowding import Crowding
from klambda_gateway.scale.decide import Spec
from klambda_gateway.scale.demand import Demand
from klambda_gateway.scale.headcount import Headcount
from klambda_gateway.scale.scaler import Scaler
from klambda_gateway.scale.shares import Share, Shares, share_of
from klambda_gateway.scale.starter import DeploymentStarter
from klambda_gateway.scale.starts import SCHEDULING_PATIENCE_S
from klambda_kube.errors import NotFound
from tests.support.simulation.instance import KEY
from tests.support.simulation.kubernetes import NAMESPACE, Api, Kubernetes

SWEEP_S: Final = 1.0
REFRESH_EVERY: Final = 5
ARN: Final = "arn:aws:lambda:us-east-1:123456789012:function:"


class _Store:
    async def get(self, *_: str) -> bytes:
        return b"a zip"

    def url(self, *words: str) -> str:
        return "/".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a gateway is told of its surroundings."""

    name: str
    kubernetes: Kubernetes
    chance: Random
    peers: Callable[[], list[str]]
    leads: Callable[[str], bool]
    led_since: Callable[[], float]
    sent: Callable[[int, str], None]
    """(request, instance): an attempt goes there."""
    idle_seconds: float
    account: int
    """Concurrent executions."""


@dataclass(slots=True)
class Mirror:
    """What the watches have shown."""

    pods: dict[str, PodFacts] = field(default_factory=dict)
    deployments: dict[DeploymentKey, DeploymentFacts] = field(default_factory=dict)
    functions: dict[str, FunctionFacts] = field(default_factory=dict)


class Gateway:
    """The machines of one process, from start to end."""

    def __init__(self, place: Place) -> None:
        self.name = place.name
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self.mirror = Mirror()
        self.api = Api(place.kubernetes, place.chance)
        self.registry = Registry(clock=self._loop.time)
        self.starter = DeploymentStarter(self.api, self.mirror.deployments.get)
        self.families = Families()
        self.unreserved = Unreserved(
            limit=lambda _: place.account, abroad=self.registry.abroad, families=self.families
        )
        self.table = RoutingTable(on_retired=self._retire, on_swapped=self.unreserved.changed)
        shares = Shares(
            self.registry,
            share=self._share,
            replicas=self.starter.replicas,
            drain=lambda record: self.server.drain(record, self._loop.time()),
        )
        headcount = Headcount(
            self.registry,
            self.unreserved,
            families=self.families,
            replicas=self.starter.replicas,
        )
        self.demand = Demand(
            self.registry,
            self.starter,
            known=self.mirror.deployments.get,
            room=shares.room,
            account=headcount.room,
            led_since=place.led_since,
        )
        self.registry.on_short = self.demand.short
        self.registry.on_arrival = self.demand.arrived
        self.server = InstanceServer(
            self.registry,
            Assignments(
                deployment=self._deployment,
                blobs=_Store(),
                credentials=lambda *_: None,
                endpoints={},
            ),
            find_pod=self._find_pod,
            installation_key=KEY,
            gateway=place.name,
            peers=place.peers,
            on_failed=self.demand.fails,
            on_phases=lambda record, _: self.demand.works(record.key),
        )
        self.admission = Admission(unreserved=self.unreserved, others=self._others)
        self.registry.on_free = self.admission.news
        self.service = InvokeService(
            finder=Finder(
                self.table, read=self._read, observe=lambda *_: None, draw=place.chance.random
            ),
            registry=self.registry,
            sender=self,
            admission=self.admission,
            ran=lambda record, seconds: self.demand.ran(record.key, seconds),
        )
        crowding = Crowding(
            self.registry,
            self.server,
            homeless=self.demand.homeless,
            known=self.mirror.deployments.get,
            spec=self._spec,
            patience=SCHEDULING_PATIENCE_S,
        )
        self.scaler = Scaler(
            self.api,
            self.registry,
            self.server,
            self.demand,
            self.starter,
            spec=self._spec,
            wanted=lambda: [each.key for each in self.mirror.deployments.values() if each.replicas],
            leads=lambda: place.leads(self.name),
            make_room=crowding.make_room,
        )

    def start(self) -> None:
        self._tasks = [self._loop.create_task(work) for work in (self.scaler.run(), self._sweep())]

    async def _sweep(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(SWEEP_S)
            turn += 1
            self.service.sweep()
            if turn % REFRESH_EVERY == 0:
                self.server.refresh()

    async def kill(self) -> None:
        """End at once; nothing that it still does leaves it."""
        self.api.dead = True
        for task in self._tasks:
            task.cancel()
        await self.server.stop()

    def invoke(
        self, function: str, number: int, done: Callable[[InvokeAnswer | LambdaError], None]
    ) -> Story:
        request = InvokeRequest(
            namespace=NAMESPACE,
            function_name=function,
            qualifier=None,
            invoked_arn=ARN + function,
            payload=b"%d" % number,
            request_id=str(number),
            log_tail=number % 10 == 0,
        )
        return self.service.start(request, done)

    # --- the invoke service's sender: the server, watched -----------------------------------------

    def send(self, call: Call, header: bytes, event: Body) -> None:
        self._place.sent(int(whole(event)), call.record.uid)
        self.server.send(call, header, event)

    def cancel(self, call: Call) -> None:
        self.server.cancel(call)

    def grant(self, call: Call, count: int) -> None:
        self.server.grant(call, count)

    def drop(self, record: Record) -> None:
        self.server.drop(record)

    # --- what comes through the watches -----------------------------------------------------------

    def take(self, kind: str, name: Any, facts: Any) -> None:
        """See `kubernetes.Watcher`."""
        if self.api.dead:
            return
        if kind == "pod":
            self._pod(name, facts)
        elif kind == "deployment":
            self._deployment_changed(name, facts)
        else:
            old = self.mirror.functions.get(name)
            self.mirror.functions[name] = facts
            self.table.change_function(old, facts)

    def relist(self, everything: list[tuple[str, Any, Any]]) -> None:
        """Take a list, after a watch was cut: what is not in it is gone."""
        there = {(kind, name) for kind, name, _ in everything}
        for uid in [each for each in self.mirror.pods if ("pod", each) not in there]:
            self.take("pod", uid, None)
        for key in [e for e in self.mirror.deployments if ("deployment", e) not in there]:
            self.take("deployment", key, None)
        for kind, name, facts in everything:
            self.take(kind, name, facts)

    def _pod(self, uid: str, pod: PodFacts | None) -> None:
        if pod is not None:
            self.mirror.pods[uid] = pod
            self.registry.see_pod(pod)
            self.server.verify(pod)
            self.demand.see_pod(pod)
        elif (gone := self.mirror.pods.pop(uid, None)) is not None:
            self.registry.lose_pod(gone)
            self.server.give_up(uid)
            self.demand.lose_pod(gone)

    def _deployment_changed(self, key: DeploymentKey, facts: DeploymentFacts | None) -> None:
        self.families.changed(key, facts)
        if facts is None:
            self.mirror.deployments.pop(key, None)
            self.starter.forget(key)
            self.demand.retire(key)
        else:
            self.mirror.deployments[key] = facts
            self.demand.check(key)

    def _retire(self, keys: frozenset[DeploymentKey]) -> None:
        for key in sorted(keys):
            self.demand.retire(key)

    # --- what the parts ask -----------------------------------------------------------------------

    def link(self) -> Link:
        return self.server.accept()

    def _others(self, function: Function) -> int:
        return elsewhere(self.registry, self.families.of(function))

    def _share(self, key: DeploymentKey) -> Share | None:
        entry = self.table.served_by(key)
        return None if entry is None else share_of(entry, self.families)

    def _spec(self, key: DeploymentKey) -> Spec:
        idle = self._place.idle_seconds
        if self.table.served_by(key) is None:
            return Spec(idle_seconds=idle, superseded=True)
        return Spec(idle_seconds=idle)

    async def _deployment(self, key: DeploymentKey) -> DeploymentFacts | None:
        return self._place.kubernetes.deployments.get(key)

    async def _find_pod(self, _: str, __: str, uid: str) -> PodFacts | None:
        for _turn in range(200):
            if uid in self.mirror.pods:
                return self.mirror.pods[uid]
            await asyncio.sleep(0.01)
        return self._place.kubernetes.pods.get(uid)

    async def _read(self, _: object, __: str, name: str) -> Mapping[str, Any]:
        raise NotFound(404, "NotFound", name)
