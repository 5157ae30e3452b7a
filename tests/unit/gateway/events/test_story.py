"""One event's story: what is run, noted, told and settled, in which order, in virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from klambda_core import errors
from klambda_core.events import Delivery, Event, Leased, Postponement, Response, Settlement
from klambda_gateway.bulk import whole
from klambda_gateway.events.credit import Ending
from klambda_gateway.events.deliver.port import DeliveryFailed
from klambda_gateway.events.envelope import Outcome
from klambda_gateway.events.lineage import passed, passes
from klambda_gateway.events.metrics import EventMetrics
from klambda_gateway.events.policy import Waits
from klambda_gateway.events.story import Story
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_gateway.routing.facts import EventFacts, FunctionFacts
from klambda_gateway.routing.table import Entry
from klambda_obs.metrics import Metrics
from tests.support.events import event
from tests.support.virtualtime import run_virtual

FUNCTION = FunctionFacts(
    namespace="default", name="f", uid="uid-f", aws_name="f", created="", timeout=3, serving=None
)
OK = InvokeAnswer(payload=b'"done"', executed_version="$LATEST")
FAILED = InvokeAnswer(
    payload=b'{"errorMessage":"no"}', executed_version="$LATEST", function_error="Unhandled"
)
SUCCESS = Response(
    status_code=200, executed_version="$LATEST", function_error=None, payload=b'"done"'
)
ERROR = Response(
    status_code=200,
    executed_version="$LATEST",
    function_error="Unhandled",
    payload=whole(FAILED.payload),
)
QUEUE, TOPIC = "arn:aws:sqs:us-east-1:1:q", "arn:aws:sns:us-east-1:1:t"
CONFIGURED = replace(
    FUNCTION, events=EventFacts(on_success=QUEUE, on_failure=QUEUE), dead_letter=TOPIC
)


class World:
    """Everything around a story."""

    def __init__(self, function: FunctionFacts | None = FUNCTION) -> None:
        self.function = function
        self.answer: InvokeAnswer | Exception = OK
        self.seconds = 0.0
        self.requests: list[InvokeRequest] = []
        self.log: list[Any] = []
        """Reports and deliveries in their order."""
        self.refreshed = 0
        self.certain = True
        self.unreachable: set[str] = set()
        self.lost = False
        self.metrics = Metrics("gateway")
        self.events = EventMetrics(self.metrics)

    def get(self, namespace: str, aws_name: str) -> Entry | None:
        assert (namespace, aws_name) == ("default", "f")
        return None if self.function is None else Entry(function=self.function)

    async def refresh(self, *_: str) -> bool:
        self.refreshed += 1
        return self.certain

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        self.requests.append(request)
        await asyncio.sleep(self.seconds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def retry_at(self, item: Postponement) -> bool:
        self.log.append(item)
        return not self.lost

    async def settle(self, item: Settlement) -> bool:
        self.log.append(item)
        return not self.lost

    async def deliver(self, delivery: Delivery, outcome: Outcome) -> None:
        self.log.append((delivery.kind, delivery.target, outcome.condition, outcome.attempts))
        if delivery.target in self.unreachable:
            raise DeliveryFailed("gone fishing")

    def work_on(self, leased: Leased, waits: Waits | None = None) -> Ending:
        async def work() -> Ending:
            story = Story(
                reports=self,
                invoker=self,
                known=self,
                refresh=self.refresh,
                deliverer=self,
                metrics=self.events,
                waits=waits or Waits(),
                now=lambda: datetime(2026, 11, 27, tzinfo=UTC),
            )
            return await story.work_on(leased)

        return run_virtual(work())

    def counted(self, line: str) -> bool:
        return f"klambda_gateway_{line}" in self.metrics.render().decode()


def leased(what: Event | None = None, **members: Any) -> Leased:
    values: dict[str, Any] = {"event": what or event(), "lease": "l", "age": 0.0}
    return Leased(**(values | members))


def settlement(of: Leased, **members: Any) -> Settlement:
    values: dict[str, Any] = {"id": of.event.id, "lease": "l", "attempts": 1, "condition": None}
    return Settlement(**(values | members))


def test_a_success_is_settled_with_its_result() -> None:
    world, mine = World(), leased(event(qualifier="live", arn="arn:live"))
    assert world.work_on(mine) == "completed"
    (request,) = world.requests
    assert request.request_id == mine.event.id, "the id of the 202"
    assert (request.qualifier, request.invoked_arn) == ("live", "arn:live")
    assert request.payload == mine.event.payload
    assert passes(request.trace_id, "uid-f") == 1
    assert world.log == [settlement(mine, state="succeeded", condition="Success", response=SUCCESS)]
    assert world.counted("async_event_age_seconds_count 1.0")


def test_an_error_goes_back_for_its_retry() -> None:
    world, mine = World(), leased()
    world.answer = FAILED
    assert world.work_on(mine) == "completed"
    assert world.log == [
        Postponement(
            id=mine.event.id, lease="l", delay=60, attempts=1, backoffs=0, error="no",
            response=ERROR,
        )
    ]  # fmt: skip


def test_the_last_error_is_told_to_both_and_noted_first() -> None:
    world, mine = World(CONFIGURED), leased(attempts=2)
    world.answer = FAILED
    world.work_on(mine)
    noted, *told, end = world.log
    pending = (
        Delivery(kind="on-failure", target=QUEUE),
        Delivery(kind="dead-letter", target=TOPIC),
    )
    assert noted == Postponement(
        id=mine.event.id, lease="l", delay=0, attempts=3, backoffs=0, error="no", response=ERROR,
        condition="RetriesExhausted", pending=pending, hold=True,
    )  # fmt: skip
    assert told == [
        ("on-failure", QUEUE, "RetriesExhausted", 3),
        ("dead-letter", TOPIC, "RetriesExhausted", 3),
    ]
    assert end == settlement(
        mine, state="failed", condition="RetriesExhausted", attempts=3, error="no"
    )
    assert world.counted('async_events_dropped_total{condition="RetriesExhausted"} 1.0')


def test_an_outcome_that_is_noted_is_only_told_never_run_again() -> None:
    pending = (Delivery(kind="on-success", target=QUEUE),)
    mine = leased(attempts=1, condition="Success", response=SUCCESS, pending=pending)
    world = World(CONFIGURED)
    assert world.work_on(mine) == "other"
    assert world.requests == []
    assert world.log == [
        ("on-success", QUEUE, "Success", 1),
        settlement(mine, state="succeeded", condition="Success"),
    ]


def test_nobody_is_told_when_the_lease_is_lost() -> None:
    world = World(CONFIGURED)
    world.lost = True
    world.work_on(leased())
    (noted,) = world.log
    assert noted.hold


def test_a_settlement_that_came_too_late_is_counted() -> None:
    world = World()
    world.lost = True
    world.work_on(leased())
    assert world.counted("async_leases_lost_total 1.0")


def test_what_cannot_be_told_is_tried_again_and_then_kept() -> None:
    world = World(CONFIGURED)
    world.unreachable = {QUEUE}
    pending = (
        Delivery(kind="on-failure", target=QUEUE),
        Delivery(kind="dead-letter", target=TOPIC),
    )
    mine = leased(attempts=3, condition="RetriesExhausted", pending=pending, error="no")
    waits = Waits(deliveries=2)
    world.work_on(mine, waits)
    assert world.log[-1] == Postponement(
        id=mine.event.id, lease="l", delay=1, attempts=3, backoffs=1, error="no",
        condition="RetriesExhausted", pending=pending[:1],
    )  # fmt: skip
    left = replace(mine, backoffs=1, pending=pending[:1])
    world.work_on(left, waits)
    assert world.log[-1] == settlement(
        mine, state="undelivered", attempts=3, condition="RetriesExhausted",
        error=f"{QUEUE}: gone fishing", pending=pending[:1],
    )  # fmt: skip
    assert world.counted("destination_delivery_failures_total 1.0")
    assert world.counted("dead_letter_errors_total 0.0")


@pytest.mark.parametrize(
    ("error", "ending", "words"),
    [
        (errors.throttled("Why"), "throttled", "TooManyRequestsException: Rate Exceeded."),
        (errors.unavailable("away"), "other", "ServiceUnavailableException: away"),
        (errors.wrong_state("Pending"), "other", "ResourceConflictException: "),
    ],
)
def test_refusals_use_no_attempt(error: Exception, ending: str, words: str) -> None:
    world, mine = World(), leased(attempts=1, backoffs=3)
    world.answer = error
    assert world.work_on(mine) == ending
    (back,) = world.log
    assert (back.attempts, back.backoffs, back.delay, back.response) == (1, 4, 8, None)
    assert back.error.startswith(words)


def test_the_time_an_attempt_took_counts_for_the_age() -> None:
    function = replace(FUNCTION, events=EventFacts(max_age=100))
    world, mine = World(function), leased(age=30.0)
    world.answer, world.seconds = FAILED, 20.0
    world.work_on(mine)
    assert world.log[-1].condition == "EventAgeExceeded", "30 + 20 + 60 > 100"


def test_reserved_zero_runs_nothing_and_tells() -> None:
    world, mine = World(replace(CONFIGURED, reserved=0)), leased()
    world.work_on(mine)
    assert world.requests == []
    assert [each[:3] for each in world.log if isinstance(each, tuple)] == [
        ("on-failure", QUEUE, "ZeroReservedConcurrency"),
        ("dead-letter", TOPIC, "ZeroReservedConcurrency"),
    ]
    assert world.log[-1].attempts == 0


@pytest.mark.parametrize("function", [None, replace(FUNCTION, uid="another")])
def test_a_function_that_is_gone_drops_the_event_after_another_look(
    function: FunctionFacts | None,
) -> None:
    world = World(function)
    world.work_on(leased())
    assert world.refreshed == 1
    assert world.log[-1].delay == 1
    mine = leased(backoffs=3)
    world.work_on(mine)
    assert world.log[-1].state == "dropped"
    assert world.requests == []
    assert world.counted('async_events_dropped_total{condition="gone"} 1.0')


def test_while_kubernetes_cannot_be_asked_nothing_is_dropped() -> None:
    world = World(None)
    world.certain = False
    world.work_on(leased(backoffs=7))
    assert (world.log[-1].delay, world.log[-1].backoffs) == (128, 8)
    assert world.requests == []


def test_a_function_that_is_found_by_reading_again_runs() -> None:
    world = World(None)

    async def found(*_: str) -> bool:
        world.function = FUNCTION
        return True

    world.refresh = found  # type: ignore[method-assign]
    world.work_on(leased())
    assert world.log[-1].state == "succeeded"


def _looped(times: int) -> Event:
    trace: str | None = "Root=1-2-3"
    for _ in range(times):
        trace = passed(trace, "uid-f")
    return event(trace=trace)


@pytest.mark.parametrize(
    ("function", "times", "runs"),
    [
        (FUNCTION, 15, True),
        (FUNCTION, 16, False),
        (replace(FUNCTION, loops_allowed=True), 50, True),
    ],
)
def test_loops_are_stopped(function: FunctionFacts, times: int, runs: bool) -> None:
    world = World(function)
    world.work_on(leased(_looped(times)))
    assert bool(world.requests) is runs
    if not runs:
        assert world.log[-1].condition == "RecursiveInvocation"
        assert world.counted("recursive_invocations_dropped_total 1.0")


def test_configuration_is_read_when_it_counts() -> None:
    """It changed while the event ran: the new one decides."""
    world, mine = World(), leased()

    async def invoke(request: InvokeRequest) -> InvokeAnswer:
        world.function = replace(CONFIGURED, events=EventFacts(retries=0))
        return FAILED

    world.invoke = invoke  # type: ignore[method-assign]
    world.work_on(mine)
    assert world.log[0].condition == "RetriesExhausted"


def test_a_mistake_of_our_own_while_telling_ends_like_any_other_failure() -> None:
    world = World(CONFIGURED)

    async def broken(*_: object) -> None:
        raise ValueError("a mistake")

    world.deliver = broken  # type: ignore[method-assign,assignment]
    pending = (Delivery(kind="dead-letter", target=TOPIC),)
    mine = leased(attempts=3, condition="RetriesExhausted", pending=pending)
    world.work_on(mine, Waits(deliveries=1))
    assert world.log[-1].state == "undelivered"
    assert "a mistake" in world.log[-1].error
    assert world.counted("dead_letter_errors_total 1.0")
