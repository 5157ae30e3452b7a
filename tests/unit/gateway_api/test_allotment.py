"""Two that ask for the same concurrency at two gateways: one of them is served."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping

import pytest

from klambda_core import errors
from klambda_core.concurrency import Pool
from klambda_core.errors import LambdaError
from klambda_gateway.api.allotment import allotted, first

LIMIT = 10


def pool(**reserved: int) -> Pool:
    return Pool(limit=LIMIT, reserved=reserved, provisioned={})


class Ledger:
    """The functions' reservations, behind an API that takes its time."""

    def __init__(self, seed: int, **settled: int) -> None:
        self.reserved: dict[str, int] = dict(settled)
        self.chance = random.Random(seed)

    async def travel(self) -> None:
        for _ in range(self.chance.randrange(6)):
            await asyncio.sleep(0)

    async def look(self) -> Pool:
        await self.travel()
        seen = pool(**self.reserved)
        await self.travel()
        return seen

    async def pause(self) -> None:
        for _ in range(self.chance.randrange(10, 50)):
            await asyncio.sleep(0)

    async def put(self, uid: str, wanted: int) -> bool:
        """Ask at a gateway of its own; tells whether it was allowed."""
        before = self.reserved.get(uid, 0)

        async def write() -> None:
            await self.travel()
            self.reserved[uid] = wanted
            await self.travel()

        async def take_back(_: None) -> None:
            await self.travel()
            self.reserved[uid] = before

        def judge(seen: Pool) -> None:
            if seen.unreserved(apart_from=uid) < wanted:
                raise errors.over_quota("too much")

        try:
            await allotted(
                asyncio.Lock(), uid=uid, look=self.look, judge=judge, write=write,
                take_back=take_back, pause=self.pause,
            )  # fmt: skip
        except LambdaError:
            return False
        return True


@pytest.mark.parametrize("wanted", [(8, 8), (8, 3), (6, 5)])
async def test_of_two_at_once_exactly_one_is_served(wanted: tuple[int, int]) -> None:
    for seed in range(200):
        ledger = Ledger(seed)
        allowed = await asyncio.gather(ledger.put("a", wanted[0]), ledger.put("b", wanted[1]))
        assert sorted(allowed) == [False, True], seed
        kept = dict(zip("ab", wanted, strict=True))
        assert ledger.reserved == {
            uid: kept[uid] if allowed["ab".index(uid)] else 0 for uid in ledger.reserved
        }


async def test_of_three_at_once_one_is_served_and_never_more_than_there_is() -> None:
    for seed in range(200):
        ledger = Ledger(seed, settled=2)
        allowed = await asyncio.gather(*(ledger.put(uid, 5) for uid in "abc"))
        assert sum(allowed) == 1, seed
        assert sum(ledger.reserved.values()) == 7


async def test_those_that_fit_together_are_all_served() -> None:
    for seed in range(50):
        ledger = Ledger(seed)
        assert all(await asyncio.gather(*(ledger.put(uid, 3) for uid in "abc")))


@pytest.mark.parametrize(
    ("before", "after", "goes_first"),
    [
        ({}, {"b": 5, "c": 5}, True),
        ({}, {"a": 5, "b": 5}, False),
        ({"a": 5}, {"a": 5, "b": 5}, True),
        ({"a": 5}, {"a": 6, "b": 5}, False),
        ({"a": 5}, {"b": 5}, True),
    ],
)
def test_who_has_taken_more_meanwhile_counts_by_uid(
    before: Mapping[str, int], after: Mapping[str, int], goes_first: bool
) -> None:
    assert first("b", pool(**before), pool(**after)) is goes_first


async def test_it_waits_for_nobody_for_ever() -> None:
    ledger = Ledger(1)
    steps = itertools.count()

    async def look() -> Pool:
        """Another one takes all after our first look, and keeps it."""
        return pool(z=LIMIT) if next(steps) % 5 else pool()

    async def nothing(*_: object) -> None:
        return None

    def judge(seen: Pool) -> None:
        if seen.unreserved() < 5:
            raise errors.over_quota("too much")

    with pytest.raises(LambdaError, match="too much"):
        await allotted(
            asyncio.Lock(), uid="a", look=look, judge=judge, write=nothing,
            take_back=nothing, pause=ledger.pause,
        )  # fmt: skip
    assert next(steps) <= 4 * 5 + 1
