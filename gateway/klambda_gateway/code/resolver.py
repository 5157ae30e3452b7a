"""Code resolution: every Function's code ends up in the store, and its status says so.

Place: a task of the gateway that holds the lease; it owns ``status.code`` and the condition
CodeResolved (docs/runtime-contract.md, 7). Invariants: driven by watch events, one piece of work
per function at a time; what fails for a reason outside the object is tried again with growing
waits; what is wrong in the object is said once and waits for its change; a status is written only
when it would differ. Being run twice is harmless: blobs are named by digest, statuses are applied.
Not here: what is to be done (``sources``).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from klambda_core.conditions import merge
from klambda_core.crd import Function, ResolvedCode
from klambda_core.kinds import FUNCTION
from klambda_core.labels import MANAGER_GATEWAY_CODE
from klambda_gateway.auth.gate import utc_now
from klambda_gateway.blobs import Blobs, StoreError
from klambda_gateway.code.sources import (
    Lookup,
    Outcome,
    Package,
    missing,
    needed,
    says,
    settled,
    stored,
)
from klambda_kube.api import Api
from klambda_kube.errors import Conflict, KubeError, NotFound
from klambda_kube.reflector import Key, Reflector
from klambda_obs import logs

PARALLEL = 4
"""Functions at once: packing is memory, the store is one disk."""
WAIT_S = 0.5
WAIT_MAX_S = 60.0

_log = logs.get("klambda.gateway.code")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unsettled:
    """A function that needs a look; the object itself is read when its turn comes."""

    key: Key
    version: str


class CodeResolver:
    """Resolves code while ``run()`` runs."""

    def __init__(
        self,
        api: Api,
        blobs: Blobs,
        *,
        namespaces: Sequence[str] | None = None,
        observe: Callable[[Mapping[str, Any]], None] = lambda _: None,
        now: Callable[[], datetime] = utc_now,
        wait: float = WAIT_S,
    ) -> None:
        """``observe`` is shown every object whose status was written; ``wait``: first pause."""
        self._api = api
        self._blobs = blobs
        self._observe = observe
        self._now = now
        self._wait = wait
        self._namespaces = namespaces
        self._turns = asyncio.Semaphore(PARALLEL)
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._news: dict[Key, asyncio.Event] = {}

    async def run(self) -> None:
        """Follow all functions until cancelled."""
        mirror: Reflector[_Unsettled] = Reflector(
            self._api, FUNCTION, project, namespaces=self._namespaces, on_change=self._changed
        )
        try:
            await mirror.run()
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _changed(self, _: _Unsettled | None, new: _Unsettled | None) -> None:
        if new is None:
            return
        if new.key in self._tasks:
            self._news[new.key].set()
            return
        self._news[new.key] = asyncio.Event()
        self._tasks[new.key] = asyncio.create_task(self._settle(new.key))

    async def _settle(self, key: Key) -> None:
        """Work on one function until there is nothing left to do about it."""
        news, wait = self._news[key], self._wait
        while True:
            news.clear()
            if not await self._tried(key):
                jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, hides nothing
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), wait * jitter)
                wait = min(wait * 2, WAIT_MAX_S)
            elif not news.is_set():
                # No await between the question and this: no news can be missed.
                del self._tasks[key], self._news[key]
                return

    async def _tried(self, key: Key) -> bool:
        try:
            async with self._turns:
                return await self.resolve(*key)
        except (KubeError, StoreError) as error:
            _log.warning("code-unresolved", function=key[1], error=str(error))
        except Exception:  # noqa: BLE001 - one odd function must not stop the others
            _log.exception("code-resolution-failed", function=key[1])
        return False

    async def resolve(self, namespace: str, name: str) -> bool:
        """Do what one function needs now; False when it should be looked at again later."""
        try:
            function = Function.read(await self._api.get(FUNCTION, namespace, name))
        except NotFound:
            return True
        if function.deleting or settled(function):
            return True
        outcome = await self._carry_out(namespace, await asyncio.to_thread(needed, function))
        if not says(function, outcome):
            try:
                await self._write(function, outcome)
            except (Conflict, NotFound):
                return False  # replaced meanwhile: look again
        return not outcome.retry

    async def _carry_out(self, namespace: str, work: Package | Lookup | Outcome) -> Outcome:
        match work:
            case Package():
                ref = await self._blobs.put(namespace, work.data)
                code = ResolvedCode(sha256=ref.sha256, size=ref.size, source=work.source)
                return stored(ref.sha256, code)
            case Lookup():
                there = await self._blobs.exists(namespace, work.sha256)
                return stored(work.sha256) if there else missing(work.sha256)
            case Outcome():
                return work

    async def _write(self, function: Function, outcome: Outcome) -> None:
        conditions = merge(
            function.status.conditions,
            [outcome.fact],
            generation=function.metadata.generation,
            now=self._now(),
        )
        status: dict[str, Any] = {"conditions": [each.to_json() for each in conditions]}
        if outcome.code is not None:
            status["code"] = outcome.code.to_json()
        written = await self._api.apply(
            FUNCTION,
            function.namespace,
            function.name,
            {
                # A precondition (a uid here would be none): never write about a namesake.
                "metadata": {
                    "name": function.name,
                    "resourceVersion": function.metadata.resource_version,
                },
                "status": status,
            },
            field_manager=MANAGER_GATEWAY_CODE,
            subresource="status",
        )
        self._observe(written)
        _log.info("code-resolved", function=function.name, reason=outcome.fact.reason)


def project(body: Mapping[str, Any]) -> _Unsettled | None:
    """A function that needs a look, else None."""
    try:
        function = Function.read(body)
    except ValidationError:
        return None
    if function.deleting or settled(function):
        return None
    return _Unsettled(
        key=(function.namespace, function.name), version=function.metadata.resource_version or ""
    )
