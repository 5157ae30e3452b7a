"""Scaling as a whole, in virtual time: the gateway's own parts, simulated instances."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from klambda_gateway.instances.record import COMPLETING_S
from klambda_gateway.scale.decide import Spec
from klambda_gateway.scale.pace import SHARE_WITHIN_S, STALLED_S
from tools.bench.scaling.scenarios import SCENARIOS, Scenario, run
from tools.bench.scaling.simulation import NEXT_S, Trace

BY_NAME = {each.name: each for each in SCENARIOS}


def came_of(name: str) -> Trace:
    trace = run(BY_NAME[name])
    assert len(trace.waits) + trace.throttled == len(BY_NAME[name].arrivals), "none was lost"
    assert trace.samples[-1].instances == BY_NAME[name].spec.minimum, "the idle ones have gone"
    return trace


@pytest.mark.parametrize(
    ("name", "instances", "starts", "slowest"),
    [
        # requests need 2, 6, 100, 1 and 10 instances: what came before the first answers is extra
        ("steady", 7, 7, 0.3),
        ("square wave", 18, 18, 0.4),
        ("spike", 100, 101, 9.0),
        ("trickle", 1, 4, 0.3),
        ("oscillation", 12, 12, 0.3),
        ("burst of 50, cold", 50, 50, 7.0),
        # the node brings up thirteen a second: 7.6 s; ten at a time it would be 11.5
        ("turned long", 100, 100, 8.0),
        ("short, all at once", 4, 5, 0.5),
        ("burst limit 10", 10, 10, 1.5),
        ("minimum 2", 2, 2, 0.0),
    ],
)
def test_a_scenario(name: str, instances: int, starts: int, slowest: float) -> None:
    """Bounds on instances, starts (no flapping) and the longest wait, in virtual seconds."""
    trace = came_of(name)
    assert trace.instances <= instances
    assert trace.starts <= starts
    assert max(trace.waits) <= slowest
    assert trace.throttled == (40 if name == "burst limit 10" else 0)


def test_warm_requests_do_not_wait() -> None:
    for name in ("steady", "square wave", "oscillation"):
        assert came_of(name).wait(0.97) == 0.0


def test_a_square_waves_instances_are_kept_over_its_pauses() -> None:
    trace = came_of("square wave")
    assert trace.starts == trace.instances


ARRIVALS = st.lists(
    st.tuples(st.floats(0.0, 20.0), st.floats(0.001, 10.0)), min_size=1, max_size=60
)


@given(ARRIVALS, st.floats(0.05, 8.0), st.floats(0.0, 5.0))
@example([(0.0, 1.0), (3.0, 7.001953125), (10.0, 1.0)], 1.0, 0.0)
@settings(max_examples=60, deadline=None)
def test_never_more_instances_are_started_than_requests_are_there(
    arrivals: list[tuple[float, float]], start: float, init: float
) -> None:
    """However slow starts, INIT and runs are, in whatever order requests come and go."""
    scenario = Scenario(
        name="random", what="", arrivals=tuple(sorted(arrivals)), seconds=0, start=start, init=init
    )
    trace = run(scenario)
    assert len(trace.waits) == len(arrivals)
    assert trace.over <= 0


@given(st.integers(1, 50), st.floats(0.5, 10.0), st.floats(0.05, 5.0))
@settings(max_examples=25, deadline=None)
def test_a_burst_to_a_cold_slow_function_starts_what_was_needed_at_once(
    count: int, seconds: float, start: float
) -> None:
    burst = tuple((1.0, seconds) for _ in range(count))
    trace = run(Scenario(name="b", what="", arrivals=burst, seconds=0, start=start))
    assert trace.starts <= count
    assert trace.instances <= trace.requests


@given(st.integers(1, 60), st.floats(0.001, 0.05), st.floats(0.05, 5.0), st.integers(1, 60))
@settings(max_examples=15, deadline=None)
def test_short_requests_share_whatever_comes_at_once(
    count: int, seconds: float, start: float, later: int
) -> None:
    """A function with a history of short runs: what they need together, however slow a start is."""
    past = ((1.0, seconds), (11.0, seconds), (21.0, seconds))
    at_once = (*((100.0, seconds) for _ in range(count)), *((100.2, seconds) for _ in range(later)))
    trace = run(Scenario(name="s", what="", arrivals=(*past, *at_once), seconds=0, start=start))
    assert trace.over <= 0
    needed = math.ceil((count + later) * seconds / SHARE_WITHIN_S)
    assert trace.starts <= 1 + max(1, needed)


@given(st.floats(1.0, 20.0), st.floats(0.05, 2.0), st.integers(1, 60))
@settings(max_examples=15, deadline=None)
def test_requests_that_turn_long_get_an_instance_each_and_no_more(
    seconds: float, start: float, count: int
) -> None:
    past = tuple((float(number), 0.005) for number in range(1, 6))
    at_once = tuple((20.0, seconds) for _ in range(count))
    trace = run(Scenario(name="l", what="", arrivals=(*past, *at_once), seconds=0, start=start))
    assert trace.over <= 0
    assert trace.instances <= trace.requests
    # one node, one pod after the other, and the two looks that tell: no wait for a run to end
    bound = 3 * (start + STALLED_S + 2 * COMPLETING_S) + count * NEXT_S
    assert max(trace.waits) <= max(bound, seconds / 2)


@given(st.integers(1, 5), ARRIVALS)
@settings(max_examples=20, deadline=None)
def test_the_minimum_is_always_there(minimum: int, arrivals: list[tuple[float, float]]) -> None:
    spec = Spec(idle_seconds=2, minimum=minimum)
    trace = run(
        Scenario(name="m", what="", arrivals=tuple(sorted(arrivals)), seconds=60, spec=spec)
    )
    assert all(each.instances >= minimum for each in trace.samples if each.at >= 2)
    assert trace.samples[-1].instances == minimum
