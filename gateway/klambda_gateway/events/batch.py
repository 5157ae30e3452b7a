"""Many small things to say, said in one request: what piles up while one is under way goes next.

Place: ``client`` has one for each kind of report. Invariants: one request at a time; an item's
``add`` returns when the request that carried it was answered, or raises what that request raised.
Not here: trying again (the caller knows how long it may).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

ITEMS_MAX: Final = 256
BYTES_MAX: Final = 4 << 20

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Items on their way. Use in one event loop."""

    def __init__(
        self,
        send: Callable[[list[T]], Awaitable[R]],
        *,
        size: Callable[[T], int],
        linger: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """``linger``: seconds that the next request waits for more to come."""
        self._send = send
        self._size = size
        self._linger = linger
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def add(self, item: T) -> R:
        """Send an item with others; return what the whole request returned."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                if (pause := self._linger()) > 0:
                    await asyncio.sleep(pause)
                if batch := self._next():
                    await self._deliver(batch)
        finally:
            self._task = None

    def _next(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        size = 0
        while self._waiting and len(batch) < ITEMS_MAX:
            item, future = self._waiting[0]
            if future.done():  # its caller has given up
                self._waiting.popleft()
                continue
            size += self._size(item)
            if batch and size > BYTES_MAX:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _deliver(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            result = await self._send([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller gets it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for _, future in batch:
                if not future.done():
                    future.set_result(result)
