"""The reconcile loop: takes keys from the queue and brings each object where it should be.

key → gather → plan → execute → events. `Again` (the world moved on) is tried anew at once a few
times; a refused Deployment becomes a condition; everything else goes back into the queue with
back-off. A bug is logged with its key and plan, counted, and backed off like any other failure: it
never ends the process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from klambda_core.conditions import Transition
from klambda_core.crd.base import KubeObject
from klambda_kube.errors import KubeError, Throttled
from klambda_obs.logs import Logger
from klambda_obs.metrics import Metrics
from klambda_operator.execute import Again, Refused
from klambda_operator.model import (
    AliasSnapshot,
    Broken,
    Key,
    Plan,
    Priority,
    Snapshot,
)
from klambda_operator.plan import plan
from klambda_operator.workqueue import WorkQueue

TRIES = 4
"""How often a reconcile starts anew at once because the world moved on."""

Gather = Callable[[Key], Awaitable[Snapshot]]


class Executes(Protocol):
    """`execute.Executor`."""

    async def run(self, namespace: str, plan: Plan) -> None:
        """Carry a plan out."""


class Tells(Protocol):
    """`events.EventRecorder`."""

    async def tell(
        self, subject: KubeObject | Broken, transitions: Sequence[Transition], now: datetime
    ) -> None:
        """Write the events of a plan."""


class Pace:
    """Lets upgrades through at a rate: a new release does not replace everything at once."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._interval = 1.0 / per_second
        self._clock = clock
        self._next = float("-inf")

    def wait(self) -> float:
        """0 and the turn is taken, or the seconds until there is one."""
        now = self._clock()
        if now < self._next:
            return self._next - now
        self._next = max(now, self._next) + self._interval
        return 0.0


class Loop:
    """Runs `concurrency` reconciles at a time."""

    def __init__(
        self,
        *,
        queue: WorkQueue[Key],
        gather: Gather,
        executor: Executes,
        recorder: Tells,
        metrics: Metrics,
        log: Logger,
        now: Callable[[], datetime],
        pace: Pace,
        concurrency: int,
    ) -> None:
        self._queue = queue
        self._gather = gather
        self._executor = executor
        self._recorder = recorder
        self._log = log
        self._now = now
        self._pace = pace
        self._slots = asyncio.Semaphore(concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        labels = ("kind", "result")
        self._total = metrics.counter("reconcile", "Reconciles by kind and result.", labels)
        self._seconds = metrics.histogram("reconcile_seconds", "Reconcile time.", ("kind",))
        self._latency = metrics.histogram("queue_latency_seconds", "Time that a key waited.")
        self._retries = metrics.counter("retries", "Reconciles that were put back.", ("kind",))
        metrics.gauge_of("queue_depth", "Keys that wait.", queue.depth)
        metrics.gauge_of("queue_oldest_seconds", "Wait of the oldest key.", queue.oldest)
        metrics.gauge_of("workers_busy", "Reconciles in progress.", lambda: len(self._tasks))

    async def run(self) -> None:
        """Until cancelled; what is in progress is then cancelled too."""
        try:
            while True:
                await self._slots.acquire()
                key, waited = await self._queue.get()
                self._latency.observe(waited)
                task = asyncio.create_task(self._work(key), name=f"reconcile {key.name}")
                self._tasks.add(task)
                task.add_done_callback(self._finished)
        finally:
            for task in self._tasks:
                task.cancel()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _work(self, key: Key) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        result = "error"
        try:
            result = await self._attempt(key)
        finally:
            self._seconds.labels(key.plural).observe(clock() - began)
            self._total.labels(key.plural, result).inc()
            self._queue.done(key)

    async def _attempt(self, key: Key) -> str:
        """One reconcile with everything that can become of it; returns the result's name."""
        try:
            await self._reconcile(key)
        except Again:
            result, at_least = "conflict", 0.0
        except Throttled as error:
            result, at_least = "throttled", error.retry_after or 0.0
        except KubeError as error:
            result, at_least = "error", 0.0
            self._log.warning("reconcile-failed", **_names(key), error=error)
        except Exception:  # noqa: BLE001 - a bug in one object's handling must not stop the others
            result, at_least = "bug", 0.0
            self._log.exception("reconcile-bug", **_names(key))
        else:
            self._queue.forget(key)
            return "success"
        self._retries.labels(key.plural).inc()
        self._queue.retry(key, at_least)
        return result

    async def _reconcile(self, key: Key) -> None:
        refusal: str | None = None
        for attempt in range(1, TRIES + 1):
            snapshot = await self._gather(key)
            if refusal is not None and not isinstance(snapshot, AliasSnapshot):
                snapshot = replace(snapshot, refusal=refusal)
            todo = plan(snapshot, self._now())
            if todo.upgrade and (seconds := self._pace.wait()) > 0:
                self._queue.add_after(key, seconds, Priority.LOW)
                return
            try:
                await self._executor.run(key.namespace, todo)
            except Refused as error:
                refusal = str(error)
                continue
            except Again:
                if attempt == TRIES:
                    raise
                continue
            await self._settled(key, todo)
            return
        raise Again("refused and changing")

    async def _settled(self, key: Key, done: Plan) -> None:
        if done.actions:
            self._log.info("reconciled", **_names(key), actions=[_word(a) for a in done.actions])
        if done.transitions and done.subject is not None:
            await self._recorder.tell(done.subject, done.transitions, self._now())
        if done.requeue_after is not None:
            self._queue.add_after(key, done.requeue_after)


def _names(key: Key) -> dict[str, str]:
    return {"kind": key.plural, "namespace": key.namespace, "name": key.name}


def _word(action: object) -> str:
    return type(action).__name__
