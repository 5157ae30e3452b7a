"""Starts: never more on their way than requests waiting, and when there is no hope."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.instances.pods import PodFacts
from klambda_gateway.scale.starts import (
    BACKOFF_LAST_S,
    SCHEDULING_PATIENCE_S,
    START_PATIENCE_S,
    Backoff,
    Failure,
    Starts,
    judge,
)

POD = PodFacts(namespace="default", name="p", uid="u", deployment="d")
CONFIG = {"waiting": "CreateContainerConfigError"}
LATE = "timed out waiting for the condition"


def test_each_waiting_request_gets_one_start() -> None:
    starts = Starts()
    assert starts.shortfall(waiting=1, coming=0, now=0) == 1
    starts.started(1, 0)
    assert starts.shortfall(waiting=1, coming=1, now=0) == 0
    assert starts.shortfall(waiting=50, coming=1, now=0.1) == 49
    starts.started(49, 0.1)
    assert starts.shortfall(waiting=50, coming=50, now=0.2) == 0


def test_an_arrival_uses_its_start_up() -> None:
    starts = Starts()
    starts.started(2, 0)
    starts.arrived()
    assert starts.shortfall(waiting=2, coming=1, now=1) == 1, "another gateway got it"


def test_a_caller_who_left_leaves_his_start_to_the_next() -> None:
    starts = Starts()
    starts.started(1, 0)
    assert starts.shortfall(waiting=0, coming=1, now=0) == 0
    assert starts.shortfall(waiting=1, coming=1, now=1) == 0


@pytest.mark.parametrize(("coming", "missing"), [(1, 0), (0, 1)])
def test_a_late_start_is_asked_again_only_when_nothing_is_being_made(
    coming: int, missing: int
) -> None:
    starts = Starts()
    starts.started(1, 0)
    assert starts.outstanding(START_PATIENCE_S - 1) == 1
    assert starts.shortfall(waiting=1, coming=coming, now=START_PATIENCE_S) == missing


@given(st.lists(st.tuples(st.sampled_from("wad"), st.integers(1, 5)), max_size=40))
def test_no_more_on_their_way_than_ever_waited_at_once(steps: list[tuple[str, int]]) -> None:
    starts, waiting, most = Starts(), 0, 0
    for now, (kind, count) in enumerate(steps):
        if kind == "w":
            waiting += count
        elif kind == "a" and starts.outstanding(now / 100):
            starts.arrived()
            waiting = max(0, waiting - 1)
        else:
            waiting = max(0, waiting - count)
        most = max(most, waiting)
        starts.started(starts.shortfall(waiting=waiting, coming=0, now=now / 100), now / 100)
        assert starts.outstanding(now / 100) <= most


@pytest.mark.parametrize(
    ("facts", "since", "reason"),
    [
        ({}, 0.0, None),
        ({"waiting": "ContainerCreating"}, 0.0, None),
        ({"waiting": "ImagePullBackOff"}, 0.0, "ImagePullBackOff"),
        (CONFIG | {"message": 'secret "s" not found'}, 0.0, "CreateContainerConfigError"),
        (CONFIG | {"message": f"failed to sync secret cache: {LATE}"}, 0.0, None),
        (CONFIG | {"message": f"failed to sync configmap cache: {LATE}"}, 0.0, None),
        ({"waiting": "CrashLoopBackOff", "restarts": 3}, 0.0, "CrashLoopBackOff"),
        ({"restarts": 1, "terminated": "Error"}, 0.0, "CrashLoop"),
        ({"unschedulable": True}, 100.0 - SCHEDULING_PATIENCE_S + 0.1, None),
        ({"unschedulable": True, "message": "no cpu"}, 95.0, "Unschedulable"),
    ],
)
def test_why_a_pod_does_not_start(facts: dict[str, Any], since: float, reason: str | None) -> None:
    found = judge([(dataclasses.replace(POD, **facts), since)], replica_failure=None, now=100.0)
    assert (found.reason if found else None) == reason


def test_there_is_hope_while_one_is_on_its_way() -> None:
    bad = dataclasses.replace(POD, waiting="ErrImagePull")
    assert judge([(bad, 0), (POD, 0)], replica_failure="quota", now=1) is None
    assert judge([], replica_failure=None, now=1) is None
    found = judge([], replica_failure="exceeded quota", now=1)
    assert found == Failure(reason="ReplicaFailure", message="exceeded quota")


def test_back_off_doubles_up_to_its_limit_and_a_success_ends_it() -> None:
    backoff, now, waits = Backoff(), 0.0, []
    failure = Failure(reason="ErrImagePull", message="no")
    assert backoff.fail(failure, now)
    for _ in range(8):
        waits.append(backoff.until - now)
        assert backoff.current(backoff.until - 0.01) == failure
        assert backoff.current(backoff.until) is None
        now = backoff.until
        assert not backoff.fail(failure, now), "the same reason is no news"
    assert waits == [1, 2, 4, 8, 16, BACKOFF_LAST_S, BACKOFF_LAST_S, BACKOFF_LAST_S]
    assert backoff.fail(Failure(reason="other", message=""), now)
    assert backoff.clear()
    assert not backoff.clear()
    assert backoff.current(now) is None
