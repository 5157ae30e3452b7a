"""Cold requests: starting at once what they wait for, and telling them when it cannot be.

Place: the registry calls ``short`` whenever somebody still waits after an event; ``check`` runs on
each pod or Deployment event and tick. One task per Deployment talks to Kubernetes at a time.
Invariants: never more starts on their way than requests waiting; a waiter whose instance cannot
start hears it within seconds; after a failure the Deployment is left alone for a while (requests
are told at once), and no other is affected.
Not here: numbers (``starts``, ``pace``), why starts fail (``troubles``), Kubernetes (``starter``),
letting go (``scaler``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from klambda_core.limits import BURST_LIMIT
from klambda_gateway.instances.acquire import AccountUsedUp, BurstUsedUp, Moved, StartsFail
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import COMPLETING_S
from klambda_gateway.instances.registry import InstancePool, Registry
from klambda_gateway.scale.burst import Bursts
from klambda_gateway.scale.pace import SILENT_S, STALLED_S, Durations, worth
from klambda_gateway.scale.starter import Starter
from klambda_gateway.scale.starts import SCHEDULING_PATIENCE_S, Failure, Starts
from klambda_gateway.scale.troubles import Report, Troubles
from klambda_kube.errors import Forbidden, KubeError, NotFound
from klambda_obs import logs

CROWDED_PATIENCE_S: Final = 20.0
"""While some instances serve, one of them may be free in a moment: so long it is waited for."""
RETRY_S: Final = 0.2
"""After a write that Kubernetes did not take; its waiters' deadline bounds the repetition."""

_log = logs.get("klambda.gateway.demand")


class Replicas(Starter, Protocol):
    """A starter that knows what it asked for."""

    def replicas(self, key: DeploymentKey) -> int:
        """Return how many instances Kubernetes is told to keep."""
        ...


class Demand:
    """Starts for waiting requests."""

    def __init__(
        self,
        registry: Registry,
        starter: Replicas,
        *,
        known: Callable[[DeploymentKey], DeploymentFacts | None],
        prepare: Callable[[DeploymentKey], None] = lambda _: None,
        report: Report = lambda *_: None,
        counts: Callable[[str], None] = lambda _: None,
        burst: Callable[[DeploymentKey], int] = lambda _: BURST_LIMIT,
        room: Callable[[DeploymentKey, int], int | None] = lambda *_: None,
        account: Callable[[DeploymentKey, int], int] = lambda _, wanted: wanted,
        patience: float = SCHEDULING_PATIENCE_S,
        led_since: Callable[[], float] = lambda: float("-inf"),
    ) -> None:
        """``prepare`` is called when a start is asked for (code is fetched meanwhile).

        ``counts`` is told the reason of each failure that leads to a back-off; ``burst``: how many
        starts its function may ask for in ten seconds; ``room``: how many of the wanted instances
        a Deployment may have, None for all (``shares``); ``account``: how many of them its account
        has room for (``headcount``); ``patience``: so long pods may look for a node;
        ``led_since``: since when a gateway leads, who makes room in a full cluster.
        """
        self._registry = registry
        self._starter = starter
        self._known = known
        self._prepare = prepare
        self._burst = burst
        self._room = room
        self._account = account
        self._troubles = Troubles(
            known=known, report=report, counts=counts, patience=patience, led_since=led_since
        )
        self._bursts = Bursts()
        self._durations = Durations()
        self._starts: dict[DeploymentKey, Starts] = {}
        self._tasks: dict[DeploymentKey, asyncio.Task[None]] = {}
        self._timers: dict[DeploymentKey, asyncio.TimerHandle] = {}

    # --- called by the registry -------------------------------------------------------------------

    def short(self, key: DeploymentKey) -> None:
        """Note that somebody waits: start what is missing, now."""
        failure = self._troubles.current(key, self._now())
        if failure is not None:
            self._dismiss(key, failure)
        elif key not in self._tasks and self._shortfall(key):
            task = asyncio.get_running_loop().create_task(self._raise(key))
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def arrived(self, key: DeploymentKey) -> None:
        """Note a new instance: starts work."""
        if key in self._starts:
            self._starts[key].arrived()

    def ran(self, key: DeploymentKey, seconds: float) -> None:
        """Note how long a run took."""
        self._durations.note(self._function(key), seconds)

    def works(self, key: DeploymentKey) -> None:
        """Note that an instance carried out its assignment."""
        if self.trouble(key) is not None and self._judge(key) is None:
            self._troubles.end(key)  # else this one works, and others still cannot start

    def fails(self, key: DeploymentKey, reason: str, message: str) -> None:
        """Note an instance that could not carry out its assignment."""
        self._fail(key, Failure(reason=reason, message=message))

    # --- called by the leader ---------------------------------------------------------------------

    async def start_ahead(self, key: DeploymentKey, count: int) -> None:
        """Start instances that nobody waits for. Raises KubeError."""
        self._prepare(key)
        try:
            await self._starter.start(key, count)
        except NotFound:
            return  # the Deployment has just gone, or is not there yet
        except Forbidden as error:
            self._fail(key, Failure(reason="Forbidden", message=error.message))
        else:
            self._started(key, count)

    def look(self, key: DeploymentKey) -> None:
        """Judge the starts of a Deployment though nobody waits."""
        failure = self._judge(key)
        if failure is not None:
            self._fail(key, failure)

    def failing(self, key: DeploymentKey) -> bool:
        """Tell whether starts have just failed."""
        return self._troubles.current(key, self._now()) is not None

    def homeless(self) -> list[tuple[PodFacts, float]]:
        """Return the pods that find no node, with since when."""
        return self._troubles.homeless(self._registry.records)

    def trouble(self, key: DeploymentKey) -> Failure | None:
        """Return why starts fail, until one works."""
        return self._troubles.of(key)

    # --- on events and ticks ----------------------------------------------------------------------

    def see_pod(self, pod: PodFacts) -> None:
        """Look at a pod that changed."""
        self._troubles.see(pod, self._now())
        self.check(pod.key)

    def lose_pod(self, pod: PodFacts) -> None:
        """Forget a pod."""
        self._troubles.lose(pod)
        self.check(pod.key)

    def check(self, key: DeploymentKey) -> None:
        """Fail those who wait in vain; start for the others."""
        pool = self._registry.pools.get(key)
        if pool is None or not pool.waiters:
            return
        failure = self._judge(key)
        if failure is not None:
            self._fail(key, failure)
        else:
            self.short(key)

    def tick(self) -> None:
        """Check everybody who waits."""
        for pool in self._registry:
            self.check(pool.key)
        self._bursts.sweep(self._now())
        for key in [key for key in self._starts if key not in self._registry.pools]:
            if not self.in_flight(key):
                del self._starts[key]

    def retire(self, key: DeploymentKey) -> None:
        """Send those who wait for a superseded Deployment away: they resolve again."""
        self._starts.pop(key, None)
        self._troubles.forget(key)
        self._send_away(key, Moved())

    def in_flight(self, key: DeploymentKey) -> bool:
        """Tell whether a start is being asked for or on its way."""
        starts = self._starts.get(key)
        return key in self._tasks or (starts is not None and starts.outstanding(self._now()) > 0)

    def _judge(self, key: DeploymentKey) -> Failure | None:
        pool = self._registry.pools.get(key)
        return self._troubles.judge(key, pool.pods(), self._now()) if pool is not None else None

    # --- starting ---------------------------------------------------------------------------------

    def _shortfall(self, key: DeploymentKey) -> int:
        """Return how many more starts would be right, if all may be."""
        pool = self._registry.pools.get(key)
        if pool is None or not pool.waiters:
            return 0
        now = self._now()
        soon = sum(1 for record in pool.records.values() if record.free_soon(now))
        waiting = len(pool.waiters) - soon
        wanted = self._worth(pool, waiting, now)
        if soon or wanted < waiting:
            self._look_again(key)
        starts = self._starts.setdefault(key, Starts())
        dialled = sum(1 for record in pool.pods() if record.boot is not None)
        coming = self._starter.replicas(key) - dialled
        return starts.shortfall(waiting=wanted, coming=coming, now=now)

    def _worth(self, pool: InstancePool, waiting: int, now: float) -> int:
        """Return how many starts these requests are worth (``pace``)."""
        first = next(iter(pool.waiters.values()))
        standing = pool.standing(now, STALLED_S)
        silent = pool.silent(now, SILENT_S) if now - first.since >= SILENT_S else 0
        return worth(
            waiting=waiting,
            serving=pool.serving() - silent,
            duration=self._durations.of(self._function(pool.key)),
            standing=standing,
            stalled=bool(standing) and now - max(first.since, pool.moved) >= STALLED_S,
        )

    def _function(self, key: DeploymentKey) -> tuple[str, str]:
        facts = self._known(key)
        return key.namespace, facts.function if facts is not None else key.name

    def _look_again(self, key: DeploymentKey) -> None:
        """Ask again when instances that are completing, or give way, should have been free."""
        if key not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(COMPLETING_S, self._looked, key)

    def _looked(self, key: DeploymentKey) -> None:
        del self._timers[key]
        self.check(key)

    async def _raise(self, key: DeploymentKey) -> None:
        while missing := self._shortfall(key):
            missing, bounded = self._allowed(key, missing)
            if not missing:
                return
            count = self._within_burst(key, missing)
            if not count:
                continue
            ceiling = self._starter.replicas(key) + count if bounded else None
            self._prepare(key)
            try:
                started = await self._starter.start(key, count, ceiling=ceiling)
            except NotFound:
                self._starts.pop(key, None)
                self._send_away(key, Moved())
            except Forbidden as error:
                self._fail(key, Failure(reason="Forbidden", message=error.message))
            except KubeError as error:
                _log.warning("start-not-taken", deployment=key.name, error=str(error))
                self._bursts.give_back(self._function(key), count)
                await asyncio.sleep(RETRY_S)
            else:
                self._bursts.give_back(self._function(key), count - started)
                if not started:
                    self._look_again(key)  # others have started what there may be
                    return
                self._started(key, started)

    def _allowed(self, key: DeploymentKey, missing: int) -> tuple[int, bool]:
        """Return how many starts there is room for, and whether the function has its own bound."""
        room = self._room(key, missing)
        if room is not None and room < missing:
            self._look_again(key)
            missing = room
        return self._within_account(key, missing) if missing else 0, room is not None

    def _within_account(self, key: DeploymentKey, missing: int) -> int:
        """Return how many starts the account has room for; who waits longer than ends take, hears.

        Until then one of those who run, here or elsewhere, may be about to be done.
        """
        left = self._account(key, missing)
        if left < missing:
            self._look_again(key)
            latest = self._now() - COMPLETING_S
            self._send_away(key, AccountUsedUp(), since=latest, last=missing - left)
        return left

    def _within_burst(self, key: DeploymentKey, missing: int) -> int:
        """Return how many starts may be asked for; who came last for the others, is told."""
        function = self._function(key)
        count = self._bursts.take(function, missing, limit=self._burst(key), now=self._now())
        if count < missing:
            self._send_away(key, BurstUsedUp(), last=missing - count)
        return count

    def _started(self, key: DeploymentKey, count: int) -> None:
        self._starts.setdefault(key, Starts()).started(count, self._now())
        _log.info("starts-asked", namespace=key.namespace, deployment=key.name, count=count)

    # --- failing ----------------------------------------------------------------------------------

    def _fail(self, key: DeploymentKey, failure: Failure) -> None:
        self._troubles.begin(key, failure, self._now())
        self._dismiss(key, failure)

    def _dismiss(self, key: DeploymentKey, failure: Failure) -> None:
        """Tell those who wait; while instances serve, one of them may be free in a moment."""
        pool = self._registry.pools.get(key)
        patience = CROWDED_PATIENCE_S if pool is not None and pool.serving() else 0.0
        reason = StartsFail(failure.reason, failure.message)
        self._send_away(key, reason, since=self._now() - patience)

    def _send_away(
        self,
        key: DeploymentKey,
        reason: Exception,
        *,
        since: float = float("inf"),
        last: int | None = None,
    ) -> None:
        """Dismiss who has waited since then, or for longer; ``last``: of the last so many."""
        pool = self._registry.pools.get(key)
        if pool is None:
            return
        waiters = list(pool.waiters.values())
        for waiter in waiters if last is None else waiters[-last:]:
            if waiter.since <= since:
                pool.leave(waiter.attempt)
                waiter.dismiss(reason)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
