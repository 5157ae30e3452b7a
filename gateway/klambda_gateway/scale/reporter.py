"""Telling in the Function's or Version's status whether its instances start.

Place: ``demand`` reports beginnings and ends of failing; this writes condition ``InstancesStart``
as its own field manager (docs/runtime-contract.md §7). Invariants: the latest report wins; one
write at a time per object, conditional on the object that was read, never about a namesake made
later; a failure to write is logged and forgotten: the next report says it again. Not here: judging
(``starts``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from klambda_core.conditions import Fact, merge
from klambda_core.crd.status import Condition
from klambda_core.kinds import FUNCTION, VERSION, Kind
from klambda_core.labels import MANAGER_GATEWAY_STARTS
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.starts import Failure
from klambda_gateway.scale.status import StatusApi
from klambda_kube.errors import Conflict, KubeError, NotFound
from klambda_obs import logs

CONDITION: Final = "InstancesStart"
ATTEMPTS: Final = 5
"""How often a report is written anew when somebody else was faster (design: resources)."""

_log = logs.get("klambda.gateway.starts")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """The object that a report is about."""

    kind: Kind
    namespace: str
    name: str
    function_uid: str


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
        self._news: dict[_Subject, Failure | None] = {}
        self._tasks: dict[_Subject, asyncio.Task[None]] = {}

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

    async def _write(self, subject: _Subject) -> None:
        while subject in self._news:
            failure = self._news.pop(subject)
            try:
                await self._report(subject, failure)
            except NotFound:
                continue
            except KubeError as error:
                _log.warning("starts-not-reported", name=subject.name, error=str(error))

    async def _report(self, subject: _Subject, failure: Failure | None) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            found = await self._api.get(subject.kind, subject.namespace, subject.name)
            if not _belongs(found, subject):
                return
            try:
                await self._apply(subject, found, failure)
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    async def _apply(
        self, subject: _Subject, found: Mapping[str, Any], failure: Failure | None
    ) -> None:
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
            subject.kind,
            subject.namespace,
            subject.name,
            {
                "metadata": {"name": subject.name, "resourceVersion": meta["resourceVersion"]},
                "status": {"conditions": [condition.to_json()]},
            },
            field_manager=MANAGER_GATEWAY_STARTS,
            subresource="status",
        )


def _subject(entry: Entry, key: DeploymentKey) -> _Subject:
    function = entry.function
    for version in entry.versions.values():
        places = (version.serving, version.place)
        if any(each is not None and each.deployment == key.name for each in places):
            return _Subject(
                kind=VERSION,
                namespace=version.namespace,
                name=version.name,
                function_uid=function.uid,
            )
    return _Subject(
        kind=FUNCTION, namespace=function.namespace, name=function.name, function_uid=function.uid
    )


def _belongs(found: Mapping[str, Any], subject: _Subject) -> bool:
    """Whether this is the function itself, or a version of it."""
    meta = found["metadata"]
    owners = {each["uid"] for each in meta.get("ownerReferences") or ()}
    return subject.function_uid in {meta["uid"], *owners}


def _fact(failure: Failure | None) -> Fact:
    if failure is None:
        return Fact(type=CONDITION, status="True", reason="Started", message="Instances start.")
    return Fact(type=CONDITION, status="False", reason=failure.reason, message=failure.message)
