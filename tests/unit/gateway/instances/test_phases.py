"""The phases of a start: what the gateway sees, what init tells, what a caller who asks is told."""

from __future__ import annotations

import pytest

from klambda_gateway.instances.attempt import Attempt
from klambda_gateway.instances.frames import Frame, FrameType
from klambda_gateway.instances.phases import StartPhases
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import Record
from klambda_gateway.invoke.timing import server_timing
from klambda_obs.metrics import Metrics

TOLD = {
    "scheduleMs": 40.0, "containerMs": 250.0, "dialMs": 3.0, "assignMs": 0.7, "fetchMs": 0.0,
    "unpackMs": 0.2, "runtimeMs": 41.04, "totalMs": 45.0, "secretMs": 1.0,
}  # fmt: skip


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def pod(*, bound: bool, uid: str = "u") -> PodFacts:
    return PodFacts(namespace="n", name="p", uid=uid, deployment="d", bound=bound)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def phases(clock: Clock) -> StartPhases:
    return StartPhases(Metrics("gateway"), clock)


def test_what_is_before_init_is_seen_by_the_gateway(phases: StartPhases, clock: Clock) -> None:
    phases.see_pod(pod(bound=False))
    clock.now += 0.04
    phases.see_pod(pod(bound=True))
    clock.now += 0.1
    phases.see_pod(pod(bound=True))  # whatever else changes of it
    clock.now += 0.2
    assert phases.before("u") == {"scheduleMs": 40.0, "boundMs": 300.0}
    assert phases.before("u") is None, "told once"


def test_a_pod_that_was_there_before_us_has_no_such_phases(phases: StartPhases) -> None:
    phases.see_pod(pod(bound=True))
    assert phases.before("u") is None
    phases.see_pod(pod(bound=False, uid="v"))
    assert phases.before("v") is None, "assigned before we heard of its node"


def test_a_pod_that_went_is_forgotten(phases: StartPhases) -> None:
    phases.see_pod(pod(bound=False))
    phases.see_pod(pod(bound=True))
    phases.lose_pod(pod(bound=True))
    assert phases.before("u") is None


def test_phases_of_the_contract_are_measured_and_kept(clock: Clock) -> None:
    metrics = Metrics("gateway")
    record = Record("u", DeploymentKey("n", "d"))
    StartPhases(metrics, clock).note(record, Frame(FrameType.PHASES, TOLD, b""))
    assert record.phases["container"] == 250.0
    exported = metrics.render().decode()
    assert 'start_phase_seconds_sum{phase="container"} 0.25' in exported
    assert "secret" not in exported


def attempt(*, cold: bool) -> Attempt:
    made = Attempt("a", log_tail=True)
    made.receive(Frame(FrameType.ACCEPTED, {"attempt": "a", "cold": cold}, b""))
    made.receive(Frame(FrameType.HEAD, {"attempt": "a", "mode": "buffered", "size": 1}, b"1"))
    end = {"attempt": "a", "status": "success", "durationMs": 2.84, "billedMs": 3, "maxMemoryMb": 9}
    made.receive(Frame(FrameType.END, end, b""))
    return made


def test_a_caller_is_told_of_the_start_that_he_waited_for() -> None:
    known = {name.removesuffix("Ms"): value for name, value in list(TOLD.items())[:-1]}
    assert server_timing(attempt(cold=True), known) == (
        "schedule;dur=40.0, container;dur=250.0, dial;dur=3.0, assign;dur=0.7, fetch;dur=0.0, "
        "unpack;dur=0.2, runtime;dur=41.0, run;dur=2.8"
    )
    assert server_timing(attempt(cold=False), known) == "run;dur=2.8"
