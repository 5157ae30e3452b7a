"""A gateway's scaling with instances and a node that are simulated, in virtual time.

Registry, pool, demand, pace, burst, scaler and ``decide`` are the gateway's own, unmodified.
Simulated are Kubernetes (a node that brings up one pod after the other) and the instances (an INIT,
then one request at a time). No sockets, no sleep: an hour takes a second. Tests and
``make bench-scaling`` run the same scenarios on it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from klambda_core.kinds import Kind
from klambda_core.limits import BURST_LIMIT
from klambda_gateway.instances.acquire import BurstUsedUp, acquire
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.scale.decide import Spec
from klambda_gateway.scale.demand import Demand
from klambda_gateway.scale.scaler import Scaler

KEY: Final = DeploymentKey("default", "area-latest-1")
START_S: Final = 0.2
"""From the scale call to the dial, one pod alone (docs/performance.md, "Cold start")."""
NEXT_S: Final = 0.075
"""Between two starts on one node: 150 ms of CPU on two cores."""
READY_S: Final = 0.9
"""Until the pod is seen Ready."""
WAIT_S: Final = 60.0
SAMPLE_S: Final = 0.25


@dataclass(slots=True, kw_only=True)
class Sample:
    """What there was at one moment."""

    at: float
    requests: int
    """In the house: waiting or running."""
    waiting: int
    instances: int
    """Pods, those on their way included."""


@dataclass(slots=True, kw_only=True)
class Trace:
    """What came of a scenario."""

    samples: list[Sample] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """From arrival until the run began, by request."""
    throttled: int = 0
    requests: int = 0
    """Most at once."""
    starts: int = 0
    over: int = 0
    """Most instances beyond the requests that there were, while none had become idle yet."""
    busy_seconds: float = 0.0

    @property
    def instance_seconds(self) -> float:
        """What they cost."""
        return sum(each.instances for each in self.samples) * SAMPLE_S

    @property
    def instances(self) -> int:
        """Most at any sample."""
        return max((each.instances for each in self.samples), default=0)

    def wait(self, share: float) -> float:
        """A quantile of the waits, in seconds."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class House:
    """The gateway's parts around one function."""

    def __init__(
        self, *, spec: Spec, burst: int = BURST_LIMIT, init: float = 0.03, start: float = START_S
    ) -> None:
        """``init``: seconds of INIT; ``start``: from the scale call to the dial."""
        self.trace = Trace()
        self._loop = asyncio.get_running_loop()
        self._init = init
        self._start = start
        self._numbers = itertools.count(1)
        self._replicas = 0
        self._free_at = 0.0
        self._inside = 0
        self._ready: dict[str, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.registry = Registry(clock=self._loop.time)
        self.demand = Demand(self.registry, self, known=self._known, burst=lambda _: burst)
        self.registry.on_short = self.demand.short
        self.registry.on_arrival = self.demand.arrived
        self._scaler = Scaler(
            self,
            self.registry,
            self,
            self.demand,
            self,
            spec=lambda _: spec,
            wanted=lambda: [KEY],
            leads=lambda: True,
        )

    def begin(self) -> None:
        """Start ticking and sampling."""
        for work in (self._scaler.run(), self._sample()):
            self._spawn(work)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Stop everything."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- requests ---------------------------------------------------------------------------------

    async def request(self, seconds: float) -> None:
        """One request that runs so long."""
        began = self._loop.time()
        attempt = f"a{next(self._numbers)}"
        self._inside += 1
        self.trace.requests = max(self.trace.requests, self._inside)
        try:
            record = await acquire(self.registry, KEY, attempt, deadline=began + WAIT_S)
            await self._ready[record.uid].wait()
            record.accepted(self._loop.time())
            self.trace.waits.append(self._loop.time() - began)
            await asyncio.sleep(seconds)
            self.trace.busy_seconds += seconds
            record.ended(attempt, self._loop.time())
            self.registry.touch(record)
            self.demand.ran(KEY, seconds)
        except BurstUsedUp:
            self.trace.throttled += 1
        finally:
            self._inside -= 1

    async def _sample(self) -> None:
        while True:
            self.trace.samples.append(
                Sample(
                    at=self._loop.time(),
                    requests=self._inside,
                    waiting=sum(len(pool.waiters) for pool in self.registry),
                    instances=self._replicas,
                )
            )
            await asyncio.sleep(SAMPLE_S)

    # --- Kubernetes: the starter ------------------------------------------------------------------

    def replicas(self, _: DeploymentKey) -> int:
        """See ``demand.Replicas``."""
        return self._replicas

    async def start(self, _: DeploymentKey, count: int, *, ceiling: int | None = None) -> int:
        """See ``starter.Starter``."""
        inside = self._inside  # of which there may be fewer when Kubernetes has answered
        await asyncio.sleep(0.003)
        if ceiling is not None:
            count = min(count, ceiling - self._replicas)
        self._replicas += count
        self.trace.starts += count
        self.trace.over = max(self.trace.over, self._replicas - inside)
        for _number in range(count):
            self._spawn(self._pod())
        return count

    async def lower(self, _: DeploymentKey, *, from_replicas: int, to_replicas: int) -> bool:
        """See ``starter.Starter``."""
        if from_replicas != self._replicas:
            return False
        self._replicas = to_replicas
        leaving = [record for record in self.registry.records.values() if record.drained]
        for record in leaving[: from_replicas - to_replicas]:
            if record.pod is not None:
                self.registry.lose_pod(record.pod)
            self.registry.unlink(record)
        return True

    def _known(self, _: DeploymentKey) -> DeploymentFacts:
        return DeploymentFacts(
            key=KEY, uid="d", resource_version="1", replicas=self._replicas, function="area"
        )

    async def _pod(self) -> None:
        now = self._loop.time()
        self._free_at = max(self._free_at + NEXT_S, now)
        name = f"area-{next(self._numbers)}"
        pod = PodFacts(namespace="default", name=name, uid=name, deployment=KEY.name)
        self._ready[name] = asyncio.Event()
        self.registry.see_pod(pod)
        await asyncio.sleep(self._free_at - now + self._start)
        record = self.registry.link(name, KEY, boot="b", state="assigning")
        await asyncio.sleep(self._init)
        self._ready[name].set()
        if record.attempt is None:
            record.told("idle", 0, self._loop.time())
            self.registry.touch(record)
        await asyncio.sleep(READY_S)
        if not record.pod_gone:
            self.registry.see_pod(dataclasses.replace(pod, ready=True))

    # --- Kubernetes: pods; instances: drains ------------------------------------------------------

    async def merge_patch(
        self,
        _: Kind,
        __: str,
        ___: str,
        ____: Mapping[str, Any],
        *,
        field_manager: str,  # noqa: ARG002
    ) -> dict[str, Any]:
        """See ``scaler.PodApi``."""
        return {}

    async def delete(self, _: Kind, __: str, ___: str, *, uid: str) -> None:
        """See ``scaler.PodApi``."""
        raise AssertionError(f"{uid}: no pod of this world dies by itself")

    def drain(self, record: Record, now: float, mode: str = "idle") -> None:  # noqa: ARG002
        """See ``scaler.Drains``."""
        record.ask_drain(now)
        self.registry.touch(record)
        self._loop.call_later(0.002, self._drained, record)

    def _drained(self, record: Record) -> None:
        if record.attempt is None:
            record.told("drained", record.served, self._loop.time())
            self.registry.touch(record)
