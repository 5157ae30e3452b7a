"""The resync: list everything, correct memory, look at every object again.

Watches lose deletions (kopf does not notice what vanished while a watch was broken), so each kind
is listed at start, once more when the watches run, and then every ten minutes ± 20 %. Swept keys go
to the low priority.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol

from klambda_core import labels
from klambda_core.kinds import ALIAS, DEPLOYMENT, FUNCTION, VERSION, Kind
from klambda_kube.api import ListResult
from klambda_kube.errors import Gone, KubeError
from klambda_obs.logs import Logger
from klambda_operator.model import Key, Priority
from klambda_operator.observed import Observed
from klambda_operator.workqueue import WorkQueue

WATCHED: Sequence[Kind] = (FUNCTION, VERSION, ALIAS, DEPLOYMENT)
JITTER = 0.2
PAGE = 200


class Lister(Protocol):
    """What sweeping needs of `klambda_kube.api.Api`."""

    def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        limit: int = PAGE,
    ) -> AsyncIterator[ListResult]:
        """As `Api` has it."""


class Sweeper:
    """Brings memory and queue in line with the API server."""

    def __init__(
        self,
        *,
        api: Lister,
        observed: Observed,
        queue: WorkQueue[Key],
        namespaces: Sequence[str],
        log: Logger,
        jitter: Callable[[], float],
    ) -> None:
        self._api = api
        self._observed = observed
        self._queue = queue
        self._scopes: Sequence[str | None] = namespaces or (None,)
        self._log = log
        self._jitter = jitter

    async def correct(self) -> set[Key]:
        """List all kinds into memory; returns the keys that turned out to be concerned."""
        concerned: set[Key] = set()
        for kind in WATCHED:
            selector = labels.SELECTOR if kind == DEPLOYMENT else ""
            for scope in self._scopes:
                try:
                    await self._list(kind, scope, selector, PAGE, concerned)
                except Gone:
                    # The snapshot behind the pages expired midway: once more, in one piece.
                    await self._list(kind, scope, selector, 0, concerned)
        return concerned

    async def _list(
        self, kind: Kind, scope: str | None, selector: str, limit: int, concerned: set[Key]
    ) -> None:
        """Page by page, so that memory never holds a whole list; adds to `concerned`."""
        listed: set[Key] = set()
        version = ""
        pages = self._api.pages(kind, scope, label_selector=selector, limit=limit)
        async for page in pages:
            version = page.resource_version
            for body in page.items:
                metadata = body["metadata"]
                listed.add(Key(kind.plural, metadata.get("namespace", ""), metadata["name"]))
                concerned |= self._observed.put(kind, body)
        concerned |= self._observed.prune(kind, listed, version, namespace=scope)

    def enqueue(self, keys: Iterable[Key]) -> None:
        """Have keys looked at when there is time."""
        for key in sorted(keys):
            self._queue.add(key, Priority.LOW)

    async def look_again(self) -> None:
        """What changed between the first list and the watches; an error leaves it to `run`."""
        try:
            self.enqueue(await self.correct())
        except KubeError as error:
            self._log.warning("sweep-failed", error=error)

    async def run(self, every: float) -> None:
        """Sweep for ever; the first time after one interval."""
        while True:
            await asyncio.sleep(every * (1 - JITTER + 2 * JITTER * self._jitter()))
            try:
                await self.correct()
            except KubeError as error:
                self._log.warning("sweep-failed", error=error)
                continue
            self.enqueue(self._observed.keys())
