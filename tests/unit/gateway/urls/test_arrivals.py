"""Unknown URLs are waited for, a little, and not by everybody."""

from __future__ import annotations

import asyncio

import pytest

from klambda_core.urls import url_id
from klambda_gateway.urls.arrivals import AT_ONCE, PATIENCE_S, VAIN_KEPT, VAIN_S, Arrivals
from tests.support.virtualtime import virtual
from tests.unit.gateway.urls.test_url_table import KEY, NONE, World

ID = url_id(KEY, "default", "area")


def now() -> float:
    return asyncio.get_running_loop().time()


def other(number: int) -> str:
    return url_id(KEY, "default", f"other-{number}")


@virtual
async def test_a_url_that_comes_meanwhile_is_found() -> None:
    world = World()
    arrivals = Arrivals(world.urls)
    asking = [asyncio.create_task(arrivals.find(ID)) for _ in range(3)]
    await asyncio.sleep(PATIENCE_S / 2)
    world.function("stranger", url=NONE)
    await asyncio.sleep(0)
    assert not any(each.done() for each in asking), "another one's coming is no news"
    world.function(url=NONE)
    found = await asyncio.gather(*asking)
    assert [each.function for each in found if each is not None] == ["area"] * 3
    assert now() == PATIENCE_S / 2
    assert await arrivals.find(ID) is found[0], "at once"


@virtual
async def test_what_does_not_come_is_not_waited_for_again_and_again() -> None:
    arrivals = Arrivals(World().urls)
    assert await arrivals.find(ID) is None
    assert now() == PATIENCE_S
    assert await arrivals.find(ID) is None
    assert now() == PATIENCE_S
    await asyncio.sleep(VAIN_S)
    assert await arrivals.find(ID) is None
    assert now() == 2 * PATIENCE_S + VAIN_S


@virtual
async def test_only_so_many_wait_and_what_they_waited_for_is_forgotten_in_time() -> None:
    arrivals = Arrivals(World().urls)
    waiting = [asyncio.create_task(arrivals.find(other(number))) for number in range(AT_ONCE)]
    await asyncio.sleep(0)
    assert await arrivals.find(ID) is None
    assert now() == 0, "a flood makes nobody wait"
    await asyncio.gather(*waiting)
    rounds = VAIN_KEPT // AT_ONCE
    for turn in range(1, rounds + 1):
        numbers = range(turn * AT_ONCE, (turn + 1) * AT_ONCE)
        await asyncio.gather(*(arrivals.find(other(number)) for number in numbers))
    before = now()
    await arrivals.find(other(0))
    assert now() == before + PATIENCE_S, "the oldest are forgotten"


@virtual
async def test_who_goes_away_leaves_the_place_to_others() -> None:
    world = World()
    arrivals = Arrivals(world.urls)
    gone = [asyncio.create_task(arrivals.find(ID)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    for each in gone:
        each.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    stays = asyncio.create_task(arrivals.find(ID))
    await asyncio.sleep(0)
    world.function(url=NONE)
    assert await stays is not None


@pytest.mark.parametrize("text", ["", "x", ID.upper(), ID + "a", "é" * 32, "1" * 32])
def test_what_is_no_id_never_waits(text: str) -> None:
    @virtual
    async def ask() -> None:
        assert await Arrivals(World().urls).find(text) is None
        assert now() == 0

    ask()
