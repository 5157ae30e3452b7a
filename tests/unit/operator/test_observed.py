"""Memory: projections, indexes, staleness, and whom a change concerns."""

from typing import Any

import pytest

from klambda_core.kinds import ALIAS, DEPLOYMENT, FUNCTION, VERSION, Kind
from klambda_operator import observed as seen
from klambda_operator.handlers import Intake
from klambda_operator.model import Key, Priority
from klambda_operator.observed import Observed
from klambda_operator.workqueue import WorkQueue

FN = Key("functions", "default", "area")
V1 = Key("versions", "default", "area-v1")
LIVE = Key("aliases", "default", "live")


def body(
    name: str, *, uid: str = "u", version: int = 1, owner: str = "", **parts: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": uid,
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-21T10:00:00Z",
        "managedFields": [{"time": version}],
    }
    if owner:
        kind, named, owner_uid = owner.split("/")
        metadata["ownerReferences"] = [
            {
                "apiVersion": "klambda.io/v1alpha1",
                "kind": kind,
                "name": named,
                "uid": owner_uid,
                "controller": True,
            }
        ]
    return {"metadata": metadata, "spec": {}} | parts


def function(name: str = "area", version: int = 1, **spec: Any) -> dict[str, Any]:
    return body(name, uid=f"uid-{name}", version=version, spec=spec)


def version_1(version: int = 1, owner: str = "Function/area/uid-area") -> dict[str, Any]:
    spec = {"functionRef": "area", "version": 1}
    return body("area-v1", uid="uid-v", version=version, owner=owner, spec=spec)


def live(version: int = 1) -> dict[str, Any]:
    return body("live", uid="uid-a", version=version, spec={"functionRef": "area", "name": "live"})


def deployment(version: int = 1, replicas: int = 0, there: int = 0, **spec: Any) -> dict[str, Any]:
    return body(
        "area-latest-1",
        uid="uid-d",
        version=version,
        owner="Function/area/uid-area",
        spec={"replicas": replicas, "template": {}} | spec,
        status={"replicas": there},
    )


@pytest.fixture
def memory() -> Observed:
    return Observed()


def test_a_new_object_concerns_itself(memory: Observed) -> None:
    assert memory.put(FUNCTION, function()) == {FN}
    assert len(memory) == 1


def test_what_no_plan_looks_at_wakes_nobody(memory: Observed) -> None:
    memory.put(FUNCTION, function())
    assert memory.put(FUNCTION, function(version=2)) == set()
    record = memory.get(FUNCTION, "default", "area")
    assert record is not None
    assert record.body()["metadata"]["resourceVersion"] == "2"


def test_last_applied_is_not_kept(memory: Observed) -> None:
    one = function()
    one["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "x",
        "a": "b",
    }
    memory.put(FUNCTION, one)
    record = memory.get(FUNCTION, "default", "area")
    assert record is not None
    assert record.body()["metadata"]["annotations"] == {"a": "b"}


def test_an_older_object_is_not_taken(memory: Observed) -> None:
    memory.put(FUNCTION, function(version=5, timeout=9))
    assert memory.put(FUNCTION, function(version=4, timeout=3)) == set()
    record = memory.get(FUNCTION, "default", "area")
    assert record is not None
    assert record.body()["spec"] == {"timeout": 9}


def test_a_function_that_comes_or_goes_concerns_its_family(memory: Observed) -> None:
    memory.put(VERSION, version_1())
    memory.put(ALIAS, live())
    assert memory.put(FUNCTION, function()) == {FN, V1, LIVE}
    assert memory.put(FUNCTION, function(version=2, timeout=9)) == {FN}
    assert memory.pop(FUNCTION, "default", "area") == {FN, V1, LIVE}


def test_a_version_that_comes_concerns_its_function_and_aliases(memory: Observed) -> None:
    memory.put(ALIAS, live())
    assert memory.put(VERSION, version_1()) == {V1, LIVE, FN}


def test_namesakes_concern_one_another(memory: Observed) -> None:
    memory.put(FUNCTION, function("one", functionName="Area"))
    two = Key("functions", "default", "two")
    assert Key("functions", "default", "one") in memory.put(
        FUNCTION, function("two", functionName="Area")
    )
    assert two in memory.pop(FUNCTION, "default", "one")


def test_a_deployment_concerns_its_owner(memory: Observed) -> None:
    assert memory.put(DEPLOYMENT, deployment()) == {FN}
    assert memory.pop(DEPLOYMENT, "default", "area-latest-1") == {FN}


def test_a_strangers_deployment_concerns_nobody(memory: Observed) -> None:
    assert memory.put(DEPLOYMENT, body("x", spec={"replicas": 1})) == set()


def test_scaling_wakes_nobody_until_it_is_empty(memory: Observed) -> None:
    memory.put(DEPLOYMENT, deployment(replicas=1))
    assert memory.put(DEPLOYMENT, deployment(version=2, replicas=5, there=3)) == set()
    assert memory.put(DEPLOYMENT, deployment(version=3, replicas=0, there=1)) == set()
    assert memory.put(DEPLOYMENT, deployment(version=4, replicas=0, there=0)) == {FN}


def test_an_edit_of_a_deployment_wakes_its_owner(memory: Observed) -> None:
    memory.put(DEPLOYMENT, deployment())
    assert memory.put(DEPLOYMENT, deployment(version=2, paused=True)) == {FN}


def test_a_late_deletion_does_not_remove_the_successor(memory: Observed) -> None:
    memory.put(FUNCTION, body("area", uid="new", version=9))
    assert memory.pop(FUNCTION, "default", "area", "old") == set()
    assert memory.get(FUNCTION, "default", "area") is not None


def test_a_list_removes_what_is_gone_but_not_what_is_younger(memory: Observed) -> None:
    memory.put(FUNCTION, function("gone", version=3))
    memory.put(FUNCTION, function("young", version=9))
    memory.put(FUNCTION, function("kept", version=2))
    kept = Key("functions", "default", "kept")
    concerned = memory.prune(FUNCTION, {kept}, "5")
    assert concerned == {Key("functions", "default", "gone")}
    assert {key.name for key in sorted(memory.keys())} == {"kept", "young"}


def test_a_list_of_one_namespace_leaves_the_others(memory: Observed) -> None:
    memory.put(FUNCTION, function())
    assert memory.prune(FUNCTION, set(), "99", namespace="other") == set()


def test_groups_forget_what_is_gone(memory: Observed) -> None:
    memory.put(VERSION, version_1())
    memory.pop(VERSION, "default", "area-v1")
    assert list(memory.group(VERSION, "default", seen.family_group("area"))) == []


@pytest.mark.parametrize(
    ("kind", "event", "priority"),
    [
        (None, function(), Priority.LOW),
        ("ADDED", function(), Priority.HIGH),
        ("MODIFIED", function(), Priority.HIGH),
    ],
)
def test_events_become_keys(kind: str | None, event: dict[str, Any], priority: Priority) -> None:
    memory = Observed()
    queue: WorkQueue[Key] = WorkQueue(clock=lambda: 0.0, jitter=lambda: 1.0)
    Intake(memory, queue).take(FUNCTION, {"type": kind, "object": event})
    other = Key("functions", "default", "other")
    queue.add(other, Priority.LOW if priority is Priority.HIGH else Priority.HIGH)
    assert queue.take() == ((FN if priority is Priority.HIGH else other), 0.0)


def test_a_deletion_becomes_a_key() -> None:
    memory = Observed()
    queue: WorkQueue[Key] = WorkQueue(clock=lambda: 0.0, jitter=lambda: 1.0)
    memory.put(FUNCTION, function())
    Intake(memory, queue).take(FUNCTION, {"type": "DELETED", "object": function(version=2)})
    assert queue.take() == (FN, 0.0)
    assert len(memory) == 0


def test_the_owners_of_orphans_are_looked_at_too(memory: Observed) -> None:
    memory.put(DEPLOYMENT, deployment())
    memory.put(VERSION, version_1(owner="Function/other/uid"))
    assert memory.keys() == {FN, V1, Key("functions", "default", "other")}


def test_kinds_are_told_apart(memory: Observed) -> None:
    kinds: list[Kind] = [FUNCTION, VERSION, ALIAS]
    for kind in kinds:
        memory.put(kind, body("same", spec={"functionRef": "f", "name": "n"}))
    assert len(memory) == 3
