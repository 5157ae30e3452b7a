"""Objects of one kind that need work, each worked on until it needs none.

Place: under ``resolver``. Invariants: driven by watch events, one piece of work per object at a
time; what fails for a reason outside the object is tried again with growing waits; ``nudge`` ends
those waits, when something has changed that any of them may wait for. Being run twice is harmless
as long as the work is. Not here: what the work is.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from klambda_core.kinds import Kind
from klambda_core.limits import MIB
from klambda_gateway.blobs import StoreError
from klambda_gateway.code.turns import Turns
from klambda_kube.api import Api
from klambda_kube.errors import KubeError
from klambda_kube.reflector import Key, Reflector
from klambda_obs import logs

PARALLEL = 24
"""Objects at once: each is two calls to the API server and one to the store, one after the other,
and in a cluster that is busy with the rest of an apply they wait for each of them."""
WEIGHT = 4 * MIB
"""Of the sources within these objects (each at most 1.5 MB, etcd's limit): the same again as a
parsed object, as bytes and as a zip on its way, so some 24 MiB of memory."""
WAIT_S = 0.5
WAIT_MAX_S = 60.0

_log = logs.get("klambda.gateway.code")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """An object; it itself is read when its turn comes."""

    key: Key
    version: str
    needs: bool
    weight: int


class Worklist:
    """Works while ``run()`` runs."""

    def __init__(
        self,
        api: Api,
        kind: Kind,
        *,
        needs: Callable[[Mapping[str, Any]], bool],
        work: Callable[[str, str], Awaitable[bool]],
        weigh: Callable[[Mapping[str, Any]], int] = lambda _: 0,
        namespaces: Sequence[str] | None = None,
        wait: float = WAIT_S,
        changed: Callable[[], None] | None = None,
    ) -> None:
        """``needs``: whether an object needs work; ``work``: do it, False to be called again.

        ``weigh``: bytes that the work will have in memory several times over; ``wait``: first
        pause; ``changed`` is told of every change of an object, needed or not.
        """
        self._api = api
        self._kind = kind
        self._needs = needs
        self._weigh = weigh
        self._work = work
        self._wait = wait
        self._told = changed
        self._namespaces = namespaces
        self._turns = Turns(PARALLEL, WEIGHT)
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._news: dict[Key, asyncio.Event] = {}
        self._weights: dict[Key, int] = {}

    async def run(self) -> None:
        """Follow all objects until cancelled."""
        mirror: Reflector[_Seen] = Reflector(
            self._api,
            self._kind,
            self._project,
            namespaces=self._namespaces,
            on_change=self._changed,
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

    def nudge(self) -> None:
        """Try again at once what waits for another try."""
        for news in self._news.values():
            news.set()

    def _project(self, body: Mapping[str, Any]) -> _Seen | None:
        needs = self._needs(body)
        if not needs and self._told is None:
            return None
        metadata = body["metadata"]
        return _Seen(
            key=(metadata["namespace"], metadata["name"]),
            version=metadata.get("resourceVersion") or "",
            needs=needs,
            weight=self._weigh(body) if needs else 0,
        )

    def _changed(self, _: _Seen | None, new: _Seen | None) -> None:
        if self._told is not None:
            self._told()
        if new is None or not new.needs:
            return
        self._weights[new.key] = new.weight
        if new.key in self._tasks:
            self._news[new.key].set()
            return
        self._news[new.key] = asyncio.Event()
        self._tasks[new.key] = asyncio.create_task(self._settle(new.key))

    async def _settle(self, key: Key) -> None:
        """Work on one object until there is nothing left to do about it."""
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
                del self._tasks[key], self._news[key], self._weights[key]
                return

    async def _tried(self, key: Key) -> bool:
        what = {"kind": self._kind.kind, "namespace": key[0], "object": key[1]}
        try:
            async with self._turns.of(self._weights[key]):
                return await self._work(*key)
        except (KubeError, StoreError) as error:
            _log.warning("code-unresolved", error=str(error), **what)
        except Exception:  # noqa: BLE001 - one odd object must not stop the others
            _log.exception("code-resolution-failed", **what)
        return False
