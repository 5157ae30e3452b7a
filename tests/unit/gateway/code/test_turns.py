"""Turns: so many at a time, so heavy together, in the order of coming."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.code.turns import Turns


class Work:
    """One that takes a turn and has it until it is told to go."""

    def __init__(self, turns: Turns, weight: int = 0) -> None:
        self.begun = False
        self._end = asyncio.Event()
        self._task = asyncio.create_task(self._run(turns, weight))

    async def _run(self, turns: Turns, weight: int) -> None:
        async with turns.of(weight):
            self.begun = True
            await self._end.wait()

    async def end(self) -> None:
        self._end.set()
        await self._task

    async def cancel(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def begun(*works: Work) -> list[bool]:
    await settle()
    return [work.begun for work in works]


async def test_so_many_at_a_time() -> None:
    turns = Turns(2, 100)
    first, second, third = (Work(turns) for _ in range(3))
    assert await begun(first, second, third) == [True, True, False]
    await second.end()
    assert await begun(third) == [True]
    await asyncio.gather(first.end(), third.end())


async def test_so_heavy_together() -> None:
    turns = Turns(10, 100)
    first, second = Work(turns, 60), Work(turns, 60)
    assert await begun(first, second) == [True, False]
    await first.end()
    assert await begun(second) == [True]
    await second.end()


async def test_one_alone_may_weigh_more() -> None:
    turns = Turns(10, 100)
    heavy, light = Work(turns, 1_000), Work(turns, 1)
    assert await begun(heavy, light) == [True, False]
    await heavy.end()
    assert await begun(light) == [True]
    await light.end()


async def test_a_heavy_one_is_not_overtaken() -> None:
    turns = Turns(10, 100)
    first, heavy, light = Work(turns, 1), Work(turns, 100), Work(turns, 1)
    assert await begun(first, heavy, light) == [True, False, False]
    await first.end()
    assert await begun(heavy, light) == [True, False]
    await heavy.end()
    assert await begun(light) == [True]
    await light.end()


@pytest.mark.parametrize("moment", ["waiting", "let in", "working"])
async def test_who_is_cancelled_takes_nothing_along(moment: str) -> None:
    turns = Turns(1, 100)
    first = Work(turns, 100)
    await settle()
    if moment == "working":
        await first.cancel()
    else:
        second = Work(turns, 100)
        await settle()
        if moment == "let in":
            first._end.set()
            await asyncio.sleep(0)  # the second's turn has come, and it has not run since
            assert not second.begun
        await second.cancel()
        if moment == "waiting":
            await first.end()
    last = Work(turns, 100)
    assert await begun(last) == [True]
    await last.end()


@given(st.lists(st.tuples(st.integers(0, 150), st.booleans()), max_size=30))
def test_bounds_hold_and_everyone_comes_in(jobs: list[tuple[int, bool]]) -> None:
    async def story() -> None:
        turns, now, most = Turns(3, 100), [], 0

        async def one(weight: int, *, short: bool) -> None:
            nonlocal most
            async with turns.of(weight):
                now.append(min(weight, 100))
                most = max(most, len(now))
                assert len(now) <= 3
                assert sum(now) <= 100
                for _ in range(1 if short else 4):
                    await asyncio.sleep(0)
                now.remove(min(weight, 100))

        await asyncio.gather(*(one(weight, short=short) for weight, short in jobs))
        assert now == []
        assert most == 0 or most <= len(jobs)

    asyncio.run(story())
