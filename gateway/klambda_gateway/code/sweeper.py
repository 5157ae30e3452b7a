"""Deletes blobs that nothing has named for a day, and tombstones that nobody needs.

Place: a task of the gateway that holds the lease. Invariants: references are read afresh from
Kubernetes, all of them, after the blobs were listed; when any list fails nothing is deleted; the
store deletes only what has been neither uploaded nor asked for since it was listed, so that what
is brought into use meanwhile is never lost to a sweep; only namespaces of this installation are
touched. A new leader begins to count anew. Not here: what may go (``sweeping``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from pydantic import ValidationError

from klambda_core.crd import LayerVersion
from klambda_core.kinds import DEPLOYMENT, FUNCTION, LAYER_VERSION, VERSION, Kind
from klambda_core.labels import SELECTOR
from klambda_gateway.blobs import Blobs, StoreError
from klambda_gateway.clock import steady
from klambda_gateway.code.shelf import Shelf
from klambda_gateway.code.sweeping import Idle, Key, References, StoredBlob, due, removable
from klambda_kube.api import Api
from klambda_kube.errors import Conflict, KubeError, NotFound
from klambda_obs import logs

AGE_S: Final = 86_400.0
INTERVAL_S: Final = 600.0
PAGE: Final = 100

_log = logs.get("klambda.gateway.sweeper")


class Sweeper:
    """Sweeps while ``run()`` runs."""

    def __init__(
        self,
        api: Api,
        blobs: Blobs,
        shelf: Shelf,
        *,
        namespaces: Sequence[str] | None = None,
        age: float = AGE_S,
        interval: float = INTERVAL_S,
        now: Callable[[], float] | None = None,
    ) -> None:
        """``namespaces``: those of the installation, None for all; ``age`` in seconds."""
        self._api = api
        self._blobs = blobs
        self._shelf = shelf
        self._namespaces = namespaces
        self._age = age
        self._interval = interval
        self._now = now or steady()
        self._since: dict[Key, Idle] = {}

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.sweep()
            except (KubeError, StoreError) as error:
                _log.warning("not-swept", error=str(error))
            except Exception:  # noqa: BLE001 - the next sweep may go better
                _log.exception("sweep-failed")

    async def sweep(self) -> None:
        """Look once, and delete what is due."""
        blobs = await self._stored()
        references = References()
        for kind in (FUNCTION, VERSION):
            async for body in self._bodies(kind):
                references.add(body)
        async for body in self._bodies(DEPLOYMENT, SELECTOR):
            references.add(body)
        layers = [body async for body in self._bodies(LAYER_VERSION)]
        await self._clear(layers, references)
        for body in layers:
            # Of a tombstone that goes now, too: its content's day begins when it has gone.
            references.add(body)
        going, self._since = due(blobs, references, self._since, now=self._now(), age=self._age)
        for blob in going:
            if await self._blobs.delete(blob):
                _log.info("blob-swept", namespace=blob.namespace, sha256=blob.sha256)

    async def _stored(self) -> list[StoredBlob]:
        namespaces = await self._blobs.namespaces()
        if self._namespaces is not None:
            namespaces = [each for each in namespaces if each in self._namespaces]
        return [blob for each in namespaces for blob in await self._blobs.list(each)]

    async def _bodies(self, kind: Kind, selector: str = "") -> AsyncIterator[dict[str, Any]]:
        scopes: Sequence[str | None] = self._namespaces or [None]
        for scope in scopes:
            async for page in self._api.pages(kind, scope, label_selector=selector, limit=PAGE):
                for body in page.items:
                    yield body

    async def _clear(self, bodies: Sequence[dict[str, Any]], references: References) -> None:
        layers = []
        for body in bodies:
            try:
                layer = LayerVersion.read(body)
            except ValidationError:
                continue
            layers.append((layer, self._shelf.arn(layer)))
        for layer in removable(layers, references):
            try:
                await self._api.delete(
                    LAYER_VERSION, layer.namespace, layer.name, uid=layer.uid,
                    resource_version=layer.metadata.resource_version,  # kubectl may revive it
                )  # fmt: skip
            except (NotFound, Conflict):
                continue
            _log.info("tombstone-swept", namespace=layer.namespace, layer=layer.name)
