"""Reserved and provisioned concurrency as arithmetic: what an account has left. Pure.

A function takes from the account's pool what it reserves; without a reservation, what is
provisioned on its versions and aliases. At least 100 must stay unreserved (aws-contract f).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from klambda_core.crd.alias import Alias
from klambda_core.crd.function import Function
from klambda_core.crd.status import ProvisionedOfAlias
from klambda_core.crd.version import Version

Qualified = Version | Alias


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """An account's concurrency and who has a share of it; functions by uid."""

    limit: int
    reserved: Mapping[str, int]
    provisioned: Mapping[str, int]

    def unreserved(self, *, apart_from: str = "") -> int:
        """What nobody has reserved, that function not counted."""
        uids = (self.reserved.keys() | self.provisioned.keys()) - {apart_from}
        return self.limit - sum(self.share(uid) for uid in uids)

    def share(self, uid: str) -> int:
        """What one function takes from the pool."""
        return self.reserved.get(uid, self.provisioned.get(uid, 0))


def pool_of(limit: int, functions: Iterable[Function], qualified: Iterable[Qualified]) -> Pool:
    """The pool of an account with these functions; children of vanished ones do not count."""
    by_name = {function.name: function for function in functions}
    reserved = {
        function.uid: function.spec.reserved_concurrent_executions
        for function in by_name.values()
        if function.spec.reserved_concurrent_executions is not None
    }
    provisioned: dict[str, int] = {}
    for each in qualified:
        owner = by_name.get(each.spec.function_ref)
        wanted = each.spec.provisioned_concurrent_executions
        if owner is None or wanted is None or each.controller_uid() not in (None, owner.uid):
            continue
        provisioned[owner.uid] = provisioned.get(owner.uid, 0) + wanted
    return Pool(limit=limit, reserved=reserved, provisioned=provisioned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """How far a provisioned concurrency is."""

    requested: int
    allocated: int = 0
    available: int = 0
    status: Literal["IN_PROGRESS", "READY", "FAILED"] = "IN_PROGRESS"
    reason: str | None = None


def provisioned_of(item: Qualified) -> Provisioned | None:
    """What Lambda tells about it: READY only when that many instances were seen initialised.

    Of an alias: of what it points to, and its requests go there.
    """
    wanted = item.spec.provisioned_concurrent_executions
    if wanted is None:
        return None
    seen = item.status.provisioned_concurrency
    if seen is None or seen.requested != wanted:
        return Provisioned(requested=wanted)
    elsewhere = isinstance(item, Alias) and _points_elsewhere(item)
    if elsewhere and isinstance(seen, ProvisionedOfAlias) and seen.waiting_since is None:
        return Provisioned(requested=wanted)  # told of the former versions
    status: Literal["IN_PROGRESS", "READY", "FAILED"] = "IN_PROGRESS"
    if seen.reason is not None:
        status = "FAILED"
    elif seen.available >= wanted and not elsewhere:
        status = "READY"
    return Provisioned(
        requested=wanted,
        allocated=seen.allocated,
        available=seen.available,
        status=status,
        reason=seen.reason,
    )


def _points_elsewhere(alias: Alias) -> bool:
    """Whether its requests go to other versions than it points to."""
    seen, spec = alias.status.provisioned_concurrency, alias.spec
    if seen is None or seen.versions is None:
        return False
    route = {each.version: each.weight for each in seen.versions}
    if spec.function_version is None:
        pointed = {each.version: each.weight for each in alias.status.versions or ()}
    else:
        routing = spec.routing_config
        extra = dict((routing.additional_version_weights or {}) if routing is not None else {})
        pointed = {spec.function_version: 1.0 - sum(extra.values()), **extra}
    return route != pointed
