"""Provisioned concurrency: who wants how many instances of what, and how far that is. Pure.

    Version, or Alias split by weight ─► shares of Deployments ─► wanted per Deployment
    what the Deployments have ─► what each Version and Alias is told (its status)

Place: the routing table's swaps come in by ``changed``; ``decide`` keeps what is ``wanted``;
``keeper`` writes what ``tell`` says. Invariants: no I/O; an event costs what its function has of
versions and aliases; a function is kept no more than it may run at once (its reservation, else the
account's limit), versions first; an instance is told to one holder only.
Not here: the arithmetic of the account's pool (``klambda_core.concurrency``), starting.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from klambda_core.arn import is_version
from klambda_core.kinds import ALIAS, VERSION, Kind
from klambda_core.limits import CONCURRENT_EXECUTIONS
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import AliasFacts, Kept
from klambda_gateway.routing.table import Entry

INIT_FAILURE: Final = "FUNCTION_ERROR_INIT_FAILURE"
"""StatusReason when the function's own INIT fails (aws-contract f)."""
_DIGITS: Final = 6
"""Beyond these, a product of weight and number is binary noise: 10 x (1 - 0.7) are 3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A Version or Alias that has provisioned concurrency, or is told something of it."""

    kind: Kind
    namespace: str
    name: str
    requested: int | None
    kept: Kept | None
    """What its status says now."""
    shares: tuple[tuple[DeploymentKey, int], ...] = ()
    """What can be kept now: of versions that are served from somewhere."""


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
    return _bounded(named, entry.function.reserved)


def _of_alias(entry: Entry, alias: AliasFacts) -> Holder:
    wanted = split(alias.provisioned or 0, alias.targets)
    return Holder(
        kind=ALIAS,
        namespace=alias.namespace,
        name=alias.name,
        requested=alias.provisioned,
        kept=alias.kept,
        shares=_shares(entry, wanted),
    )


def _shares(
    entry: Entry, wanted: Iterable[tuple[str, int]]
) -> tuple[tuple[DeploymentKey, int], ...]:
    shares = []
    for number, count in wanted:
        version = entry.versions.get(number)
        if count and version is not None and version.serving is not None:
            key = DeploymentKey(entry.function.namespace, version.serving.deployment)
            shares.append((key, count))
    return tuple(shares)


def _bounded(found: Iterable[Holder], reserved: int | None) -> tuple[Holder, ...]:
    left = CONCURRENT_EXECUTIONS if reserved is None else reserved
    bounded = []
    for holder in found:
        shares = []
        for key, count in holder.shares:
            shares.append((key, min(count, left)))
            left -= shares[-1][1]
        bounded.append(replace(holder, shares=tuple(shares)))
    return tuple(bounded)


def tell(
    found: Iterable[Holder], has: Mapping[DeploymentKey, Found]
) -> Iterator[tuple[Holder, Kept | None]]:
    """Return what each holder's status should say; what one is told, the next is not."""
    left = dict(has)
    for holder in found:
        if holder.requested is None:
            yield holder, None
            continue
        allocated = available = 0
        reason = None
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
        yield holder, _told(holder, holder.requested, allocated, available, reason)


def _told(
    holder: Holder, requested: int, allocated: int, available: int, reason: str | None
) -> Kept:
    """What failed stays failed, for the same number, until everything is there."""
    before = holder.kept
    if reason is None and before is not None and before.requested == requested:
        reason = before.reason
    short = available < requested
    return Kept(
        requested=requested,
        allocated=min(allocated, requested),
        available=min(available, requested),
        reason=reason if short else None,
    )


class Provisioning:
    """Everything that is wanted, by function and by Deployment."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, str], tuple[Holder, ...]] = {}
        self._wanted: dict[DeploymentKey, int] = {}

    def changed(self, before: Entry | None, after: Entry | None) -> None:
        """Follow a function's entry in the routing table."""
        entry = after or before
        if entry is None:
            return
        name = (entry.function.namespace, entry.function.aws_name)
        for key, _ in _all_shares(self._holders.pop(name, ())):
            self._wanted.pop(key, None)
        found = holders(after) if after is not None else ()
        if found:
            self._holders[name] = found
        for key, count in _all_shares(found):
            self._wanted[key] = self._wanted.get(key, 0) + count

    def wanted(self, key: DeploymentKey) -> int:
        """Return how many instances of a Deployment are to be kept."""
        return self._wanted.get(key, 0)

    def deployments(self) -> Collection[DeploymentKey]:
        """Return the Deployments of which something is kept."""
        return self._wanted.keys()

    def by_function(self) -> Collection[tuple[Holder, ...]]:
        """Return all holders."""
        return self._holders.values()


def _all_shares(found: Iterable[Holder]) -> Iterator[tuple[DeploymentKey, int]]:
    for holder in found:
        yield from holder.shares
