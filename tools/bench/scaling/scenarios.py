"""The scenarios: when requests come and how long they run. Deterministic."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from klambda_core.limits import BURST_LIMIT
from klambda_gateway.scale.decide import Spec
from tests.support.virtualtime import run_virtual
from tools.bench.scaling.simulation import House, Trace

Arrival = tuple[float, float]
"""When a request comes and how long it runs, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One of them."""

    name: str
    what: str
    arrivals: tuple[Arrival, ...]
    seconds: float
    spec: Spec = field(default_factory=lambda: Spec(idle_seconds=60))
    burst: int = BURST_LIMIT
    init: float = 0.03
    start: float = 0.2


def run(scenario: Scenario) -> Trace:
    """Run one in virtual time."""

    async def story() -> Trace:
        house = House(
            spec=scenario.spec, burst=scenario.burst, init=scenario.init, start=scenario.start
        )
        house.begin()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for at, seconds in scenario.arrivals:
                await asyncio.sleep(at - loop.time())
                group.create_task(house.request(seconds))
        await asyncio.sleep(max(0.0, scenario.seconds - loop.time()))
        await house.end()
        return house.trace

    return run_virtual(story())


def _rate(begin: float, end: float, each_second: float, runs: float) -> Iterator[Arrival]:
    count = round((end - begin) * each_second)
    return ((begin + number / each_second, runs) for number in range(count))


def _wave(end: float, most: float, period: float, runs: float) -> Iterator[Arrival]:
    """Arrivals at a rate that swings between none and ``most``."""
    at, due, step = 0.0, 0.0, 0.01
    while at < end:
        due += step * most * (1 - math.cos(2 * math.pi * at / period)) / 2
        while due >= 1:
            due -= 1
            yield at, runs
        at += step


SCENARIOS: Final = (
    Scenario(
        name="steady",
        what="20 requests/s of 100 ms for 2 minutes, then nothing",
        arrivals=tuple(_rate(1, 121, 20, 0.1)),
        seconds=200,
    ),
    Scenario(
        name="square wave",
        what="30 requests/s of 200 ms, 30 s on and 30 s off",
        arrivals=tuple(
            each for begin in (1, 61, 121, 181) for each in _rate(begin, begin + 30, 30, 0.2)
        ),
        seconds=300,
    ),
    Scenario(
        name="spike",
        what="one request/s of 100 ms; at 20 s a hundred at once of one second",
        arrivals=tuple(sorted([*_rate(1, 60, 1, 0.1), *((20.0, 1.0) for _ in range(100))])),
        seconds=150,
    ),
    Scenario(
        name="trickle",
        what="one request of 50 ms each 45 s, five times, then each 90 s (idle window 60 s)",
        arrivals=tuple((at, 0.05) for at in (1, 46, 91, 136, 181, 271, 361, 451)),
        seconds=530,
    ),
    Scenario(
        name="oscillation",
        what="0 to 40 requests/s of 250 ms, a sine of 20 s",
        arrivals=tuple(_wave(120, 40, 20, 0.25)),
        seconds=200,
    ),
    Scenario(
        name="burst of 50, cold",
        what="fifty requests at once of 5 s to a function that never ran, INIT 2 s",
        arrivals=tuple((1.0, 5.0) for _ in range(50)),
        seconds=90,
        init=2.0,
    ),
    Scenario(
        name="turned long",
        what="one request/s of 5 ms for 20 s; at 30 s a hundred at once of 30 s",
        arrivals=(*_rate(1, 21, 1, 0.005), *((30.0, 30.0) for _ in range(100))),
        seconds=150,
    ),
    Scenario(
        name="short, all at once",
        what="the same, but the hundred are as short as before, to no instance",
        arrivals=(*_rate(1, 21, 1, 0.005), *((90.0, 0.005) for _ in range(100))),
        seconds=170,
    ),
    Scenario(
        name="burst limit 10",
        what="fifty requests at once of 5 s; ten starts in ten seconds",
        arrivals=tuple((1.0, 5.0) for _ in range(50)),
        seconds=90,
        burst=10,
    ),
    Scenario(
        name="minimum 2",
        what="the trickle, with spec.scaling.minReplicas 2",
        arrivals=tuple((at, 0.05) for at in (5, 95, 185)),
        seconds=250,
        spec=Spec(idle_seconds=60, minimum=2),
    ),
)
