"""The operator's process: lease around everything, then memory, loop, sweep and kopf side by side.

Two replicas may run; one holds the Lease and works, the other waits. A leader that cannot renew its
Lease in time ends at once (`os._exit`): one that winds down politely would act beyond its lease.
"""

import asyncio
import os
import random
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

from klambda_kube import config as kube_config
from klambda_kube.api import Api
from klambda_kube.config import ClusterConfig
from klambda_kube.installation import get_or_create_key
from klambda_kube.lease import Lease
from klambda_obs import logs
from klambda_obs.ending import call_when_told
from klambda_obs.health import HealthServer
from klambda_obs.metrics import Metrics
from klambda_operator import handlers
from klambda_operator.events import EventRecorder
from klambda_operator.execute import Executor
from klambda_operator.gather import Accounts, Gatherer
from klambda_operator.loop import Loop, Pace
from klambda_operator.model import Key
from klambda_operator.observed import Observed
from klambda_operator.settings import Settings, SettingsError, from_environment
from klambda_operator.sweep import Sweeper
from klambda_operator.workqueue import WorkQueue

STUCK_S = 300.0
"""A key that waited so long without being taken means that the loop is stuck."""

log = logs.get("klambda.operator")


class Operator:
    """The parts, wired; `run` works as long as this process leads."""

    def __init__(self, settings: Settings, api: Api, config: ClusterConfig, metrics: Metrics):
        loop = asyncio.get_running_loop()
        self.settings = settings
        self.observed = Observed()
        self.queue: WorkQueue[Key] = WorkQueue(clock=loop.time, jitter=random.random)
        self.ready = asyncio.Event()
        self.stop = asyncio.Event()
        self._api = api
        self._config = config
        self._metrics = metrics

    async def run(self) -> None:
        """Reconcile until `stop` is set."""
        sweeper = Sweeper(
            api=self._api,
            observed=self.observed,
            queue=self.queue,
            namespaces=self.settings.watch_namespaces,
            log=log,
            jitter=random.random,
        )
        await sweeper.correct()
        sweeper.enqueue(self.observed.keys())
        loop = await self._loop()
        log.info("started", objects=len(self.observed))
        tasks = [
            asyncio.create_task(loop.run(), name="loop"),
            asyncio.create_task(sweeper.run(self.settings.resync_seconds), name="sweep"),
            asyncio.create_task(self._second_look(sweeper), name="second look"),
        ]
        try:
            await handlers.watch(
                handlers.Intake(self.observed, self.queue),
                self._config,
                namespaces=self.settings.watch_namespaces,
                ready=self.ready,
                stop=self.stop,
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _second_look(self, sweeper: Sweeper) -> None:
        """What vanished between the first list and the watches."""
        await self.ready.wait()
        await sweeper.look_again()

    async def _loop(self) -> Loop:
        clock = asyncio.get_running_loop().time
        key = await get_or_create_key(
            self._api,
            namespace=self.settings.namespace,
            name=self.settings.installation_secret,
        )
        gatherer = Gatherer(
            api=self._api,
            observed=self.observed,
            accounts=Accounts(self._api, self.settings.accounts, clock),
            settings=self.settings,
            installation_key=key,
            concern=self._concern,
        )
        return Loop(
            queue=self.queue,
            gather=gatherer.gather,
            executor=Executor(self._api, self.observed, self._concern),
            recorder=EventRecorder(self._api, instance=self.settings.pod_name, log=log),
            metrics=self._metrics,
            log=log,
            now=lambda: datetime.now(UTC),
            pace=Pace(self.settings.upgrades_per_second, clock),
            concurrency=self.settings.concurrency,
        )

    def _concern(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.queue.add(key)


async def serve(settings: Settings) -> None:
    """The whole process: health, lease, work."""
    config = kube_config.load()
    metrics = Metrics("operator")
    async with Api(config, observe=metrics.observe_kube) as api:
        operator = Operator(settings, api, config, metrics)
        leading = metrics.gauge("leading", "1 while this process holds the lease.")
        lease = Lease(
            api,
            namespace=settings.namespace,
            name=settings.lease_name,
            identity=settings.pod_name,
            on_acquired=lambda: leading.set(1),
            on_lost=lambda: _lost(operator),
        )
        call_when_told(operator.stop.set)
        checks = {"queue": lambda: _stuck(operator)}
        async with HealthServer(port=settings.admin_port, metrics=metrics, live=checks):
            election = asyncio.create_task(lease.run(), name="lease")
            try:
                await _lead(operator, lease)
            finally:
                election.cancel()
                await asyncio.gather(election, return_exceptions=True)


async def _lead(operator: Operator, lease: Lease) -> None:
    """Work once the lease is held; end when asked to."""
    stopped = asyncio.create_task(operator.stop.wait())
    acquired = asyncio.create_task(lease.acquired.wait())
    await asyncio.wait({stopped, acquired}, return_when=asyncio.FIRST_COMPLETED)
    acquired.cancel()
    if not operator.stop.is_set():
        await operator.run()
    operator.stop.set()
    stopped.cancel()


def _lost(operator: Operator) -> None:
    if not operator.stop.is_set():
        log.error("lease-lost-exit")
        sys.stdout.flush()
        os._exit(1)


def _stuck(operator: Operator) -> str | None:
    oldest = operator.queue.oldest()
    return f"a key has waited for {oldest:.0f} s" if oldest > STUCK_S else None


def main() -> int:
    """The entry point."""
    try:
        settings = from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logs.setup(settings.log_level)
    asyncio.run(serve(settings))
    return 0
