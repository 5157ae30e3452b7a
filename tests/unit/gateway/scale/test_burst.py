"""The burst limit: Lambda's rate of 1,000 environments every ten seconds (aws-contract f)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.scale.burst import BURST_S, Bursts

AREA, OTHER = ("default", "area"), ("default", "other")


def test_a_burst_is_used_up_and_refilled_continuously() -> None:
    bursts = Bursts()
    assert bursts.take(AREA, 7, limit=10, now=0.0) == 7
    assert bursts.take(AREA, 7, limit=10, now=0.0) == 3
    assert bursts.take(AREA, 1, limit=10, now=0.0) == 0
    assert bursts.take(OTHER, 10, limit=10, now=0.0) == 10, "each function has its own"
    assert bursts.take(AREA, 5, limit=10, now=2.0) == 2, "one each second"
    assert bursts.take(AREA, 50, limit=10, now=1000.0) == 10, "not accrued"


def test_what_did_not_start_is_given_back() -> None:
    bursts = Bursts()
    assert bursts.take(AREA, 10, limit=10, now=0.0) == 10
    bursts.give_back(AREA, 4)
    assert bursts.take(AREA, 10, limit=10, now=0.0) == 4
    bursts.give_back(OTHER, 1)
    assert bursts.take(OTHER, 11, limit=10, now=0.0) == 10


def test_a_changed_limit_holds_at_once() -> None:
    bursts = Bursts()
    assert bursts.take(AREA, 1, limit=100, now=0.0) == 1
    assert bursts.take(AREA, 100, limit=5, now=0.0) == 5


def test_who_has_everything_again_is_forgotten() -> None:
    bursts = Bursts()
    bursts.take(AREA, 10, limit=10, now=0.0)
    bursts.sweep(BURST_S - 0.1)
    assert len(bursts) == 1
    bursts.sweep(BURST_S)
    assert len(bursts) == 0


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 60)), max_size=30),
)
def test_never_more_than_the_limit_and_what_was_refilled(
    limit: int, steps: list[tuple[float, int]]
) -> None:
    bursts, now, taken = Bursts(), 0.0, 0
    for pause, wanted in steps:
        now += pause
        taken += bursts.take(AREA, wanted, limit=limit, now=now)
        assert taken <= limit + now * limit / BURST_S + 1e-6
