"""Three gateways and fewer instances than they would like: everybody gets his turn."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from klambda_gateway.instances.pods import DeploymentKey
from tests.integration.gateway_dataplane.rig import World, running

GATEWAYS, INSTANCES, CLIENTS, RUNS = 3, 2, 4, 60
TICK_S = 0.02
STARVED_TICKS = 25
"""500 ms (design/data-plane.md, "Starvation bound"), counted in turns of the test's own loop."""


def cap(world: World, room: int) -> None:
    """Let no more instances start than there is room for, as a quota does."""
    start = world.start

    async def capped(key: DeploymentKey, count: int, *, ceiling: int | None = None) -> int:
        nonlocal room
        count = min(count, room)
        room -= count
        return await start(key, count, ceiling=ceiling) if count else 0

    world.start = capped  # type: ignore[method-assign]


async def watch(world: World) -> int:
    """Return the longest time, in ticks, that somebody waited while an instance was idle."""
    longest = lasted = 0
    try:
        while True:
            await asyncio.sleep(TICK_S)
            waiting = any(pool.waiters for each in world.gateways for pool in each.registry)
            idle = any(each.state == "idle" for each in world.instances.values())
            lasted = lasted + 1 if waiting and idle else 0
            longest = max(longest, lasted)
    except asyncio.CancelledError:
        return longest


async def load(world: World, number: int, events: Counter[bytes]) -> int:
    """Invoke again and again; count what each event came back as."""
    failed = 0
    for turn in range(RUNS):
        event = b'"%d-%d"' % (number, turn)
        try:
            answer = await world.gateways[number % GATEWAYS].invoke(event)
        except Exception:  # noqa: BLE001
            failed += 1
        else:
            assert answer.payload == event
            events[event] += 1
    return failed


async def test_gateways_take_turns_when_there_is_no_room_for_more_instances() -> None:
    async with running(GATEWAYS, wait_limit=60) as world:
        cap(world, INSTANCES)
        world.on_made = lambda instance: setattr(instance, "completing", 0.002)
        ran: Counter[bytes] = Counter()
        order: list[int] = []

        async def brief(event: bytes) -> bytes:
            ran[event] += 1
            order.append(int(event[1:-1].split(b"-")[0]) % GATEWAYS)
            await asyncio.sleep(0.002)
            return event

        world.handler = brief
        came: Counter[bytes] = Counter()
        watching = asyncio.create_task(watch(world))
        clients = range(GATEWAYS * CLIENTS)
        failed = await asyncio.gather(*(load(world, number, came) for number in clients))
        watching.cancel()
        assert sum(failed) == 0
        assert sum(world.starts) == INSTANCES
        assert len(ran) == len(came) == GATEWAYS * CLIENTS * RUNS
        assert max(ran.values()) == 1, "nothing runs twice"
        assert sum(each.overlaps for each in world.instances.values()) == 0
        half = Counter(order[: len(order) // 2])
        assert min(half.values()) > len(order) / 2 / GATEWAYS / 3, f"turns: {half}"
        assert await watching < STARVED_TICKS


async def test_turns_survive_lost_connections() -> None:
    """Cut connections: what was accepted fails at worst, what was not goes elsewhere."""
    chance = random.Random(7)
    async with running(GATEWAYS, wait_limit=60) as world:
        cap(world, INSTANCES)
        world.on_made = lambda instance: setattr(instance, "completing", 0.001)
        ran: Counter[bytes] = Counter()

        async def brief(event: bytes) -> bytes:
            ran[event] += 1
            await asyncio.sleep(0.001)
            return event

        async def saboteur() -> None:
            while True:
                await asyncio.sleep(0.05)
                for instance in world.instances.values():
                    gone = [each for each in world.gateways if chance.random() < 0.5]
                    instance.cut()
                    await asyncio.sleep(0.01 * len(gone))  # slow dials
                    for gateway in world.gateways:
                        await instance.dial(gateway.server.port)

        world.handler = brief
        came: Counter[bytes] = Counter()
        sabotage = asyncio.create_task(saboteur())
        clients = range(GATEWAYS * 2)
        failed = await asyncio.gather(*(load(world, number, came) for number in clients))
        sabotage.cancel()
        await asyncio.gather(sabotage, return_exceptions=True)
        assert sum(came.values()) + sum(failed) == len(clients) * RUNS, "nothing is lost"
        assert sum(came.values()) > len(clients) * RUNS / 2
        assert max(ran.values()) == 1, "nothing runs twice"
        assert sum(each.overlaps for each in world.instances.values()) == 0
