"""How many starts waiting requests are worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.scale.pace import (
    AT_ONCE,
    FUNCTIONS_LIMIT,
    SHARE_WITHIN_S,
    Durations,
    worth,
)


@pytest.mark.parametrize(
    ("waiting", "serving", "duration", "standing", "starts"),
    [
        pytest.param(50, 0, 0.2, None, 50, id="as on Lambda: one each for runs that take long"),
        pytest.param(50, 9, 0.2, None, 50, id="whatever else serves"),
        pytest.param(50, 0, 0.002, None, 1, id="short runs share the first instance"),
        pytest.param(1, 0, 0.002, None, 1, id="the first always starts"),
        pytest.param(1, 1, 0.002, None, 0, id="a moment behind another one"),
        pytest.param(100, 1, 0.01, None, 7, id="eight are enough, one is there"),
        pytest.param(3, 2, 0.1, None, 1, id="between the two"),
        pytest.param(5, 1, 0.002, 1, 5, id="a queue that stands still"),
        pytest.param(50, 1, 0.002, 1, AT_ONCE, id="up to a limit, for they are short"),
        pytest.param(80, 20, 0.002, 20, 20, id="as many as bear it out"),
        pytest.param(15, 20, 0.002, 20, 15, id="never more than wait"),
        pytest.param(5, 1, None, 1, 5, id="or has never moved"),
        pytest.param(3, 0, None, None, 3, id="nobody knows: one each"),
        pytest.param(50, 0, None, None, AT_ONCE, id="up to a limit"),
        pytest.param(80, 30, None, 30, 30, id="which first runs that last raise"),
        pytest.param(0, 0, 0.002, None, 0, id="nobody waits"),
    ],
)
def test_what_waiting_requests_are_worth(
    waiting: int, serving: int, duration: float | None, standing: int | None, starts: int
) -> None:
    """``standing``: that many stand, and the queue with them."""
    found = worth(
        waiting=waiting,
        serving=serving,
        duration=duration,
        standing=standing or 0,
        stalled=standing is not None,
    )
    assert found == starts


def test_long_runs_beside_a_queue_that_moves_are_worth_nothing() -> None:
    assert worth(waiting=5, serving=9, duration=0.002, standing=8, stalled=False) == 0


@given(
    waiting=st.integers(0, 1000),
    serving=st.integers(0, 1000),
    duration=st.none() | st.floats(0, 900),
    standing=st.integers(0, 1000),
    stalled=st.booleans(),
)
def test_never_more_than_wait_and_never_nothing_for_nothing(
    waiting: int, serving: int, duration: float | None, standing: int, stalled: bool
) -> None:
    found = worth(
        waiting=waiting, serving=serving, duration=duration, standing=standing, stalled=stalled
    )
    assert 0 <= found <= waiting
    if waiting and not serving:
        assert found >= 1


def test_the_mean_follows_a_change_of_pace() -> None:
    durations = Durations()
    function = ("default", "f")
    assert durations.of(function) is None
    durations.note(function, 0.002)
    assert durations.of(function) == 0.002
    for _ in range(5):
        durations.note(function, 1.0)
    assert (durations.of(function) or 0) > SHARE_WITHIN_S
    for _ in range(8):
        durations.note(function, 0.002)
    assert (durations.of(function) or 1) < 0.01


def test_a_crowded_node_does_not_make_a_function_long() -> None:
    durations = Durations()
    for turn in range(100):
        durations.note(("default", "f"), 0.002 if turn % 3 == 0 else 0.1)
    assert (durations.of(("default", "f")) or 1) < 0.02


def test_the_oldest_functions_are_forgotten() -> None:
    durations = Durations()
    for number in range(FUNCTIONS_LIMIT + 1):
        durations.note(("default", f"f{number}"), 1.0)
    assert durations.of(("default", "f0")) is None
    assert durations.of(("default", f"f{FUNCTIONS_LIMIT}")) == 1.0
