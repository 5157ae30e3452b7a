"""A stream that begins in the moment in which its caller goes away is closed by nobody else."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from klambda_core.errors import service
from klambda_gateway.invoke.service import InvokeService


class Racing(InvokeService):
    """A service whose answer and whose caller's end come in one turn of the loop."""

    def __init__(self, *, fails: bool = False) -> None:
        self.closed = 0
        self.fails = fails
        self.caller: asyncio.Task[Any] | None = None

    def start(self, request: Any, done: Any, opened: Any = None) -> Any:  # noqa: ARG002
        loop = asyncio.get_running_loop()
        if self.fails:
            loop.call_soon(done, service())
        else:
            loop.call_soon(opened, None, None, None)
        loop.call_soon(lambda: self.caller and self.caller.cancel())
        return SimpleNamespace(cancel=lambda: None)

    def _live(self, *_: Any) -> Any:
        return SimpleNamespace(close=self._close)

    def _close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(("fails", "closed"), [(False, 1), (True, 0)])
async def test_it_is_closed(fails: bool, closed: int) -> None:
    racing: Any = Racing(fails=fails)
    racing.caller = asyncio.create_task(racing.stream(None))
    with pytest.raises(asyncio.CancelledError):
        await racing.caller
    assert racing.closed == closed
