"""What becomes of an event, row by row (aws-contract c), and whole lives in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.events.policy import (
    GONE_LOOKS,
    Again,
    Decision,
    Drop,
    Over,
    Progress,
    Rules,
    Situation,
    Waits,
    after_error,
    after_failed_delivery,
    after_refusal,
    after_success,
    before,
)

LAMBDAS, AWS = Rules(), Waits()


def progress(attempts: int = 0, backoffs: int = 0, age: float = 0) -> Progress:
    return Progress(attempts=attempts, backoffs=backoffs, age=age)


def again(delay: float, attempts: int = 0, backoffs: int = 0) -> Again:
    return Again(delay=delay, attempts=attempts, backoffs=backoffs)


def over(condition: str, attempts: int) -> Over:
    return Over(condition=condition, attempts=attempts)


HERE = Situation()


@pytest.mark.parametrize(
    ("rules", "at", "situation", "expected"),
    [
        # nothing in the way
        (LAMBDAS, progress(), HERE, None),
        (LAMBDAS, progress(2, 0, 21_600), HERE, None),
        # maximum age (c: 60..21600, default 21600)
        (LAMBDAS, progress(0, 3, 21_601), HERE, over("EventAgeExceeded", 0)),
        (Rules(max_age=60), progress(1, 0, 61), HERE, over("EventAgeExceeded", 1)),
        # reserved concurrency 0: no attempt (c)
        (LAMBDAS, progress(), Situation(reserved=0), over("ZeroReservedConcurrency", 0)),
        (LAMBDAS, progress(1), Situation(reserved=0), over("ZeroReservedConcurrency", 1)),
        (LAMBDAS, progress(), Situation(reserved=1), None),
        # paused: it waits, whatever else; nothing is counted (ours, docs/adr)
        (LAMBDAS, progress(1, 3, 99_999), Situation(paused=True), again(2, 1, 3)),
        (LAMBDAS, progress(), Situation(paused=True, reserved=0, looping=True), again(2)),
        # loops are stopped (c: after 16 passes)
        (LAMBDAS, progress(), Situation(looping=True), over("RecursiveInvocation", 0)),
        # a function that is not known is looked for again before the event is dropped
        (LAMBDAS, progress(), Situation(standing="unknown"), again(1, 0, 1)),
        (LAMBDAS, progress(0, 2), Situation(standing="recreated"), again(4, 0, 3)),
        (
            LAMBDAS,
            progress(0, GONE_LOOKS),
            Situation(standing="unknown"),
            Drop(reason="the function is deleted"),
        ),
        (
            LAMBDAS,
            progress(1, GONE_LOOKS),
            Situation(standing="recreated"),
            Drop(reason="the function is another one of the same name"),
        ),
        # nobody can say whether it is there: like any system error, however often, within the age
        (LAMBDAS, progress(1, GONE_LOOKS), Situation(standing="unsure"), again(8, 1, 4)),
        (LAMBDAS, progress(1, 20), Situation(standing="unsure"), again(300, 1, 21)),
        (
            Rules(max_age=60),
            progress(0, 20, 50),
            Situation(standing="unsure"),
            over("EventAgeExceeded", 0),
        ),
        # gone counts before everything else
        (
            Rules(max_age=60),
            progress(0, GONE_LOOKS, 100),
            Situation(standing="unknown", reserved=0),
            Drop(reason="the function is deleted"),
        ),
    ],
)
def test_before_an_attempt(
    rules: Rules, at: Progress, situation: Situation, expected: Decision | None
) -> None:
    assert before(rules, AWS, at, situation) == expected


@pytest.mark.parametrize(
    ("rules", "at", "expected"),
    [
        # 1 min before the first retry, 2 min before the second (c)
        (LAMBDAS, progress(), again(60, 1)),
        (LAMBDAS, progress(1), again(120, 2)),
        (LAMBDAS, progress(2), over("RetriesExhausted", 3)),
        (Rules(retries=1), progress(), again(60, 1)),
        (Rules(retries=1), progress(1), over("RetriesExhausted", 2)),
        (Rules(retries=0), progress(), over("RetriesExhausted", 1)),
        # the number was lowered meanwhile
        (Rules(retries=0), progress(1), over("RetriesExhausted", 2)),
        # a function error ends a row of throttles
        (LAMBDAS, progress(0, 7), again(60, 1, 0)),
        # the age check looks ahead (c)
        (Rules(max_age=60), progress(0, 0, 0), again(60, 1)),
        (Rules(max_age=60), progress(0, 0, 0.5), over("EventAgeExceeded", 1)),
        (Rules(max_age=180), progress(1, 0, 61), over("EventAgeExceeded", 2)),
    ],
)
def test_after_a_function_error(rules: Rules, at: Progress, expected: Decision) -> None:
    assert after_error(rules, AWS, at) == expected


@pytest.mark.parametrize(
    ("at", "status", "expected"),
    [
        # throttles and system errors: 1 s doubling to 5 min, no attempt used (c)
        *((progress(1, n), 429, again(min(2.0**n, 300), 1, n + 1)) for n in range(12)),
        (progress(0, 0), 500, again(1, 0, 1)),
        (progress(0, 1), 503, again(2, 0, 2)),
        (progress(0, 2), 502, again(4, 0, 3)),
        # a qualifier that is gone, a function that is Pending: they may come
        (progress(0, 0), 404, again(1, 0, 1)),
        (progress(0, 0), 409, again(1, 0, 1)),
        (progress(0, 5000, 10), 429, again(300, 0, 5001)),
        # look-ahead
        (progress(0, 20, 21_300), 429, again(300, 0, 21)),
        (progress(0, 20, 21_301), 429, over("EventAgeExceeded", 0)),
        (progress(2, 20, 21_301), 500, over("EventAgeExceeded", 2)),
        # the event itself is refused: it will not get better
        (progress(), 400, over("RetriesExhausted", 0)),
        (progress(), 413, over("RetriesExhausted", 0)),
    ],
)
def test_after_a_refusal(at: Progress, status: int, expected: Decision) -> None:
    assert after_refusal(LAMBDAS, AWS, at, status) == expected


def test_after_a_success() -> None:
    assert after_success(progress(2)) == over("Success", 3)


def test_a_failing_destination_is_tried_for_a_while() -> None:
    waits = Waits(deliveries=3)
    assert after_failed_delivery(waits, progress(1, 0)) == again(1, 1, 1)
    assert after_failed_delivery(waits, progress(1, 1)) == again(2, 1, 2)
    assert after_failed_delivery(waits, progress(1, 2)) is None


def life(rules: Rules, happenings: list[str]) -> list[tuple[float, Decision]]:
    """Live an event's life: what happens at each attempt → when, and what was decided."""
    found: list[tuple[float, Decision]] = []
    at, now = progress(), 0.0
    for happening in happenings:
        decision = before(rules, AWS, at, HERE)
        if decision is None:
            match happening:
                case "error":
                    decision = after_error(rules, AWS, at)
                case "throttle":
                    decision = after_refusal(rules, AWS, at, 429)
                case _:
                    decision = after_success(at)
        found.append((now, decision))
        if not isinstance(decision, Again):
            break
        now += decision.delay
        at = progress(decision.attempts, decision.backoffs, now)
    return found


def test_the_life_of_an_event_that_always_fails() -> None:
    assert life(LAMBDAS, ["error"] * 9) == [
        (0, again(60, 1)),
        (60, again(120, 2)),
        (180, over("RetriesExhausted", 3)),
    ]


def test_the_life_of_an_event_that_is_always_throttled_ends_within_its_age() -> None:
    for max_age in (60, 300, 21_600):
        lived = life(Rules(max_age=max_age), ["throttle"] * 1000)
        assert lived[-1][1] == over("EventAgeExceeded", 0)
        assert max_age - 300 <= lived[-1][0] <= max_age


def test_throttles_between_errors_use_no_attempt() -> None:
    lived = life(LAMBDAS, ["throttle", "error", "throttle", "throttle", "error", "ok"])
    assert [when for when, _ in lived] == [0, 1, 61, 62, 64, 184]
    assert lived[-1][1] == over("Success", 3)


@given(
    st.lists(st.sampled_from(["error", "throttle", "ok"]), max_size=200),
    st.integers(0, 2),
    st.integers(60, 21_600),
)
def test_every_life_ends_as_its_rules_say(
    happenings: list[str], retries: int, max_age: int
) -> None:
    lived = life(Rules(retries=retries, max_age=max_age), [*happenings, *["throttle"] * 300])
    when, last = lived[-1]
    assert isinstance(last, Over)
    assert when <= max_age
    assert last.attempts <= retries + 1
    if last.condition == "RetriesExhausted":
        assert last.attempts == retries + 1
