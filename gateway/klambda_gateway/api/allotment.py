"""Giving out an account's concurrency: judging and writing as one step.

Theory. What an account has left is the sum over many objects, which no write can be made
conditional on. On one gateway such writes wait for each other. Against the other gateways a writer
judges again when its write is done: of two that wrote at once at least the later one sees both. Who
finds too much given out knows, from what he saw before, who else has taken meanwhile: the first of
them by uid keeps his and looks again after a moment, all others take theirs back. So nobody is told
yes for what is not there, and of those that do not fit together one is served. Rejected: a ledger
object per account, which would serialise exactly, but kubectl's writes pass it by and it has to be
repaired when it disagrees with the functions; an admission webhook (docs/adr/0003). Place:
Put*Concurrency (``concurrency``, ``provisioned``). Not here: the arithmetic
(``klambda_core.concurrency``), enforcement.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from klambda_core.concurrency import Pool
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
    uid: str,
    look: Callable[[], Awaitable[Pool]],
    judge: Callable[[Pool], None],
    write: Callable[[], Awaitable[T]],
    take_back: Callable[[T], Awaitable[None]],
    pause: Callable[[], Awaitable[None]] = by_chance,
) -> T:
    """Write, for the function with this uid, what ``judge`` (which raises) allows before and after.

    ``look``: what there is now.
    """
    async with turn:
        for left in reversed(range(ATTEMPTS)):
            before = await look()
            judge(before)
            written = await write()
            refusal = await _kept(uid, before, look, judge, pause)
            if refusal is None:
                return written
            await take_back(written)
            if not left:
                raise refusal
            await pause()
    raise AssertionError("the last attempt returns or raises")


async def _kept(
    uid: str,
    before: Pool,
    look: Callable[[], Awaitable[Pool]],
    judge: Callable[[Pool], None],
    pause: Callable[[], Awaitable[None]],
) -> LambdaError | None:
    """Judge what was written; return why it must be taken back, None when it may stay."""
    for left in reversed(range(ATTEMPTS)):
        after = await look()
        try:
            judge(after)
        except LambdaError as error:
            if not left or not first(uid, before, after):
                return error
            await pause()
        else:
            return None
    raise AssertionError("the last look returns")


def first(uid: str, before: Pool, after: Pool) -> bool:
    """Tell whether a function goes before all others that have taken more meanwhile."""
    uids = after.reserved.keys() | after.provisioned.keys()
    return all(uid <= each for each in uids if after.share(each) > before.share(each))
