"""Conditions keep their times, and only changes are told."""

from datetime import UTC, datetime

from klambda_core.conditions import Fact, Truth, find, is_true, merge, transitions
from klambda_core.crd import Condition

THEN = "2026-11-21T10:00:00Z"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def observed(status: str = "True", reason: str = "Fine", message: str = "") -> Condition:
    return Condition.model_validate(
        {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": 1,
            "lastTransitionTime": THEN,
        }
    )


def ready(status: Truth = "True", reason: str = "Fine") -> Fact:
    return Fact(type="Ready", status=status, reason=reason)


def test_the_same_fact_is_the_same_condition() -> None:
    assert merge([observed()], [ready()], generation=1, now=NOW) == [observed()]


def test_the_time_moves_with_the_status_only() -> None:
    (reason,) = merge([observed()], [ready(reason="Other")], generation=2, now=NOW)
    assert (reason.last_transition_time, reason.observed_generation) == (THEN, 2)
    (status,) = merge([observed()], [ready("False")], generation=2, now=NOW)
    assert status.last_transition_time == "2026-11-21T12:00:00Z"


def test_a_new_condition_starts_now() -> None:
    (found,) = merge([], [ready()], generation=1, now=NOW)
    assert found.last_transition_time == "2026-11-21T12:00:00Z"


def test_transitions_are_changes_of_status_or_reason() -> None:
    assert transitions([observed()], [observed(message="other")]) == []
    (status,) = transitions([observed()], [observed("False")])
    assert status.before == observed()
    (reason,) = transitions([observed()], [observed(reason="Other")])
    assert reason.condition.reason == "Other"
    (first,) = transitions([], [observed()])
    assert first.before is None


def test_finding() -> None:
    assert find([observed()], "Ready") == observed()
    assert find([], "Ready") is None
    assert is_true([observed()], "Ready")
    assert not is_true([observed("False")], "Ready")
    assert not is_true([], "Ready")
