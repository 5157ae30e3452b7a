"""The gateway's life: what starts after what, who leads, and how it ends.

    mirrors, keys ─synced─► instance server, scaler, lease ─► HTTP ─► ready
    stop ─► not ready, lease given back ─► linger ─► running requests finish ─► instances unlinked

Place: ``program`` makes one and sets ``stop`` on a signal. Invariants: nothing is served before
the mirrors are synced; ready means also that the instances that live have dialled in (or 5 s have
passed); a background part that ends ends the process, so that Kubernetes starts a sound one.
Not here: composition (``app``).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Coroutine, Iterable
from typing import Any, Final

from klambda_gateway.app import Gateway
from klambda_gateway.auth.keys import ensure_default_key
from klambda_gateway.heap import keep_freed_memory
from klambda_gateway.invoke import story
from klambda_gateway.settings import Settings
from klambda_kube.api import Api
from klambda_kube.errors import KubeError
from klambda_kube.installation import get_or_create_key
from klambda_obs import logs
from klambda_obs.health import HealthServer

ACQUAINTANCE_S: Final = 5.0
"""How long live instances may take to dial in (design/data-plane.md)."""
SWEEP_S: Final = 1.0
REFRESH_EVERY: Final = 5
"""Sweeps between asking instances that do somebody else's work what they do."""
GC_THRESHOLD: Final = (20_000, 20, 20)
"""A request makes some 60 objects and no cycles; by default Python looks every dozen of them."""
LEASE_POLL_S: Final = 0.5
RETRY_S: Final = 1.0

_log = logs.get("klambda.gateway")


async def prepare(settings: Settings, api: Api) -> str:
    """Make what the installation needs at its first start; return the installation key."""
    while True:
        try:
            key = await get_or_create_key(
                api, namespace=settings.namespace, name=settings.installation_secret
            )
            made = await ensure_default_key(
                api,
                namespace=settings.namespace,
                name=settings.credentials_secret,
                account=settings.default_account,
            )
        except KubeError as error:  # the API server, or our RoleBinding, is still on its way
            _log.warning("not-prepared", error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            _log.info("prepared", default_key_made=made)
            return key


class Process:
    """One run of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._settings = gateway.settings
        self._tasks: set[asyncio.Task[None]] = set()
        self._started_at: float | None = None
        self.stop = asyncio.Event()
        """Set it to end."""

    async def run(self) -> None:
        """Serve until ``stop``, then finish what runs. Raises what a part ended with."""
        health = HealthServer(
            port=self._settings.admin_port,
            metrics=self._gateway.metrics,
            ready={"gateway": self.unready},
        )
        async with health:
            try:
                await self._until(self._synced(), self.stop.wait())
                if not self.stop.is_set():
                    await self._serve()
            finally:
                await self._end()

    def unready(self) -> str | None:
        """Say why no requests should come here now."""
        if self.stop.is_set():
            return "stopping"
        if self._started_at is None:
            return "mirrors not synced"
        if asyncio.get_running_loop().time() - self._started_at >= ACQUAINTANCE_S:
            return None
        linked = self._gateway.server.linked()
        missing = sum(
            1 for pod in self._gateway.mirrors.pods if pod.ready and pod.uid not in linked
        )
        return f"{missing} instances have not dialled in yet" if missing else None

    # --- order ------------------------------------------------------------------------------------

    async def _synced(self) -> None:
        gateway = self._gateway
        for work in (gateway.mirrors.run(), gateway.keys.run()):
            self._background(work)
        # Without annotations to follow it ends at once: not a vital part.
        self._background(gateway.accounts.run(), vital=False)
        await gateway.mirrors.wait_synced()
        await gateway.keys.synced.wait()
        await gateway.accounts.synced()

    async def _serve(self) -> None:
        gateway, settings = self._gateway, self._settings
        # What stands now, stays: modules, and the mirrors' objects. Full collections, which hold up
        # every request, need not walk them.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        keep_freed_memory()
        await gateway.server.start(settings.instance_port)
        self._started_at = asyncio.get_running_loop().time()
        self._background(self._sweep())
        self._background(gateway.scale.scaler.run())
        self._background(gateway.events.workers.run())
        leading = self._background(self._lead())
        _log.info(
            "serving",
            http=settings.http_port,
            instances=settings.instance_port,
            compiled=not str(story.__file__).endswith(".py"),
        )
        serving = gateway.http.run_until(self.stop, settings.linger_seconds)
        release = asyncio.ensure_future(self._release(leading))
        try:
            await self._until(serving)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.grace_seconds):
                    await self._until(gateway.events.workers.drained())
        finally:
            release.cancel()

    async def _release(self, leading: asyncio.Task[None]) -> None:
        """Give the lease back as soon as we are asked to stop: another one leads on at once.

        Events are left to others from now on, too.
        """
        await self.stop.wait()
        self._gateway.events.workers.stop()
        self._tasks.discard(leading)
        leading.cancel()

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._gateway.server.stop()
        await self._gateway.blobs.close()
        await self._gateway.fetcher.close()
        await self._gateway.events.close()
        _log.info("ended")

    # --- background -------------------------------------------------------------------------------

    async def _lead(self) -> None:
        """Stand for the lease; resolve code and sweep while it is ours."""
        lease = self._gateway.scale.lease
        election = asyncio.ensure_future(lease.run())
        try:
            while not election.done():
                await lease.acquired.wait()
                resolving = asyncio.ensure_future(self._gateway.lead())
                try:
                    # A lost lease is told by no event, only an acquired one.
                    while lease.acquired.is_set() and not resolving.done():  # noqa: ASYNC110
                        await asyncio.sleep(LEASE_POLL_S)
                finally:
                    await _cancelled(resolving)
        finally:
            await _cancelled(election)

    async def _sweep(self) -> None:
        """Do each second what must not cost the hot path timers."""
        turn = 0
        while True:
            await asyncio.sleep(SWEEP_S)
            turn += 1
            self._gateway.service.sweep()
            if turn % REFRESH_EVERY == 0:
                self._gateway.server.refresh()

    def _background(
        self, work: Coroutine[Any, Any, None], *, vital: bool = True
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        if not vital:
            task.add_done_callback(self._tasks.discard)
        return task

    async def _until(self, *works: Coroutine[Any, Any, Any]) -> None:
        """Run until one of these is done; a background part that ends first is an error."""
        own = [asyncio.ensure_future(work) for work in works]
        try:
            while not any(each.done() for each in own):
                await asyncio.wait(
                    (*own, *self._tasks), timeout=SWEEP_S, return_when="FIRST_COMPLETED"
                )
                _raise_first(task for task in self._tasks if task.done())
            for each in own:
                if each.done():
                    each.result()
        finally:
            for each in own:
                await _cancelled(each)


async def _cancelled(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _raise_first(ended: Iterable[asyncio.Task[None]]) -> None:
    for task in ended:
        task.result()
        raise RuntimeError(f"{task.get_coro()!r} ended")
