"""All instances this gateway knows, by pod and by Deployment, and the meeting of both with waiters.

Place: fed by the pod watch (``see_pod``, ``lose_pod``) and by ``instances.server`` (``link``,
``unlink``, and ``touch`` after each piece of evidence); read by ``acquire`` and ``scale``.
Invariants: no I/O; a record lives while its pod or its connection does; after each call no waiter
waits while an instance could take it. Not here: frames, scaling decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from klambda_gateway.instances.abroad import Abroad
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.pool import Pool, Waits
from klambda_gateway.instances.record import Record


class Waiter(Waits, Protocol):
    """Who can be handed an instance."""

    @property
    def since(self) -> float:
        """When it began to wait, in the loop's time."""
        ...

    def grant(self, record: Record) -> None:
        """Take the instance; it is marked with this waiter's attempt already."""
        ...

    def dismiss(self, reason: Exception) -> None:
        """Stop waiting here, for this reason."""
        ...


InstancePool = Pool[Waiter]


def _nobody() -> None:
    """Tell nobody."""


class Registry:
    """Records and pools."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        on_short: Callable[[DeploymentKey], None] = lambda _: None,
        on_arrival: Callable[[DeploymentKey], None] = lambda _: None,
    ) -> None:
        self.clock = clock
        self.on_short = on_short
        """Called when somebody still waits after an event."""
        self.on_arrival = on_arrival
        """Called when an instance can be used for the first time."""
        self.on_free: Callable[[], None] = _nobody
        """Called when an instance was found to do nothing."""
        self.records: dict[str, Record] = {}
        self.pools: dict[DeploymentKey, InstancePool] = {}
        self.abroad = Abroad()

    def __iter__(self) -> Iterator[InstancePool]:
        return iter(list(self.pools.values()))

    def pool(self, key: DeploymentKey) -> InstancePool:
        """Return the pool of a Deployment, made when it is new."""
        found = self.pools.get(key)
        if found is None:
            found = self.pools[key] = Pool(key=key)
        return found

    def bare(self, key: DeploymentKey) -> int:
        """Count a Deployment's Pods that no replicas stand for."""
        pool = self.pools.get(key)
        pods = pool.pods() if pool is not None else ()
        return sum(1 for each in pods if each.pod is not None and each.pod.bare)

    def take(self, key: DeploymentKey, attempt: str) -> Record | None:
        """Hand an instance of a Deployment to this attempt, if there is one now."""
        pool = self.pools.get(key)
        return pool.take(attempt) if pool is not None else None

    def see_pod(self, pod: PodFacts) -> Record:
        """Take the newest state of a pod."""
        record = self._record(pod.uid, pod.key)
        record.see_pod(pod)
        self.touch(record)
        return record

    def lose_pod(self, pod: PodFacts) -> None:
        """Note that a pod was deleted."""
        record = self.records.get(pod.uid)
        if record is not None:
            record.lose_pod()
            self.touch(record)
            self._forget(record)

    def link(self, uid: str, key: DeploymentKey, *, boot: str, state: str) -> Record:
        """Note a proven connection."""
        record = self._record(uid, key)
        record.link(boot, state, self.clock())
        self.touch(record)
        return record

    def unlink(self, record: Record) -> None:
        """Note a lost connection."""
        record.unlink()
        self.touch(record)
        self._forget(record)

    def touch(self, record: Record) -> None:
        """File a record by what is known now, and serve who waits."""
        pool = self.pool(record.key)
        if not record.arrived and record.equipped:
            record.arrived = True
            self.on_arrival(record.key)
        self.abroad.note(record)
        pool.file(record)
        free = record.free
        if pool.waiters:
            self.serve(pool)
        if free:
            self.on_free()

    def serve(self, pool: InstancePool) -> None:
        """Hand out what there is; ask for more when it is not enough."""
        while granted := pool.match():
            if any(record.served for _, record in granted):
                pool.moved = self.clock()
            for waiter, record in granted:
                waiter.grant(record)
                pool.file(record)  # back at once when the waiter had just gone
        if pool.waiters:
            self.on_short(pool.key)

    def sweep(self, pool: InstancePool) -> None:
        """Forget a pool that nobody needs."""
        if pool.empty:
            self.pools.pop(pool.key, None)

    def _record(self, uid: str, key: DeploymentKey) -> Record:
        record = self.records.get(uid)
        if record is None:
            record = self.records[uid] = Record(uid, key)
            self.pool(key).add(record)
        return record

    def _forget(self, record: Record) -> None:
        # A pod that the watch has not shown may have been deleted before we looked.
        if not record.linked and (record.pod_gone or record.pod is None):
            self.records.pop(record.uid, None)
            pool = self.pool(record.key)
            pool.remove(record)
            self.sweep(pool)
