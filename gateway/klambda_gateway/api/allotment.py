"""Giving out an account's concurrency: judging and writing as one step.

Theory. What an account has left is the sum over many objects, which no write can be made
conditional on. On one gateway such writes wait for each other. Against the other gateways a writer
judges again when its write is done: of two that wrote at once at least the later one sees both, and
who finds too much given out takes its own back and tries anew after a moment. So nobody is told yes
for what is not there; at worst both are refused. Rejected: a ledger object per account, which would
serialise exactly, but kubectl's writes pass it by and it has to be repaired when it disagrees with
the functions; an admission webhook (docs/adr/0003). Place: Put*Concurrency (``concurrency``,
``provisioned``). Not here: the arithmetic (``klambda_core.concurrency``), enforcement.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from klambda_core.errors import LambdaError

ATTEMPTS: Final = 4
PAUSE_S: Final = (0.05, 0.25)

T = TypeVar("T")


async def by_chance() -> None:
    """A moment of a length that two contenders will not share."""
    await asyncio.sleep(random.uniform(*PAUSE_S))  # noqa: S311 - spreads tries, hides nothing


async def allotted(
    turn: asyncio.Lock,
    *,
    judge: Callable[[], Awaitable[None]],
    write: Callable[[], Awaitable[T]],
    take_back: Callable[[T], Awaitable[None]],
    pause: Callable[[], Awaitable[None]] = by_chance,
) -> T:
    """Write what ``judge`` (which raises) allows both before and after."""
    async with turn:
        for left in reversed(range(ATTEMPTS)):
            await judge()
            written = await write()
            try:
                await judge()
            except LambdaError:
                await take_back(written)
                if not left:
                    raise
                await pause()
            else:
                return written
    raise AssertionError("the last attempt returns or raises")
