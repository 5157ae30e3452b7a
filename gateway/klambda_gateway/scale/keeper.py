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
from typing import Any

from klambda_core.kinds import Kind
from klambda_core.labels import MANAGER_GATEWAY_PROVISIONED
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.routing.facts import Kept
from klambda_gateway.scale.provisioned import INIT_FAILURE, Found, Holder, Provisioning, tell
from klambda_gateway.scale.starts import Failure
from klambda_gateway.scale.status import AppliesStatus
from klambda_kube.errors import KubeError, NotFound
from klambda_obs import logs

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
        runs: Counter[str] | None = None,
    ) -> None:
        """``patience``: so many seconds an alias waits for what it points to.

        ``runs`` counts those of versions of which something is kept.
        """
        self._api = api
        self._provisioning = provisioning
        self._registry = registry
        self._trouble = trouble
        self._now = now
        self._patience = patience
        self._runs: Counter[str] = Counter() if runs is None else runs
        self._tasks: dict[tuple[Kind, str, str], asyncio.Task[None]] = {}

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
                name = (holder.kind, holder.namespace, holder.name)
                if kept != holder.kept and name not in self._tasks:
                    task = asyncio.get_running_loop().create_task(self._write(holder, kept))
                    self._tasks[name] = task
                    task.add_done_callback(partial(self._wrote, name))

    def _wrote(self, name: tuple[Kind, str, str], _: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)

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

    async def _write(self, holder: Holder, kept: Kept | None) -> None:
        status: dict[str, Any] = {}
        if kept is not None:
            status["provisionedConcurrency"] = _document(kept)
        try:
            await self._api.apply(
                holder.kind,
                holder.namespace,
                holder.name,
                {"metadata": {"name": holder.name}, "status": status},
                field_manager=MANAGER_GATEWAY_PROVISIONED,
                subresource="status",
            )
        except NotFound:
            pass  # deleted meanwhile
        except KubeError as error:
            _log.warning("provisioned-not-told", name=holder.name, error=str(error))


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
