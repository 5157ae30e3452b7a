"""How many events a gateway takes of each function (design/data-plane.md, "Leasing by credit")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.events.credit import KEPT, Credits, Ending, Pressure, allowance


@pytest.mark.parametrize(
    ("window", "events", "pressure", "expected"),
    [
        (5, 0, Pressure(limit=1000), 5),
        (50, 0, Pressure(limit=1000), 5),
        (5, 0, Pressure(limit=3), 3),
        (50, 0, Pressure(limit=0), 1),  # reserved 0 ends at the policy, which needs the event
        (50, 9, Pressure(limit=1000, running=9, paused=True), 0),
        # the room that synchronous requests leave
        (50, 30, Pressure(limit=100, running=90), 40),
        (50, 10, Pressure(limit=100, running=70), 15),
        (50, 8, Pressure(limit=100, running=108), 11),  # a tenth stays
        # requests wait: only a tenth of what runs
        (50, 10, Pressure(limit=1000, running=70, waiting=11), 7),
        (50, 0, Pressure(limit=1000, running=3, waiting=3), 1),
        # what waits may all be events: nobody is in their way, but few are enough to ask for more
        (50, 10, Pressure(limit=1000, running=10, waiting=10), 5),
        (50, 10, Pressure(limit=1000, running=10, waiting=9), 6),
        (50, 20, Pressure(limit=1000, running=20, waiting=4), 24),
        (50, 20, Pressure(limit=1000, running=20), 30),
        (500, 300, Pressure(limit=1000, running=300, waiting=268), 48),
    ],
)
def test_what_is_allowed(window: int, events: int, pressure: Pressure, expected: int) -> None:
    assert allowance(window, events, pressure) == expected


def test_windows_grow_by_one_and_are_halved() -> None:
    credit = Credits(lambda _: Pressure(limit=8))
    assert credit.of("f") == 5
    for _ in range(3):
        credit.took("f")
    assert credit.of("f") == 2
    assert credit.all() == {"f": 2}
    credit.ended("f", "completed")
    assert credit.of("f") == 4, "one more, and two in flight"
    for _ in range(9):
        credit.took("f")
        credit.ended("f", "completed")
    assert credit.of("f") == 5, "beside the two in flight: enough to ask for instances"
    for _ in range(4):
        credit.took("f")
    assert credit.of("f") == 2, "not above the limit of 8"
    for _ in range(4):
        credit.ended("f", "other")
    credit.ended("f", "throttled")
    assert credit.of("f") == 3
    credit.ended("f", "throttled")
    assert credit.all() == {"f": 2}
    for _ in range(5):
        credit.took("f")
        credit.ended("f", "throttled")
    assert credit.of("f") == 1, "never none"


def test_a_paused_function_has_no_credit_until_it_goes_on() -> None:
    paused = {"f"}
    credit = Credits(lambda uid: Pressure(limit=1000, paused=uid in paused))
    assert (credit.all(), credit.pausing) == ({}, False), "known by its first event only"
    for uid in ("f", "g"):
        credit.took(uid)
        credit.ended(uid, "other")
    assert (credit.all(), credit.pausing) == ({"f": 0}, True)
    paused.clear()
    assert (credit.all(), credit.pausing) == ({}, False)
    assert credit.of("f") == 5
    paused |= {f"f{number}" for number in range(KEPT + 1)}
    for uid in sorted(paused):
        credit.took(uid)
        credit.ended(uid, "other")
    assert len(credit.all()) == KEPT, "not everything is remembered"


def test_what_teaches_nothing_is_forgotten() -> None:
    credit = Credits(lambda _: Pressure(limit=1000))
    credit.took("f")
    credit.ended("f", "other")
    assert credit.all() == {}


@given(st.lists(st.sampled_from(["completed", "throttled", "other"])), st.integers(1, 50))
def test_a_window_stays_between_one_and_the_limit(endings: list[Ending], limit: int) -> None:
    credit = Credits(lambda _: Pressure(limit=limit))
    for ending in endings:
        credit.took("f")
        credit.ended("f", ending)
        assert 1 <= credit.of("f") <= limit or credit.of("f") == min(5, limit)
