"""Provisioned concurrency: who wants how many instances of what, and how far that is. Pure.

    Version, or Alias split by weight ─► shares of Deployments ─► wanted per Deployment
    what the Deployments have ─► what each Version and Alias is told (its status)
    an Alias that points elsewhere ─► both are kept ─► initialised ─► its requests follow

Place: the routing table's swaps come in by ``changed``; ``decide`` keeps what is ``wanted``;
``keeper`` writes what ``tell`` says. Invariants: no I/O; an event costs what its function has of
versions and aliases; a function is kept no more than it may run at once (its reservation, else the
account's limit), versions first; an instance is told to one holder only.
Not here: the arithmetic of the account's pool (``klambda_core.concurrency``), starting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from math import ceil
from typing import Final

from klambda_core.arn import is_version
from klambda_core.clock import kube_timestamp, parse_timestamp
from klambda_core.kinds import ALIAS, VERSION, Kind
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import AliasFacts, Kept, Shares
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.renewal import Renewal, renewals

INIT_FAILURE: Final = "FUNCTION_ERROR_INIT_FAILURE"
"""StatusReason when the function's own INIT fails (aws-contract f)."""
_DIGITS: Final = 6
"""Beyond these, a product of weight and number is binary noise: 10 x (1 - 0.7) are 3."""


Parts = tuple[tuple[DeploymentKey, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A Version or Alias that has provisioned concurrency, or is told something of it."""

    kind: Kind
    namespace: str
    name: str
    requested: int | None
    kept: Kept | None
    """What its status says now."""
    shares: Parts = ()
    """What can be kept now: of versions that are served from somewhere."""
    targets: Shares = ()
    """Of an alias: what it points to."""
    route: Shares = ()
    """Of an alias: where its requests go."""
    outgoing: Parts = ()
    """What is kept of the route, while that is another."""
    complete: bool = True
    """Everything that is wanted is served from somewhere."""

    def keeps(self) -> Iterator[tuple[DeploymentKey, int]]:
        """Return how many are kept of each Deployment."""
        counts = dict(self.outgoing)
        for key, count in self.shares:
            counts[key] = max(count, counts.get(key, 0))
        return iter(counts.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is of one Deployment."""

    allocated: int = 0
    available: int = 0
    reason: str | None = None


def split(count: int, targets: Iterable[tuple[str, float]]) -> list[tuple[str, int]]:
    """Split an alias's number by weight, rounded up; nothing of ``$LATEST`` is provisioned."""
    parts = [(version, ceil(round(count * weight, _DIGITS))) for version, weight in targets]
    return [(version, part) for version, part in parts if part > 0 and is_version(version)]


def holders(entry: Entry) -> tuple[Holder, ...]:
    """Return those of one function, versions first."""
    found = []
    for number, version in sorted(entry.versions.items()):
        if version.provisioned is not None or version.kept is not None:
            wanted = [(number, version.provisioned or 0)]
            found.append(
                Holder(
                    kind=VERSION,
                    namespace=version.namespace,
                    name=version.name,
                    requested=version.provisioned,
                    kept=version.kept,
                    shares=_shares(entry, wanted),
                )
            )
    found += [_of_alias(entry, alias) for _, alias in sorted(entry.aliases.items())]
    named = [each for each in found if each.requested is not None or each.kept is not None]
    return _bounded(named, entry.function.at_once)


def _of_alias(entry: Entry, alias: AliasFacts) -> Holder:
    count, route = alias.provisioned or 0, entry.routes[alias.alias]
    wanted = split(count, alias.targets)
    shares = _shares(entry, wanted)
    return Holder(
        kind=ALIAS,
        namespace=alias.namespace,
        name=alias.name,
        requested=alias.provisioned,
        kept=alias.kept,
        shares=shares,
        targets=alias.targets,
        route=route,
        outgoing=_shares(entry, split(count, route)) if route != alias.targets else (),
        complete=len(shares) == len(wanted),
    )


def _shares(entry: Entry, wanted: Iterable[tuple[str, int]]) -> Parts:
    shares = []
    for number, count in wanted:
        version = entry.versions.get(number)
        if count and version is not None and version.place is not None:
            key = DeploymentKey(entry.function.namespace, version.place.deployment)
            shares.append((key, count))
    return tuple(shares)


def _bounded(found: Iterable[Holder], left: int) -> tuple[Holder, ...]:
    limit, bounded = left, []
    for holder in found:
        shares = []
        for key, count in holder.shares:
            shares.append((key, min(count, left)))
            left -= shares[-1][1]
        # For a while there are more than may run: the old ones beside the new.
        outgoing = tuple((key, min(count, limit)) for key, count in holder.outgoing)
        bounded.append(replace(holder, shares=tuple(shares), outgoing=outgoing))
    return tuple(bounded)


def tell(
    found: Iterable[Holder], has: Mapping[DeploymentKey, Found], now: datetime, patience: float
) -> Iterator[tuple[Holder, Kept | None]]:
    """Return what each holder's status should say; what one is told, the next is not.

    ``patience``: so many seconds an alias waits for what it points to.
    """
    left = dict(has)
    for holder in found:
        if holder.requested is None:
            yield holder, None
            continue
        allocated = available = 0
        reason, there_all = None, holder.complete
        for key, count in holder.shares:
            there = left.get(key, Found())
            mine = Found(
                allocated=min(count, there.allocated), available=min(count, there.available)
            )
            left[key] = replace(
                there,
                allocated=there.allocated - mine.allocated,
                available=there.available - mine.available,
            )
            allocated, available = allocated + mine.allocated, available + mine.available
            reason = reason or (there.reason if mine.available < count else None)
            there_all = there_all and mine.available == count
        told = _told(holder, holder.requested, allocated, available, reason)
        yield holder, switch(holder, told, ready=there_all, now=now, patience=patience)


def _told(
    holder: Holder, requested: int, allocated: int, available: int, reason: str | None
) -> Kept:
    """What failed stays failed, for the same number and versions, until everything is there."""
    before = holder.kept
    if reason is None and before is not None and before.requested == requested:
        begins = holder.route != holder.targets and before.since is None
        reason = None if begins else before.reason
    short = available < requested
    return Kept(
        requested=requested,
        allocated=min(allocated, requested),
        available=min(available, requested),
        reason=reason if short else None,
    )


def switch(holder: Holder, told: Kept, *, ready: bool, now: datetime, patience: float) -> Kept:
    """Say where an alias's requests go: to what it points to when that is ready, or overdue."""
    if holder.route == holder.targets:
        return replace(told, route=holder.targets)
    since = holder.kept.since if holder.kept is not None else None
    began = parse_timestamp(since) if since is not None else now
    overdue = began is None or now - began >= timedelta(seconds=patience)
    if ready or overdue:
        return replace(told, route=holder.targets)
    return replace(told, route=holder.route, since=since or kube_timestamp(now))


class Provisioning:
    """Everything that is wanted, by function and by Deployment."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], tuple[Holder, ...]] = {}
        self._renewals: dict[tuple[str, str], tuple[Renewal, ...]] = {}
        self._wanted: dict[DeploymentKey, int] = {}

    def changed(self, before: Entry | None, after: Entry | None) -> None:
        """Follow a function's entry in the routing table."""
        entry = after or before
        if entry is None:
            return
        name = (entry.function.namespace, entry.function.aws_name)
        for key in _counted(self._holders.pop(name, ()), self._renewals.pop(name, ())):
            self._wanted.pop(key, None)
        if after is None:
            return
        if found := holders(after):
            self._holders[name] = found
        if moving := tuple(renewals(after, _counted(found))):
            self._renewals[name] = moving
        self._wanted |= _counted(found, moving)

    def wanted(self, key: DeploymentKey) -> int:
        """Return how many instances of a Deployment are to be kept."""
        return self._wanted.get(key, 0)

    def deployments(self) -> Collection[DeploymentKey]:
        """Return the Deployments of which something is kept."""
        return self._wanted.keys()

    def renewals(self) -> Iterator[Renewal]:
        """Return the versions that say where their requests go, or are to say it."""
        return chain.from_iterable(self._renewals.values())

    def by_function(self) -> Collection[tuple[Holder, ...]]:
        """Return all holders."""
        return self._holders.values()


def _counted(found: Iterable[Holder], moving: Iterable[Renewal] = ()) -> dict[DeploymentKey, int]:
    """Count what is kept of each Deployment; a new revision's beside the old one's."""
    counts: Counter[DeploymentKey] = Counter()
    for holder in found:
        counts.update(dict(holder.keeps()))
    for each in moving:
        if each.old is not None and each.count:
            counts[each.new] += each.count
    return dict(counts)
