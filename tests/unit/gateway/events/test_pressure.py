"""What the credits are told of functions, which they know by uid only."""

from __future__ import annotations

from dataclasses import replace

from klambda_gateway.events.credit import Pressure
from klambda_gateway.events.pressure import KEPT, Pressures
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import FunctionFacts, Serving
from klambda_gateway.routing.table import Entry
from tests.support.events import event

FUNCTION = FunctionFacts(
    namespace="default",
    name="object",
    uid="uid-f",
    aws_name="f",
    created="",
    timeout=3,
    serving=Serving(deployment="d", revision="r"),
)


def pressures(function: FunctionFacts | None) -> Pressures:
    running = {("default", "object"): 7}
    waiting = {DeploymentKey("default", "d"): 3}
    return Pressures(
        entry=lambda *_: None if function is None else Entry(function=function),
        running=running.__getitem__,
        waiting=waiting.__getitem__,
    )


def test_a_function_that_came_by_is_known() -> None:
    known = pressures(FUNCTION)
    assert known.of("uid-f") == Pressure(limit=1000), "nothing is known of it yet"
    known.learn(event("f"))
    assert known.of("uid-f") == Pressure(limit=1000, running=7, waiting=3)
    reserved = pressures(replace(FUNCTION, reserved=4))
    reserved.learn(event("f"))
    assert reserved.of("uid-f").limit == 4
    paused = pressures(replace(FUNCTION, events_paused=True))
    paused.learn(event("f"))
    assert paused.of("uid-f").paused
    gone = pressures(None)
    gone.learn(event("f"))
    assert gone.of("uid-f") == Pressure(limit=1000)


def test_not_everything_is_remembered() -> None:
    known = pressures(FUNCTION)
    for number in range(KEPT + 1):
        known.learn(event(f"f{number}"))
    assert known.of("uid-f0") == Pressure(limit=1000)
    assert known.of(f"uid-f{KEPT}").running == 7
