"""Turns to work on objects, bounded by their number and by what they weigh together.

Place: under ``worklist``. Theory. One piece of work is mostly waiting (for the API server, for the
store), so many are done at a time; but what an object carries in itself is in memory several times
over while it is packed and sent, so those that carry much take turns. Who waits is let in in the
order of coming: a heavy object is not overtaken for ever by light ones. Not here: what weighs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """At most ``count`` at a time, weighing at most ``weight`` together; one alone may weigh more.

    Use in one event loop.
    """

    def __init__(self, count: int, weight: int) -> None:
        self._most = weight
        self._places = count
        self._room = weight
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    @asynccontextmanager
    async def of(self, weight: int) -> AsyncIterator[None]:
        """Wait for a turn and have it."""
        weight = min(weight, self._most)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, weight))
        self._admit()
        try:
            await turn
            yield
        finally:
            if turn.cancelled():
                self._waiting = deque(each for each in self._waiting if each[0] is not turn)
            else:
                # Also when it was cancelled between being let in and noticing it.
                self._places += 1
                self._room += weight
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._places and self._waiting[0][1] <= self._room:
            turn, weight = self._waiting.popleft()
            if turn.cancelled():
                continue
            self._places -= 1
            self._room -= weight
            turn.set_result(None)
