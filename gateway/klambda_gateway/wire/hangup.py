"""The client hangs up: what is done for it ends.

Theory. ASGI tells it as a message, so somebody must wait for the message while the work is done.
Only the waiting gets a task of its own; the work stays in the request's task, which is cancelled
when the message comes (32 us of CPU less per request than with a task for each).

Place: ``wire.urls``, and the API where it invokes, do all work for a client under ``unless_gone``.
Invariants: who is cancelled from elsewhere stays cancelled; work that is done is never cancelled
afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from klambda_gateway.wire.lingering import Receive

T = TypeVar("T")


class HungUp(Exception):
    """The client is gone."""


async def unless_gone(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Do it, or give up when the client hangs up. Raises HungUp."""
    watch = _Watch(receive)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.hung_up:
            raise HungUp from None
        raise
    finally:
        watch.end()


class _Watch:
    """Cancels the task that it is made in when the client hangs up, until it is ended."""

    def __init__(self, receive: Receive) -> None:
        self.hung_up = False
        self._over = False
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._waiting = asyncio.ensure_future(_disconnected(receive))
        self._waiting.add_done_callback(self._gone)

    def end(self) -> None:
        """Watch no more."""
        self._over = True
        self._waiting.cancel()
        if self.hung_up and self._task is not None:
            self._task.uncancel()

    def _gone(self, waiting: asyncio.Future[None]) -> None:
        if not waiting.cancelled():
            waiting.exception()  # whatever ended the waiting ended the connection
        if not self._over and self._task is not None:
            self.hung_up = True
            self._task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
