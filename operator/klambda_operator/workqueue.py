"""The queue between what changed and who looks: keys without reasons, each at most once.

Theory. A key is waiting, being worked on, or delayed. Adding a waiting key only raises its
priority; adding one that is being worked on marks it dirty, and it waits again once done: so a key
is never worked on twice at the same time and no change is lost. Failures come back after 0.2 s ·
2ⁿ, at most five minutes, with full jitter; success forgets them. High before low, but each fourth
turn goes to low, so that a busy cluster still gets its resync.

Time and randomness come in as functions. Not here: workers (`loop`).
"""

import asyncio
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from klambda_operator.model import Priority

K = TypeVar("K")

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 300.0
LOW_TURN = 4


class WorkQueue(Generic[K]):
    """A deduplicating queue with two priorities, delays and back-off. One consumer takes keys."""

    def __init__(self, *, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = jitter
        self._waiting: dict[Priority, OrderedDict[K, float]] = {
            priority: OrderedDict() for priority in Priority
        }
        self._busy: set[K] = set()
        self._dirty: dict[K, Priority] = {}
        self._failures: dict[K, int] = {}
        self._delayed: list[tuple[float, int, K, Priority]] = []
        self._due: dict[K, float] = {}
        self._sequence = itertools.count()
        self._turn = 0
        self._wake = asyncio.Event()

    def add(self, key: K, priority: Priority = Priority.HIGH) -> None:
        """Let the key be looked at soon."""
        if key in self._busy:
            self._dirty[key] = min(priority, self._dirty.get(key, priority))
            return
        since = self._clock()
        for other in Priority:
            if key in self._waiting[other]:
                if other <= priority:
                    return
                since = self._waiting[other].pop(key)
        self._waiting[priority][key] = since
        self._wake.set()

    def add_after(self, key: K, seconds: float, priority: Priority = Priority.HIGH) -> None:
        """Let the key be looked at after a delay; an earlier date that is set already stays."""
        due = self._clock() + seconds
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._delayed, (due, next(self._sequence), key, priority))
        self._wake.set()

    def retry(self, key: K, at_least: float = 0.0) -> float:
        """Let a failed key be looked at after its back-off; returns the seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        ceiling = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures, 32))
        seconds = max(at_least, ceiling * self._jitter())
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: K) -> None:
        """The key succeeded: its next failure starts at the first back-off."""
        self._failures.pop(key, None)

    def done(self, key: K) -> None:
        """The key is no longer being worked on."""
        self._busy.discard(key)
        if (priority := self._dirty.pop(key, None)) is not None:
            self.add(key, priority)

    async def get(self) -> tuple[K, float]:
        """The next key and how long it waited. It is being worked on until `done`."""
        while True:
            if (found := self.take()) is not None:
                return found
            self._wake.clear()
            wait = self.next_due()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def take(self) -> tuple[K, float] | None:
        """The next key if there is one now."""
        self._release_due()
        self._turn += 1
        order = list(Priority)
        if self._turn % LOW_TURN == 0:
            order.reverse()
        for priority in order:
            if self._waiting[priority]:
                key, since = self._waiting[priority].popitem(last=False)
                self._busy.add(key)
                return key, self._clock() - since
        return None

    def next_due(self) -> float | None:
        """Seconds until the next delayed key; None when there is none."""
        return max(0.0, self._delayed[0][0] - self._clock()) if self._delayed else None

    def depth(self) -> int:
        """How many keys wait now."""
        return sum(len(keys) for keys in self._waiting.values())

    def oldest(self) -> float:
        """How long the longest waiting key has waited, in seconds."""
        firsts = [next(iter(keys.values())) for keys in self._waiting.values() if keys]
        return self._clock() - min(firsts) if firsts else 0.0

    def idle(self) -> bool:
        """Nothing waits and nothing is being worked on (delayed keys do not count)."""
        return self.depth() == 0 and not self._busy

    def _release_due(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            due, _, key, priority = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key, priority)
