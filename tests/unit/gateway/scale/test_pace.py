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
    ("waiting", "serving", "duration", "stalled", "starts"),
    [
        pytest.param(50, 0, 0.2, False, 50, id="as on Lambda: one each for runs that take long"),
        pytest.param(50, 9, 0.2, False, 50, id="whatever else serves"),
        pytest.param(50, 0, 0.002, False, 1, id="short runs share the first instance"),
        pytest.param(1, 0, 0.002, False, 1, id="the first always starts"),
        pytest.param(1, 1, 0.002, False, 0, id="a moment behind another one"),
        pytest.param(100, 1, 0.01, False, 7, id="eight are enough, one is there"),
        pytest.param(3, 2, 0.1, False, 1, id="between the two"),
        pytest.param(5, 1, 0.002, True, 5, id="a queue that stands still"),
        pytest.param(50, 1, 0.002, True, AT_ONCE, id="up to a limit, for they are short"),
        pytest.param(5, 1, None, True, 5, id="or has never moved"),
        pytest.param(3, 0, None, False, 3, id="nobody knows: one each"),
        pytest.param(50, 0, None, False, AT_ONCE, id="up to a limit"),
        pytest.param(0, 0, 0.002, False, 0, id="nobody waits"),
    ],
)
def test_what_waiting_requests_are_worth(
    waiting: int, serving: int, duration: float | None, stalled: bool, starts: int
) -> None:
    found = worth(waiting=waiting, serving=serving, duration=duration, stalled=stalled)
    assert found == starts


@given(
    waiting=st.integers(0, 1000),
    serving=st.integers(0, 1000),
    duration=st.none() | st.floats(0, 900),
    stalled=st.booleans(),
)
def test_never_more_than_wait_and_never_nothing_for_nothing(
    waiting: int, serving: int, duration: float | None, stalled: bool
) -> None:
    found = worth(waiting=waiting, serving=serving, duration=duration, stalled=stalled)
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
