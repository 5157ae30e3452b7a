"""How long the API server's word counts: second by second, with and without the API server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.auth.verdicts import Standing, Verdicts

ALLOWED, DUE, DENIED, UNKNOWN = (
    Standing.ALLOWED,
    Standing.DUE,
    Standing.DENIED,
    Standing.UNKNOWN,
)


@pytest.mark.parametrize(
    ("allowed", "away", "age", "standing"),
    [
        (True, False, 0, ALLOWED),
        (True, False, 4.9, ALLOWED),
        (True, False, 5, DUE),
        (True, False, 9.9, DUE),
        (True, False, 10, UNKNOWN),
        (True, True, 4.9, ALLOWED),
        (True, True, 10, DUE),
        (True, True, 299, DUE),
        (True, True, 300, UNKNOWN),
        (False, False, 0, DENIED),
        (False, False, 2.9, DENIED),
        (False, False, 3, UNKNOWN),
        (False, True, 3, UNKNOWN),
    ],
)
def test_a_verdicts_life(allowed: bool, away: bool, age: float, standing: Standing) -> None:
    verdicts: Verdicts[str] = Verdicts()
    verdicts.said("k", allowed, 100.0)
    if away:
        verdicts.silent()
    assert verdicts.look("k", 100.0 + age) is standing


def test_what_is_due_is_asked_once_a_second() -> None:
    verdicts: Verdicts[str] = Verdicts()
    verdicts.said("k", True, 0.0)
    verdicts.silent()
    assert verdicts.look("k", 20.0) is DUE
    verdicts.asked("k", 20.0)
    assert verdicts.look("k", 20.5) is ALLOWED
    assert verdicts.look("k", 21.0) is DUE
    verdicts.asked("other", 21.0)
    assert verdicts.look("other", 21.0) is UNKNOWN


def test_an_answer_ends_the_absence() -> None:
    verdicts: Verdicts[str] = Verdicts()
    verdicts.said("k", True, 0.0)
    verdicts.silent()
    verdicts.said("other", True, 20.0)
    assert verdicts.look("k", 20.0) is UNKNOWN


def test_the_verdict_given_longest_ago_goes_first() -> None:
    verdicts: Verdicts[str] = Verdicts(kept=2)
    for key in ("a", "b", "a", "c"):
        verdicts.said(key, True, 0.0)
    assert len(verdicts) == 2
    assert [verdicts.look(key, 0.0) for key in "abc"] == [ALLOWED, UNKNOWN, ALLOWED]


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["yes", "no", "silent"]), st.floats(0, 9)),
        max_size=30,
    ),
    st.floats(0, 1000),
)
def test_nothing_is_allowed_but_by_the_last_word(
    steps: list[tuple[str, str, float]], wait: float
) -> None:
    verdicts: Verdicts[str] = Verdicts()
    last: dict[str, tuple[str, float]] = {}
    now = 0.0
    for key, step, pause in steps:
        now += pause
        if step == "silent":
            verdicts.silent()
        else:
            verdicts.said(key, step == "yes", now)
            last[key] = step, now
    for key in "ab":
        standing = verdicts.look(key, now + wait)
        word, given_at = last.get(key, ("never", 0.0))
        if standing in (ALLOWED, DUE):
            assert word == "yes"
            assert now + wait - given_at < 300
        if standing is DENIED:
            assert word == "no"
