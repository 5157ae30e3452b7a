"""Telling in the status of Versions and Aliases how far their provisioned concurrency is.

Place: the leader's tick ends here; it alone writes, as its own field manager, what the API and
``kubectl`` read (docs/runtime-contract.md §7). The status is written and not computed on request:
every gateway then says the same, a gateway that has just started does not deny what is there, and
objects made by ``kubectl`` are told the same way. Invariants: written only when it differs from
what the watch has shown; one write at a time per object; a failed write is told again a tick later.
Not here: the numbers (``provisioned``), keeping instances (``decide``, ``scaler``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from klambda_core.kinds import VERSION, Kind
from klambda_core.labels import MANAGER_GATEWAY_PROVISIONED, MANAGER_GATEWAY_WARM
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.routing.facts import Kept, Warm
from klambda_gateway.scale.provisioned import INIT_FAILURE, Found, Provisioning, tell
from klambda_gateway.scale.renewal import settle
from klambda_gateway.scale.starts import Failure
from klambda_gateway.scale.status import AppliesStatus
from klambda_kube.errors import KubeError, NotFound
from klambda_obs import logs

PROVISIONED: Final = "provisionedConcurrency"
WARM: Final = "warm"
_MANAGERS: Final = {PROVISIONED: MANAGER_GATEWAY_PROVISIONED, WARM: MANAGER_GATEWAY_WARM}
"""An apply states all that its manager wants, so each member of the status has one."""

_What = tuple[Kind, str, str, str]
"""Kind, namespace and name of an object, and the member of its status."""

_log = logs.get("klambda.gateway.provisioned")


class Keeper:
    """Knows what is provisioned, and says so."""

    def __init__(
        self,
        api: AppliesStatus,
        provisioning: Provisioning,
        registry: Registry,
        *,
        trouble: Callable[[DeploymentKey], Failure | None],
        now: Callable[[], datetime],
        patience: float,
        exists: Callable[[DeploymentKey], bool] = lambda _: True,
        runs: Counter[str] | None = None,
    ) -> None:
        """``patience``: so many seconds requests wait for what is to be warm, at most.

        ``exists``: whether there is such a Deployment; ``runs`` counts those of versions of which
        something is kept.
        """
        self._api = api
        self._provisioning = provisioning
        self._registry = registry
        self._trouble = trouble
        self._now = now
        self._patience = patience
        self._exists = exists
        self._runs: Counter[str] = Counter() if runs is None else runs
        self._tasks: dict[_What, asyncio.Task[None]] = {}

    def short(self, key: DeploymentKey) -> bool:
        """Tell whether the next instance of a Deployment is one to be kept."""
        pool = self._registry.pools.get(key)
        return self._provisioning.wanted(key) > (pool.ahead() if pool is not None else 0)

    def available(self) -> int:
        """Count the instances that are kept initialised."""
        return sum(self._found(key).available for key in self._provisioning.deployments())

    def ran(self, record: Record) -> None:
        """Count a run on what is kept, or beside it."""
        if self._provisioning.wanted(record.key):
            self._runs["provisioned" if record.provisioned else "spillover"] += 1

    def report(self) -> None:
        """Write what has changed."""
        has = {key: self._found(key) for key in self._provisioning.deployments()}
        for found in self._provisioning.by_function():
            for holder, kept in tell(found, has, self._now(), self._patience):
                if kept != holder.kept:
                    what = (holder.kind, holder.namespace, holder.name, PROVISIONED)
                    self._tell(what, None if kept is None else _document(kept))
        for renewal in self._provisioning.renewals():
            old = renewal.old
            warm = settle(
                renewal,
                available=self._found(renewal.new).available,
                gone=old is not None and not self._exists(old),
                now=self._now(),
                patience=self._patience,
            )
            if warm != renewal.warm:
                what = (VERSION, renewal.namespace, renewal.name, WARM)
                self._tell(what, None if warm is None else _place(warm))

    def _tell(self, what: _What, document: dict[str, Any] | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = asyncio.get_running_loop().create_task(self._write(what, document))
            self._tasks[what].add_done_callback(partial(self._wrote, what))

    def _wrote(self, what: _What, _: asyncio.Task[None]) -> None:
        self._tasks.pop(what, None)

    def _found(self, key: DeploymentKey) -> Found:
        pool = self._registry.pools.get(key)
        pods = list(pool.pods()) if pool is not None else []
        ahead = [each for each in pods if each.provisioned and not each.spoilt]
        trouble = self._trouble(key)
        reason = trouble.reason if trouble is not None else None
        if any(each.init_failed for each in ahead):
            reason = INIT_FAILURE
        return Found(
            allocated=len(ahead) + sum(1 for each in pods if each.provisioned is None),
            available=sum(1 for each in ahead if each.initialised),
            reason=reason,
        )

    async def _write(self, what: _What, document: dict[str, Any] | None) -> None:
        kind, namespace, name, member = what
        try:
            await self._api.apply(
                kind,
                namespace,
                name,
                {
                    "metadata": {"name": name},
                    "status": {} if document is None else {member: document},
                },
                field_manager=_MANAGERS[member],
                subresource="status",
            )
        except NotFound:
            pass  # deleted meanwhile
        except KubeError as error:
            _log.warning("provisioned-not-told", name=name, member=member, error=str(error))


def _document(kept: Kept) -> dict[str, Any]:
    told: dict[str, Any] = {
        "requested": kept.requested,
        "allocated": kept.allocated,
        "available": kept.available,
    }
    if kept.reason is not None:
        told["reason"] = kept.reason
    if kept.route:
        told["versions"] = [{"version": name, "weight": share} for name, share in kept.route]
    if kept.since is not None:
        told["waitingSince"] = kept.since
    return told


def _place(warm: Warm) -> dict[str, Any]:
    told = {"deployment": warm.deployment, "revision": warm.revision}
    return told if warm.since is None else told | {"waitingSince": warm.since}
