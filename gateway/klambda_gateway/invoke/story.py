"""One request on its way, and whom the invoke service needs for it.

Place: ``invoke.service`` makes a ``Story`` per request and carries it through; whoever started it
holds it to cancel it. Invariants: plain data; ``over`` is set once. Not here: any step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from klambda_core.errors import LambdaError
from klambda_gateway.admission.concurrency import Permit
from klambda_gateway.bulk import Body
from klambda_gateway.instances.call import Call
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.streamed import Opening
from klambda_gateway.instances.streaming import StreamedCall
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_gateway.invoke.payload import Event
from klambda_gateway.routing.resolve import Target


class Sender(Protocol):
    """Who carries attempts to instances."""

    def send(self, call: Call, header: bytes, event: Body) -> None:
        """Send an attempt; what becomes of it is told to the call."""
        ...

    def cancel(self, call: Call) -> None:
        """Tell the instance that nobody waits."""
        ...

    def grant(self, call: Call, count: int) -> None:
        """Let a streamed answer go on by so many bytes."""
        ...

    def drop(self, record: Record) -> None:
        """Close an instance's connection."""
        ...


class Finder(Protocol):
    """Who resolves names, with a re-read on a miss."""

    def known(self, namespace: str, name: str, qualifier: str | None) -> Target | None:
        """Return the target when nothing needs to be read for it."""
        ...

    async def find(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Target:
        """Return the target. Raises LambdaError 404 or 409."""
        ...

    async def refresh(self, namespace: str, name: str) -> bool:
        """Read the function anew; return whether it could be read, or is certainly not there."""
        ...


Done = Callable[[InvokeAnswer | LambdaError], None]
Opened = Callable[["Story", StreamedCall, Opening], None]
Work = Callable[["Story"], Awaitable[None]]


class Story:
    """One request on its way; made by ``InvokeService.start``."""

    __slots__ = (
        "_on_cancel", "began", "call", "deadline", "done", "event", "opened", "over", "permit",
        "request", "target", "task", "tries",
    )  # fmt: skip

    def __init__(
        self,
        request: InvokeRequest,
        done: Done,
        on_cancel: Callable[[Story], None],
        opened: Opened | None = None,
    ) -> None:
        """``opened`` is told, in the place of ``done``, when a streamed answer begins."""
        self._on_cancel = on_cancel
        self.request = request
        self.done = done
        self.opened = opened
        self.began = time.monotonic()
        self.event: Event | None = None
        self.target: Target | None = None
        self.permit: Permit | None = None
        self.deadline = 0.0
        self.call: Call | None = None
        self.task: asyncio.Task[None] | None = None
        self.tries = 0
        self.over = False

    def cancel(self) -> None:
        """Learn that the caller is gone; ``done`` is not told any more."""
        self._on_cancel(self)
