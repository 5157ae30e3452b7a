"""How events give way: the pace beside so many synchronous requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.events.courtesy import (
    GROUP,
    PACE_FIRST_S,
    PACE_LONGEST_S,
    SMALL_GROUP,
    SPAN_S,
    Courtesy,
)


class Requests:
    """Synchronous requests, counted."""

    def __init__(self) -> None:
        self.count = 0
        self.courtesy = Courtesy(lambda: self.count)


def test_alone_events_go_as_fast_as_they_can() -> None:
    requests = Requests()
    for now in (0.0, 0.1, 7.0):
        assert requests.courtesy.pace(now) == 0
        assert requests.courtesy.group(now) == GROUP
        assert requests.courtesy.pause(GROUP, now) == requests.courtesy.linger(now) == 0


@pytest.mark.parametrize(
    ("requests_in_a_span", "pace"),
    [(1, 0.001012), (25, 0.0013), (125, 0.0025), (250, 0.004), (5000, 0.004)],
)
def test_the_more_requests_the_slower(requests_in_a_span: int, pace: float) -> None:
    requests = Requests()
    assert requests.courtesy.pace(10.0) == 0
    requests.count = requests_in_a_span
    assert requests.courtesy.pace(10.1) == pytest.approx(pace), "at once, not after the span"
    assert requests.courtesy.group(10.2) == SMALL_GROUP
    assert requests.courtesy.pause(4, 10.2) == pytest.approx(4 * pace)
    assert requests.courtesy.pace(10.0 + SPAN_S) == pytest.approx(pace), "and after it"
    assert requests.courtesy.pace(10.1 + 2 * SPAN_S) == 0, "until a span without any is over"


@given(st.lists(st.tuples(st.integers(-5, 1000), st.floats(0, 2)), max_size=50))
def test_the_pace_has_its_bounds(steps: list[tuple[int, float]]) -> None:
    requests, now = Requests(), 0.0
    for more, later in steps:
        requests.count += more  # refused events may count as less than none
        now += later
        pace = requests.courtesy.pace(now)
        assert pace == 0 or PACE_FIRST_S <= pace <= PACE_LONGEST_S
