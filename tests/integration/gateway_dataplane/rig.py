"""A gateway's data plane without Kubernetes and HTTP: tests tell what the watch would tell."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from klambda_core.limits import BURST_LIMIT
from klambda_gateway.admission.concurrency import Admission
from klambda_gateway.instances.assignment import Assignments
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.registry import Registry
from klambda_gateway.instances.server import InstanceServer
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest, InvokeStream
from klambda_gateway.invoke.service import InvokeService
from klambda_gateway.routing.facts import FunctionFacts, Serving
from klambda_gateway.routing.finder import Finder
from klambda_gateway.routing.table import RoutingTable
from klambda_gateway.scale.demand import Demand
from klambda_kube.errors import NotFound
from tests.integration.gateway_dataplane.simulator import KEY, Handler, Simulated, echo

ARN = "arn:aws:lambda:us-east-1:123456789012:function:area"
CODE = b"a zip"
NEVER_S = 3600.0
"""Longer than any test: what must not happen in it."""
WAIT_LIMIT_S = 60.0
"""How long a request waits for an instance, unless a test is about that."""


class World:
    """Kubernetes as the gateways see it: Deployments, pods and who runs in them."""

    def __init__(self) -> None:
        self.deployments: dict[DeploymentKey, DeploymentFacts] = {}
        self.pods: dict[str, PodFacts] = {}
        self.instances: dict[str, Simulated] = {}
        self.gateways: list[Gateway] = []
        self.handler: Handler = echo
        self.start_delay = 0.0
        self.may_start = asyncio.Event()
        """Cleared: pods stay pending."""
        self.may_start.set()
        self.bare = False
        """Starts make bare Pods."""
        self.starts: list[int] = []
        self.broken: dict[str, Any] = {}
        """PodFacts members of pods that do not come up."""
        self.on_made: Callable[[Simulated], None] = lambda _: None
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def add_deployment(self, name: str = "area-latest-1") -> DeploymentKey:
        key = DeploymentKey("default", name)
        assignment = {"digest": f"d-{name}", "code": {"sha256": "ab", "size": len(CODE)}}
        self.deployments[key] = DeploymentFacts(
            key=key,
            uid=f"uid-{name}",
            resource_version="1",
            replicas=0,
            function="area",
            assignment=json.dumps(assignment),
        )
        return key

    def replicas(self, key: DeploymentKey) -> int:
        facts = self.deployments.get(key)
        return facts.replicas if facts else 0

    async def start(self, key: DeploymentKey, count: int, *, ceiling: int | None = None) -> int:
        facts = self.deployments.get(key)
        await asyncio.sleep(0)
        if facts is None:
            raise NotFound(404, "NotFound", key.name)
        if ceiling is not None:
            count = min(count, ceiling - facts.replicas)
        self.starts.append(count)
        if not self.bare:
            self.deployments[key] = dataclasses.replace(facts, replicas=facts.replicas + count)
        for _ in range(count):
            task = asyncio.get_running_loop().create_task(self._pod(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return count

    async def lower(self, key: DeploymentKey, *, from_replicas: int, to_replicas: int) -> bool:
        facts = self.deployments[key]
        self.deployments[key] = dataclasses.replace(facts, replicas=to_replicas)
        return facts.replicas == from_replicas

    async def _pod(self, key: DeploymentKey) -> None:
        number = next(self._numbers)
        pod = PodFacts(
            namespace=key.namespace,
            name=f"{key.name}-{number}",
            uid=f"uid-{number}",
            deployment=key.name,
            bare=self.bare,
        )
        self.show(pod)
        if self.broken:
            self.show(dataclasses.replace(pod, **self.broken))
            return
        await asyncio.sleep(self.start_delay)
        await self.may_start.wait()
        instance = Simulated(key.namespace, key.name, pod.name, pod.uid, handler=self.handler)
        self.instances[pod.uid] = instance
        self.on_made(instance)
        for gateway in self.gateways:
            await instance.dial(gateway.server.port)

    def show(self, pod: PodFacts) -> None:
        self.pods[pod.uid] = pod
        for gateway in self.gateways:
            gateway.registry.see_pod(pod)
            gateway.server.verify(pod)
            gateway.demand.see_pod(pod)

    def lose(self, pod: PodFacts) -> None:
        del self.pods[pod.uid]
        for gateway in self.gateways:
            gateway.registry.lose_pod(pod)
            gateway.server.give_up(pod.uid)
            gateway.demand.lose_pod(pod)

    def switch(self, key: DeploymentKey | None, **change: Any) -> None:
        """Make the function serve from this Deployment."""
        for gateway in self.gateways:
            gateway.switch(key, **change)

    def only(self) -> Simulated:
        (instance,) = self.instances.values()
        return instance

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for instance in self.instances.values():
            await instance.close()
        for gateway in self.gateways:
            await gateway.server.stop()


class Store:
    """The blob store."""

    async def get(self, *_: str) -> bytes:
        return CODE

    def url(self, namespace: str, sha256: str) -> str:
        return f"http://store/v1/blobs/{namespace}/{sha256}"


class Gateway:
    """One gateway's data plane."""

    def __init__(self, world: World, name: str, wait_limit: float = WAIT_LIMIT_S) -> None:
        self.world = world
        loop = asyncio.get_running_loop()
        self.function: FunctionFacts | None = None
        self.registry = Registry(clock=loop.time)
        self.burst = BURST_LIMIT
        self.demand = Demand(
            self.registry, world, known=world.deployments.get, burst=lambda _: self.burst
        )
        self.registry.on_short = self.demand.short
        self.registry.on_arrival = self.demand.arrived
        self.table = RoutingTable(on_retired=self._retire)
        self.server = InstanceServer(
            self.registry,
            Assignments(
                deployment=self._deployment,
                blobs=Store(),
                credentials=lambda *_: None,
                endpoints={"AWS_ENDPOINT_URL_LAMBDA": "http://gateway"},
            ),
            find_pod=self._find_pod,
            installation_key=KEY,
            gateway=name,
            peers=lambda: [f"127.0.0.1:{each.server.port}" for each in world.gateways],
            on_failed=self.demand.fails,
        )
        self.admission = Admission()
        self.service = InvokeService(
            finder=Finder(self.table, read=self._read, observe=lambda *_: None),
            registry=self.registry,
            sender=self.server,
            admission=self.admission,
            wait_limit=wait_limit,
            fate_patience=0.2,
        )
        self._ids = itertools.count(1)

    def switch(self, key: DeploymentKey | None, **change: Any) -> None:
        new = None
        if key is not None:
            new = FunctionFacts(
                namespace="default",
                name="area",
                uid="f",
                aws_name="area",
                created="",
                timeout=3,
                serving=Serving(deployment=key.name, revision=f"d-{key.name}"),
            )
            new = dataclasses.replace(new, **change)
        self.table.change_function(self.function, new)
        self.function = new

    def _retire(self, keys: frozenset[DeploymentKey]) -> None:
        for key in keys:
            self.demand.retire(key)

    async def invoke(self, event: bytes = b"1", **change: Any) -> InvokeAnswer:
        request = InvokeRequest(
            namespace="default",
            function_name="area",
            qualifier=None,
            invoked_arn=ARN,
            payload=event,
            request_id=f"r{next(self._ids)}",
        )
        return await self.service.invoke(dataclasses.replace(request, **change))

    async def stream(self, event: bytes = b"1", **change: Any) -> InvokeStream:
        request = InvokeRequest(
            namespace="default",
            function_name="area",
            qualifier=None,
            invoked_arn=ARN,
            payload=event,
            request_id=f"r{next(self._ids)}",
        )
        return await self.service.stream(dataclasses.replace(request, **change))

    async def _find_pod(self, _: str, __: str, uid: str) -> PodFacts | None:
        return self.world.pods.get(uid)

    async def _deployment(self, key: DeploymentKey) -> DeploymentFacts | None:
        return self.world.deployments.get(key)

    async def _read(self, _: object, __: str, name: str) -> dict[str, Any]:
        raise NotFound(404, "NotFound", name)


@asynccontextmanager
async def running(gateways: int = 1, wait_limit: float = WAIT_LIMIT_S) -> AsyncIterator[World]:
    """Run a world with so many gateways and one function served from ``area-latest-1``."""
    world = World()
    try:
        for number in range(gateways):
            gateway = Gateway(world, f"gw-{number}", wait_limit)
            await gateway.server.start(0, "127.0.0.1")
            world.gateways.append(gateway)
        world.switch(world.add_deployment())
        yield world
    finally:
        await world.close()


async def until(condition: Callable[[], object], limit: float = 60.0) -> None:
    """Wait for a condition that other tasks bring about."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110  conditions are of every kind
            await asyncio.sleep(0.002)
