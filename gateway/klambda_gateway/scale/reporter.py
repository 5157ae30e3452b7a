"""Telling in the Function's or Version's status whether its instances start.

Place: ``demand`` reports beginnings and ends of failing; this writes condition ``InstancesStart``
as its own field manager (docs/runtime-contract.md §7). Invariants: the latest report wins; one
write at a time per object; a failure to write is logged and forgotten: the next report says it
again. Not here: judging (``starts``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from klambda_core.conditions import Fact, merge
from klambda_core.crd.status import Condition
from klambda_core.kinds import FUNCTION, VERSION, Kind
from klambda_core.labels import MANAGER_GATEWAY_STARTS
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.starts import Failure
from klambda_kube.errors import KubeError
from klambda_obs import logs

CONDITION: Final = "InstancesStart"
_log = logs.get("klambda.gateway.starts")


class StatusApi(Protocol):
    """What is needed of the Kubernetes API."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        """Read one object."""
        ...

    async def apply(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> dict[str, Any]:
        """Apply one object."""
        ...


class StartsReporter:
    """Writes the condition."""

    def __init__(
        self,
        api: StatusApi,
        *,
        served_by: Callable[[DeploymentKey], Entry | None],
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._served_by = served_by
        self._now = now
        self._news: dict[tuple[Kind, str, str], Failure | None] = {}
        self._tasks: dict[tuple[Kind, str, str], asyncio.Task[None]] = {}

    def report(self, key: DeploymentKey, failure: Failure | None) -> None:
        """Take news of a Deployment."""
        entry = self._served_by(key)
        if entry is None:
            return
        subject = _subject(entry, key)
        self._news[subject] = failure
        if subject not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._write(subject))
            self._tasks[subject] = task
            task.add_done_callback(lambda _: self._tasks.pop(subject, None))

    async def _write(self, subject: tuple[Kind, str, str]) -> None:
        while subject in self._news:
            failure = self._news.pop(subject)
            try:
                await self._apply(*subject, failure)
            except KubeError as error:
                _log.warning("starts-not-reported", name=subject[2], error=str(error))

    async def _apply(self, kind: Kind, namespace: str, name: str, failure: Failure | None) -> None:
        found = await self._api.get(kind, namespace, name)
        meta, status = found["metadata"], found.get("status") or {}
        observed = [
            Condition.model_validate(each)
            for each in status.get("conditions") or ()
            if each.get("type") == CONDITION
        ]
        (condition,) = merge(
            observed, [_fact(failure)], generation=meta.get("generation", 0), now=self._now()
        )
        await self._api.apply(
            kind,
            namespace,
            name,
            {
                "metadata": {"name": name, "uid": meta["uid"]},
                "status": {"conditions": [condition.to_json()]},
            },
            field_manager=MANAGER_GATEWAY_STARTS,
            subresource="status",
        )


def _subject(entry: Entry, key: DeploymentKey) -> tuple[Kind, str, str]:
    for version in entry.versions.values():
        if version.serving is not None and version.serving.deployment == key.name:
            return VERSION, version.namespace, version.name
    return FUNCTION, entry.function.namespace, entry.function.name


def _fact(failure: Failure | None) -> Fact:
    if failure is None:
        return Fact(type=CONDITION, status="True", reason="Started", message="Instances start.")
    return Fact(type=CONDITION, status="False", reason=failure.reason, message=failure.message)
