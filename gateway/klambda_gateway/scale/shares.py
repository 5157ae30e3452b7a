"""Reserved concurrency bounds instances: how many of a function may still be started.

    R = 2     revision 1: ● idle  ● running      revision 2: wants 1
              └─ drained: out of the count ──────► may start

Instances count over all revisions and versions of a function: what its Deployments are told to
keep, less those that have confirmed their drain or died, plus those that finish a run while their
pod is being deleted. As no more than R can run anything, no number of gateways can run more.

An instance that drains though nobody here asked it to may have been asked by another gateway, and
its place is free; or its pod is being deleted, and Kubernetes is making another one: the watch will
tell in a moment, until then it counts.

Place: ``demand`` asks before each start. Invariants: only idle instances are asked to go, of
superseded revisions first, then the longest idle ones, and only as many as are wanted elsewhere;
provisioned ones stay. Not here: who may wait (``admission``), writing replicas (``starter``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from klambda_gateway.instances.family import Families
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import InstancePool, Registry
from klambda_gateway.routing.table import Entry

NEWS_S: Final = 1.0
"""So long the watch may take to show that a pod is being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a Deployment's function reserves, and where its instances are."""

    reserved: int
    deployments: Collection[DeploymentKey]
    """All of the function, this one among them."""
    serving: Collection[DeploymentKey]
    """Those that a version runs on now."""


def share_of(entry: Entry, families: Families) -> Share | None:
    """Return what bounds a function; None when nothing of its own does."""
    function = entry.function
    if function.limit is None:
        return None
    return Share(
        reserved=function.limit,
        deployments=families.of((function.namespace, function.name)),
        serving=entry.deployments(),
    )


class Shares:
    """The bound."""

    def __init__(
        self,
        registry: Registry,
        *,
        share: Callable[[DeploymentKey], Share | None],
        replicas: Callable[[DeploymentKey], int],
        drain: Callable[[Record], None],
    ) -> None:
        """``share``: None for a function that reserves nothing."""
        self._registry = registry
        self._share = share
        self._replicas = replicas
        self._drain = drain

    def room(self, key: DeploymentKey, wanted: int) -> int | None:
        """Return how many more instances this Deployment may have, None for any number.

        When that is less than wanted, idle ones of the function's other Deployments give way; they
        make room when they have confirmed.
        """
        share = self._share(key)
        if share is None:
            return None
        taken = sum(self._taken(each) for each in share.deployments)
        free = max(0, share.reserved - taken)
        if free < wanted:
            self._make_room(key, share, wanted - free)
        return free

    def _taken(self, key: DeploymentKey) -> int:
        pool = self._registry.pools.get(key)
        if pool is None:
            return self._replicas(key)
        kept = list(pool.pods())
        now = self._registry.clock()
        out = sum(1 for record in kept if record.over and not _unexplained(record, now))
        finishing = sum(
            1 for record in pool.records.values() if record.linked and record.running
        ) - sum(1 for record in kept if record.linked and record.running)
        return max(0, self._replicas(key) - out) + finishing

    def _make_room(self, key: DeploymentKey, share: Share, count: int) -> None:
        pools = [self._registry.pools.get(each) for each in share.deployments if each != key]
        idle: list[tuple[bool, float, Record]] = []
        asked, now = 0, self._registry.clock()
        for pool in pools:
            if pool is not None:
                asked += sum(1 for each in pool.records.values() if _leaving(each, now))
                idle += [
                    (pool.key in share.serving, record.idle_since or 0.0, record)
                    for record in _spare(pool, kept=pool.key in share.serving)
                ]
        idle.sort(key=lambda each: each[:2])
        for _, _, record in idle[: max(0, count - asked)]:
            self._drain(record)


def _unexplained(record: Record, now: float) -> bool:
    """Tell whether it has just drained, and not because of us."""
    since = record.drained_since
    return record.drained and record.drain_asked is None and now - (since or 0.0) < NEWS_S


def _leaving(record: Record, now: float) -> bool:
    """Tell whether it was asked to go a moment ago and has not answered yet."""
    return record.linked and not record.spoilt and record.going(now)


def _spare(pool: InstancePool, *, kept: bool) -> list[Record]:
    """Return the idle ones; ``kept``: not those that are kept provisioned."""
    return [
        record
        for record in pool.records.values()
        if record.free and not (kept and record.provisioned)
    ]
