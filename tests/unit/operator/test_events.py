"""Events: one per transition, named so that a repetition is no second event, and never fatal."""

from datetime import timedelta
from typing import Any

import pytest

from klambda_core.conditions import Transition, Truth
from klambda_core.crd import Condition, Function
from klambda_core.kinds import FUNCTION, Kind
from klambda_kube.errors import Forbidden
from klambda_obs.logs import Logger
from klambda_operator.events import EventRecorder, event
from klambda_operator.model import Broken
from tests.unit.operator.world import NOW, stored_function


def transition(kind: str, status: Truth, reason: str, message: str = "") -> Transition:
    condition = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time="2026-11-21T12:00:00Z",
    )
    return Transition(condition=condition, before=None)


FUNCTION_1 = Function.read(stored_function())


@pytest.mark.parametrize(
    ("found", "kind", "reason", "message"),
    [
        (transition("Ready", "True", "AsExpected"), "Normal", "Ready", "can be started"),
        (transition("Ready", "False", "NoCode", "no code"), "Warning", "NoCode", "no code"),
        (transition("NameTaken", "True", "NameTaken", "older"), "Warning", "NameTaken", "older"),
        (transition("NameTaken", "False", "NameFree"), "Normal", "NameFree", "NameTaken is over"),
        (
            transition("RuntimeSubstituted", "True", "OtherRuntime", "python3.13 runs"),
            "Normal",
            "OtherRuntime",
            "python3.13 runs",
        ),
    ],
)
def test_what_is_told(found: Transition, kind: str, reason: str, message: str) -> None:
    body = event(FUNCTION_1, found, NOW, "op-1")
    assert (body["type"], body["reason"]) == (kind, reason)
    assert message in body["message"]
    assert body["involvedObject"] == {
        "apiVersion": "klambda.io/v1alpha1",
        "kind": "Function",
        "name": "area",
        "namespace": "default",
        "uid": FUNCTION_1.uid,
        "resourceVersion": FUNCTION_1.metadata.resource_version,
    }


def test_a_repetition_has_the_same_name() -> None:
    found = transition("Ready", "False", "NoCode")
    one = event(FUNCTION_1, found, NOW, "op-1")
    assert one == event(FUNCTION_1, found, NOW, "op-1")
    later = event(FUNCTION_1, found, NOW + timedelta(seconds=1), "op-1")
    assert one["metadata"]["name"] != later["metadata"]["name"]


class Api:
    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def create(
        self, kind: Kind, namespace: str | None, body: dict[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        assert (kind.plural, namespace, field_manager) == ("events", "default", "klambda-operator")
        if self.bodies:
            raise Forbidden(403, "Forbidden", "no")
        self.bodies.append(body)
        return body


async def test_an_event_that_cannot_be_written_is_no_failure() -> None:
    api = Api()
    recorder = EventRecorder(api, instance="op-1", log=Logger("test"))
    broken = Broken(kind=FUNCTION, metadata=FUNCTION_1.metadata, status={}, message="x")
    found = transition("Ready", "False", "InvalidObject")
    await recorder.tell(broken, [found, found], NOW)
    assert len(api.bodies) == 1
