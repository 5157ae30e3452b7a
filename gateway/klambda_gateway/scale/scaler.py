"""The leader's tick: gather numbers, decide, let go what is not needed, start what is provisioned.

Place: a task that acts only while this gateway holds the lease; every gateway runs it. Two leaders
for a moment are harmless: a drain is confirmed by the instance, replicas are lowered with the
resourceVersion that the decision saw. Invariants: a Deployment that fails costs no other its tick.
Not here: the decision (``decide``), starting for requests (``demand``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from klambda_core.kinds import POD, Kind
from klambda_core.labels import MANAGER_GATEWAY
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record, Slot
from klambda_gateway.instances.registry import InstancePool, Registry
from klambda_gateway.scale.decide import Idle, Spec, State, Targets, Window, decide
from klambda_gateway.scale.demand import Demand, Replicas
from klambda_gateway.scale.starts import SCHEDULING_PATIENCE_S, hopeless
from klambda_kube.errors import Conflict, KubeError, NotFound
from klambda_obs import logs

TICK_S: Final = 1.0
CONFIRM_S: Final = 0.1
"""An idle instance confirms its drain sooner: who gives way is let go by the same tick."""
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
CHEAP: Final = "-2147483648"
"""The lowest cost Kubernetes knows: goes first."""

_log = logs.get("klambda.gateway.scaler")


class PodApi(Protocol):
    """What is needed of the Kubernetes API."""

    async def merge_patch(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        """Patch one object."""
        ...

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete one object."""
        ...


class Drains(Protocol):
    """Who can talk to instances."""

    def drain(self, record: Record, now: float, mode: str = "idle") -> None:
        """Ask an instance to take no more."""
        ...


class Scaler:
    """Lets instances go."""

    def __init__(
        self,
        api: PodApi,
        registry: Registry,
        server: Drains,
        demand: Demand,
        starter: Replicas,
        *,
        spec: Callable[[DeploymentKey], Spec],
        wanted: Callable[[], Iterable[DeploymentKey]],
        leads: Callable[[], bool],
        after: Callable[[], None] = lambda: None,
        make_room: Callable[[float], bool] = lambda _: False,
        patience: float = SCHEDULING_PATIENCE_S,
    ) -> None:
        """``wanted``: the Deployments that have replicas or should have, with or without pods.

        ``make_room`` (``crowding``) begins a tick, ``after`` ends it; ``patience``: as ``demand``.
        """
        self._api = api
        self._registry = registry
        self._server = server
        self._demand = demand
        self._starter = starter
        self._spec = spec
        self._wanted = wanted
        self._leads = leads
        self._after = after
        self._make_room = make_room
        self._patience = patience
        self._states: dict[DeploymentKey, State] = {}
        self._first_seen: dict[str, float] = {}

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self._demand.tick()
            if self._leads():
                await self.tick()
            else:
                self._states.clear()

    async def tick(self) -> None:
        """Decide and act for every Deployment that has instances or should have."""
        now = asyncio.get_running_loop().time()
        self._age(now)
        if self._make_room(now):
            await asyncio.sleep(CONFIRM_S)
        keys = {pool.key for pool in self._registry if pool.records} | set(self._wanted())
        for key in sorted(keys):
            pool = self._registry.pool(key)
            try:
                await self._act(pool, now)
            except KubeError as error:
                _log.warning("scaling-failed", deployment=key.name, error=str(error))
            self._registry.sweep(pool)
        self._states = {key: self._states[key] for key in keys if key in self._states}
        self._after()

    async def _act(self, pool: InstancePool, now: float) -> None:
        key, spec = pool.key, self._spec(pool.key)
        if spec.provisioned:
            self._demand.look(key)
        window = self.window(pool)
        targets, self._states[key] = decide(window, spec, now, self._states.get(key, State()))
        for uid in targets.drain:
            self._server.drain(pool.records[uid], now)
        for record in [pool.records[uid] for uid in targets.delete]:
            await self._delete(record)
        if targets.start:
            await self._demand.start_ahead(key, targets.start)
        if targets.replicas is not None:
            await self._lower(pool, window, targets)

    def window(self, pool: InstancePool) -> Window:
        """Gather what ``decide`` needs to know of one Deployment."""
        pods = list(pool.pods())
        bare = [each for each in pods if each.pod is not None and each.pod.bare]
        kept = [each for each in pods if each.pod is None or not each.pod.bare]
        replicas = self._starter.replicas(pool.key)
        serving = [each for each in kept if each.serving]
        return Window(
            replicas=replicas,
            waiting=len(pool.waiters),
            running=sum(1 for each in pods if each.running),
            idle=tuple(
                Idle(
                    uid=each.uid,
                    since=each.idle_since,
                    provisioned=each.provisioned is True,
                    broken=each.init_failed,
                )
                for each in pods
                if each.slot is Slot.IDLE
                and each.attempt is None
                and each.idle_since is not None
                and not each.spoilt
            ),
            done=tuple(each.uid for each in kept if each.over),
            ended=tuple(each.uid for each in pool.records.values() if _ended(each)),
            absent=self._absent(kept),
            bare=len(bare),
            bare_done=tuple(each.uid for each in bare if each.over),
            bare_absent=self._absent(bare),
            pods=len(kept),
            ready=all(each.pod is not None and each.pod.ready for each in serving),
            starting=self._demand.in_flight(pool.key),
            provisioned=pool.ahead(),
            coming=coming(pods, replicas + len(bare)),
            failing=self._demand.failing(pool.key),
        )

    def _absent(self, pods: Iterable[Record]) -> tuple[Idle, ...]:
        return tuple(
            Idle(uid=each.uid, since=self._absent_since(each)) for each in pods if each.boot is None
        )

    def _absent_since(self, record: Record) -> float:
        """Since when a pod is waited for; one that cannot start is not worth waiting for."""
        seen = self._first_seen.get(record.uid, float("inf"))
        patient = seen + self._patience > asyncio.get_running_loop().time()
        if record.pod is not None and hopeless(record.pod) and not patient:
            return float("-inf")
        return seen

    async def _lower(self, pool: InstancePool, window: Window, targets: Targets) -> None:
        key = pool.key
        for record in [each for uid, each in pool.records.items() if uid in targets.release]:
            await self._make_cheap(record)
        lowered = await self._starter.lower(
            key, from_replicas=window.replicas, to_replicas=targets.replicas or 0
        )
        if lowered:
            _log.info(
                "instances-released",
                namespace=key.namespace,
                deployment=key.name,
                count=len(targets.release),
                replicas=targets.replicas,
            )

    async def _make_cheap(self, record: Record) -> None:
        pod = record.pod
        if pod is None or pod.deletion_cost == CHEAP:
            return
        patch = {"metadata": {"uid": pod.uid, "annotations": {DELETION_COST: CHEAP}}}
        with contextlib.suppress(NotFound, Conflict):  # gone, or another pod by now
            await self._api.merge_patch(
                POD, pod.namespace, pod.name, patch, field_manager=MANAGER_GATEWAY
            )

    async def _delete(self, record: Record) -> None:
        pod = record.pod
        if pod is None:
            return
        _log.info("ended-instance-deleted", pod=pod.name)
        with contextlib.suppress(NotFound, Conflict):
            await self._api.delete(POD, pod.namespace, pod.name, uid=pod.uid)

    def _age(self, now: float) -> None:
        """Note when each instance was first seen."""
        self._first_seen = {uid: self._first_seen.get(uid, now) for uid in self._registry.records}


def coming(pods: Iterable[Record], replicas: int) -> int:
    """Count the replicas of which it is not known yet what they were started for."""
    told = sum(1 for each in pods if each.provisioned is not None)
    return max(0, replicas - told)


def _ended(record: Record) -> bool:
    """Tell whether it is a dead pod that its ReplicaSet has replaced already."""
    pod = record.pod
    return pod is not None and pod.ended and not pod.deleting and not record.pod_gone
