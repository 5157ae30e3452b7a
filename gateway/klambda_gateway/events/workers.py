"""Taking events from the store, as many as there is credit for, and holding their leases.

    news, timers, endings ─► lease ─► one task per event (``story``) ─► credit back

Place: ``process`` runs it beside the HTTP server and stops it first. Invariants: at most ``LIMIT``
events and ``BYTES_LIMIT`` bytes are in hand; every lease in hand is renewed each 10 s until its
task ends; a store that is away stops nothing but leasing; on ``stop`` no event is begun any more
and what runs is finished. Not here: what happens with an event.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from klambda_core.events import (
    RENEW_S,
    Batch,
    Event,
    Leased,
    LeaseRequest,
    Postponement,
    QueueStats,
)
from klambda_gateway.events.client import StoreAway
from klambda_gateway.events.courtesy import Courtesy
from klambda_gateway.events.credit import START, Credits, Ending
from klambda_gateway.events.metrics import EventMetrics
from klambda_gateway.events.policy import PAUSED_S
from klambda_obs import logs

LIMIT: Final = 500
"""Events that one gateway works on at once."""
BYTES_LIMIT: Final = 16 << 20
"""A quarter of what the gateway holds in requests: the rest is for synchronous ones."""
NEWS_S: Final = 20.0
AWAY_S: Final = 1.0
STATS_S: Final = 10.0

_log = logs.get("klambda.gateway.events")


class Leases(Protocol):
    """The store, as far as leasing goes."""

    async def lease(self, request: LeaseRequest) -> Batch:
        """Take what is due. Raises StoreAway."""
        ...

    async def renew(self, leases: list[tuple[str, str]]) -> set[str]:
        """Prolong; return what is lost. Raises StoreAway."""
        ...

    async def retry_at(self, item: Postponement) -> bool:
        """Give back. Raises StoreAway."""
        ...

    async def news(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109 - the store waits
        """Wait for arrivals. Raises StoreAway."""
        ...

    async def stats(self) -> list[QueueStats]:
        """Describe the queues. Raises StoreAway."""
        ...


class Workers:
    """The workers of one gateway."""

    def __init__(
        self,
        store: Leases,
        work_on: Callable[[Leased], Awaitable[Ending]],
        *,
        credits: Credits,  # noqa: A002 - the word for it
        metrics: EventMetrics,
        holder: str,
        learn: Callable[[Event], None] = lambda _: None,
        courtesy: Courtesy | None = None,
    ) -> None:
        """``learn`` is shown each event that is taken, before its function's credit is asked."""
        self._store = store
        self._work_on = work_on
        self._credits = credits
        self._metrics = metrics
        self._holder = holder
        self._learn = learn
        self._courtesy = courtesy or Courtesy()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._held: dict[str, Leased] = {}
        self._bytes = 0
        self._starved = False
        self._taken = 0
        self._news = 0
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until ``stop``; then wait to be cancelled, renewing what still runs."""
        async with asyncio.TaskGroup() as group:
            for work in (self._leasing(), self._listening(), self._renewing(), self._counting()):
                group.create_task(work)

    def stop(self) -> None:
        """Begin no event any more."""
        self._stopping = True
        self._wake.set()

    async def drained(self) -> None:
        """Wait until what was begun is done."""
        await self._idle.wait()

    def in_hand(self) -> int:
        """Count the events that are worked on."""
        return len(self._held)

    # --- leasing ----------------------------------------------------------------------------------

    async def _leasing(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping:
            self._wake.clear()
            pause: float | None = AWAY_S
            try:
                pause = await self._lease()
            except StoreAway as error:
                _log.warning("no-lease", error=str(error))
            if pause == 0:
                await self._give_way()
                continue
            timer = None if pause is None else loop.call_later(pause, self._wake.set)
            await self._wake.wait()
            if timer is not None:
                timer.cancel()

    async def _give_way(self) -> None:
        """After events were taken, leave the loop to synchronous requests for a while."""
        now = asyncio.get_running_loop().time()
        if (pause := self._courtesy.pause(self._taken, now)) > 0:
            await asyncio.sleep(pause)

    async def _lease(self) -> float | None:
        """Take once; return how long to wait for the next time (None: until something happens)."""
        room = LIMIT - len(self._held)
        if room <= 0 or self._bytes >= BYTES_LIMIT:
            self._starved = True
            return None
        credit = self._credits.all()
        self._starved = True  # what ends while we ask may have come too late for our credit
        batch = await self._store.lease(
            LeaseRequest(
                holder=self._holder,
                limit=min(room, self._courtesy.group(asyncio.get_running_loop().time())),
                bytes_limit=BYTES_LIMIT - self._bytes,
                credits=credit,
                default_credit=START,
            )
        )
        self._news = batch.news
        if self._stopping:
            await self._give_back(batch)
            return None
        for leased in batch.events:
            self._take(leased)
        self._taken = len(batch.events)
        # Without credit for somebody there may be more than we were given: look when one ends.
        self._starved = any(number <= 0 for number in credit.values()) or bool(batch.events)
        return 0 if batch.events else self._patience(batch.next_in)

    def _patience(self, next_in: float | None) -> float | None:
        """How long nothing can be due; the end of a pause is told by nobody."""
        if not self._credits.pausing:
            return next_in
        return PAUSED_S if next_in is None else min(next_in, PAUSED_S)

    async def _give_back(self, batch: Batch) -> None:
        for leased in batch.events:
            item = Postponement(
                id=leased.event.id,
                lease=leased.lease,
                delay=0,
                attempts=leased.attempts,
                backoffs=leased.backoffs,
                condition=leased.condition,
                pending=leased.pending,
            )
            await self._store.retry_at(item)

    def _take(self, leased: Leased) -> None:
        self._learn(leased.event)
        self._credits.took(leased.event.function_uid)
        self._held[leased.lease] = leased
        self._bytes += _size(leased)
        self._idle.clear()
        task = asyncio.get_running_loop().create_task(self._work(leased))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, leased: Leased) -> None:
        ending: Ending = "other"
        try:
            ending = await self._work_on(leased)
        except StoreAway as error:
            _log.error("event-not-reported", request_id=leased.event.id, error=str(error))
        except Exception:  # noqa: BLE001 - its lease lapses, and it is tried again
            _log.exception("event-failed", request_id=leased.event.id)
        finally:
            del self._held[leased.lease]
            self._bytes -= _size(leased)
            self._credits.ended(leased.event.function_uid, ending)
            if not self._held:
                self._idle.set()
            if self._starved:
                self._wake.set()

    # --- beside it --------------------------------------------------------------------------------

    async def _listening(self) -> None:
        while not self._stopping:
            try:
                self._news = await self._store.news(self._news, NEWS_S)
            except StoreAway:
                await asyncio.sleep(AWAY_S)
            # Without news, too: what others put into the same database is told by nobody.
            self._wake.set()

    async def _renewing(self) -> None:
        """Renew; a lease that is refused twice is lost (once: its report was quicker)."""
        refused: set[str] = set()
        while True:
            await asyncio.sleep(RENEW_S)
            held = [(each.event.id, each.lease) for each in self._held.values()]
            if not held:
                continue
            try:
                lost = await self._store.renew(held)
            except StoreAway as error:
                _log.warning("not-renewed", events=len(held), error=str(error))
                continue
            for event_id in lost & refused:
                _log.warning("lease-lost", request_id=event_id)
            refused = lost & {each.event.id for each in self._held.values()}

    async def _counting(self) -> None:
        while True:
            with contextlib.suppress(StoreAway):  # the figures of a moment ago stay
                self._metrics.queues(await self._store.stats())
            await asyncio.sleep(STATS_S)


def _size(leased: Leased) -> int:
    response = leased.response
    return len(leased.event.payload) + (0 if response is None else len(response.payload))
