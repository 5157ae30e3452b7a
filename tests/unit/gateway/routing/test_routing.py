"""Routing: from objects as they stand in Kubernetes to what runs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core.scaling import read_defaults
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import (
    AliasFacts,
    FunctionFacts,
    VersionFacts,
    alias_facts,
    function_facts,
    version_facts,
)
from klambda_gateway.routing.resolve import Target, pick, resolve
from klambda_gateway.routing.table import RoutingTable


def function(name: str = "area", **change: Any) -> dict[str, Any]:
    meta = {
        "namespace": "default",
        "name": name,
        "uid": f"uid-{name}",
        "creationTimestamp": "2026-11-21T10:00:00Z",
    } | change.pop("metadata", {})
    status = change.pop("status", {"active": {"deployment": f"{name}-latest-1", "revision": "r1"}})
    return {"metadata": meta, "spec": {"runtime": "python3.13", **change}, "status": status}


def version(number: int, name: str = "area", **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": f"{name}-v{number}", "uid": "v", **meta},
        "spec": {"functionRef": name, "version": number, "snapshot": {"timeout": 10 + number}},
        "status": {"active": {"deployment": f"{name}-v{number}-1", "revision": f"v{number}"}},
    }


def alias(name: str = "live", status: Any = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": f"area-a-{name}", "uid": "a"},
        "spec": {"functionRef": "area", "name": name, **spec},
        "status": status or {},
    }


def table(*objects: dict[str, Any]) -> RoutingTable:
    made = RoutingTable()
    for obj in objects:
        if "version" in obj["spec"]:
            made.change_version(None, version_facts(obj))
        elif "functionRef" in obj["spec"]:
            made.change_alias(None, alias_facts(obj))
        else:
            made.change_function(None, function_facts(obj))
    return made


def target(made: RoutingTable, qualifier: str | None = None, draw: float = 0.0) -> Any:
    return resolve(made.get("default", "area"), qualifier, draw)


TRACKED = {"versions": [{"version": "2", "weight": 1}]}
GONE: dict[str, Any] = {"ownerReferences": [{"kind": "Function", "uid": "gone"}]}
BOTH = (version(1), version(2), function())


@pytest.mark.parametrize(
    ("objects", "qualifier", "draw", "expected"),
    [
        ((function(),), None, 0.0, ("$LATEST", "area-latest-1", 3)),
        ((function(timeout=7),), "$LATEST", 0.0, ("$LATEST", "area-latest-1", 7)),
        (BOTH, "2", 0.0, ("2", "area-v2-1", 12)),
        ((*BOTH, alias(functionVersion="1")), "live", 0.99, ("1", "area-v1-1", 11)),
        ((*BOTH, alias(functionVersion="$LATEST")), "live", 0.5, ("$LATEST", "area-latest-1", 3)),
        (
            (*BOTH, alias(track="LatestPublished", status=TRACKED)),
            "live",
            0.5,
            ("2", "area-v2-1", 12),
        ),
        ((), None, 0.0, "unknown"),
        ((function(),), "3", 0.0, "unknown"),
        ((function(),), "live", 0.0, "unknown"),
        ((function(), alias(functionVersion="9")), "live", 0.0, "unknown"),
        ((function(), alias(track="LatestPublished")), "live", 0.0, "unknown"),
        ((function(status={}),), None, 0.0, "pending"),
        ((function(status={"failed": {"reasonCode": "InvalidRuntime"}}),), None, 0.0, "failed"),
        ((function(metadata={"deletionTimestamp": "t"}),), None, 0.0, "unknown"),
        ((function(), version(1, **GONE)), "1", 0.0, "unknown"),
        (
            (function(), version(1, ownerReferences=[{"kind": "Function", "uid": "uid-area"}])),
            "1",
            0.0,
            ("1", "area-v1-1", 11),
        ),
    ],
)  # fmt: skip
def test_what_a_name_and_qualifier_stand_for(
    objects: tuple[dict[str, Any], ...], qualifier: str | None, draw: float, expected: Any
) -> None:
    found = target(table(*objects), qualifier, draw)
    if isinstance(expected, str):
        assert found == expected
    else:
        assert isinstance(found, Target)
        assert (found.executed_version, found.deployment.name, found.timeout) == expected
        assert found.function == ("default", "area")


@given(st.permutations([*BOTH, alias(functionVersion="1")]))
def test_objects_may_come_in_any_order(objects: list[dict[str, Any]]) -> None:
    made = table(*objects)
    assert target(made, "live").deployment.name == "area-v1-1"
    assert made.served_by(DeploymentKey("default", "area-v2-1")) is made.get("default", "area")


def test_a_weighted_alias_draws_by_share() -> None:
    facts = alias_facts(
        alias(functionVersion="1", routingConfig={"additionalVersionWeights": {"2": 0.25}})
    )
    assert facts is not None
    drawn = Counter(pick(facts.targets, n / 1000) for n in range(1000))
    assert drawn == {"1": 750, "2": 250}
    assert pick(facts.targets, 0.9999999999) == "2"


WARMING = {
    "provisionedConcurrency": {
        "requested": 1,
        "versions": [{"version": "1", "weight": 1}],
        "waitingSince": "2026-01-01T00:00:00Z",
    }
}


@pytest.mark.parametrize(
    ("there", "provisioned", "pointed", "status", "expected"),
    [
        ((1, 2), 1, "2", WARMING, "1"),  # the new one's instances are not initialised yet
        ((1, 2), 1, "1", WARMING, "1"),
        ((1, 2), 1, "2", {}, "2"),  # nothing was told yet
        ((1, 2), None, "2", WARMING, "2"),  # nothing is provisioned any more
        ((2,), 1, "2", WARMING, "2"),  # the old one was deleted
        ((1,), 1, "2", WARMING, "1"),  # the new one is not there yet
    ],
)
def test_a_provisioned_alias_stays_until_its_status_says_so(
    there: tuple[int, ...], provisioned: int | None, pointed: str, status: Any, expected: str
) -> None:
    named = alias(functionVersion=pointed, provisionedConcurrentExecutions=provisioned)
    named["status"] = status
    found = target(table(function(), *(version(number) for number in there), named), "live")
    assert isinstance(found, Target)
    assert found.executed_version == expected


def test_a_version_on_its_way_keeps_its_share() -> None:
    """One to nine, while nothing of version 2 is initialised: all go to version 1."""
    weights = {"additionalVersionWeights": {"2": 0.9}}
    named = alias(functionVersion="1", routingConfig=weights, provisionedConcurrentExecutions=1)
    made = table(*BOTH, named | {"status": WARMING})
    drawn = {target(made, "live", n / 10).executed_version for n in range(10)}
    assert drawn == {"1"}


@pytest.mark.parametrize(
    ("reserved", "maximum", "limit"),
    [(None, None, None), (5, None, 5), (None, 7, 7), (5, 7, 5), (7, 5, 5), (0, 5, 0)],
)
def test_the_lower_limit_holds(
    reserved: int | None, maximum: int | None, limit: int | None
) -> None:
    made = table(function(reservedConcurrentExecutions=reserved, scaling={"maxReplicas": maximum}))
    assert target(made).reserved == limit


def test_what_a_namespace_says_holds_unless_the_function_does() -> None:
    defaults = read_defaults({"burstLimit": 5, "namespaces": {"default": {"maxReplicas": 3}}})
    found = function_facts(function(scaling={"burstLimit": 7, "idleSeconds": 9}), defaults)
    assert found is not None
    assert (found.scaling.maximum, found.scaling.burst, found.scaling.idle_seconds) == (3, 7, 9)
    assert (found.limit, found.at_once) == (3, 3)


def test_the_oldest_object_has_the_name() -> None:
    older = function(
        "old", functionName="area", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"}
    )
    made = table(function(), older)  # fmt: skip
    assert target(made).deployment.name == "old-latest-1"
    made.change_function(function_facts(older), None)
    assert target(made).deployment.name == "area-latest-1"


def test_a_switch_retires_the_old_deployment_at_once() -> None:
    retired: list[frozenset[DeploymentKey]] = []
    made = RoutingTable(on_retired=retired.append)
    before = function_facts(function())
    made.change_function(None, before)
    after = function_facts(function(status={"active": {"deployment": "area-latest-2"}}))
    made.change_function(before, after)
    old, new = (DeploymentKey("default", f"area-latest-{n}") for n in (1, 2))
    assert retired == [{old}]
    assert made.served_by(old) is None
    assert made.served_by(new) is not None
    made.change_function(after, None)
    assert retired[1:] == [{new}]
    assert len(made) == 0


def test_a_namesake_created_after_a_delete_takes_over() -> None:
    made = RoutingTable()
    first = function_facts(function())
    made.change_function(None, first)
    made.change_version(
        None, version_facts(version(1, ownerReferences=[{"kind": "Function", "uid": "uid-area"}]))
    )
    second = function_facts(function(metadata={"uid": "uid-2"}, status={}))
    made.change_function(first, None)
    made.change_function(None, second)
    assert target(made) == "pending"
    assert target(made, "1") == "unknown", "a version of the predecessor does not count"


FACTS = st.sampled_from(["f", "f2", "v1", "v2", "a"])


@given(st.lists(st.tuples(FACTS, st.booleans()), max_size=12))
def test_the_table_depends_on_what_is_there_not_on_how_it_came(
    steps: list[tuple[str, bool]],
) -> None:
    """Following additions and deletions ends where starting fresh from what is left does."""
    makers: dict[str, Any] = {
        "f": function_facts(function()),
        "f2": function_facts(
            function("other", functionName="area", metadata={"creationTimestamp": "1"})
        ),
        "v1": version_facts(version(1)),
        "v2": version_facts(version(2, name="other")),
        "a": alias_facts(alias(functionVersion="1")),
    }  # fmt: skip

    def change(made: RoutingTable, old: Any, new: Any) -> None:
        match old or new:
            case FunctionFacts():
                made.change_function(old, new)
            case VersionFacts():
                made.change_version(old, new)
            case AliasFacts():
                made.change_alias(old, new)

    followed, there = RoutingTable(), set()
    for name, present in steps:
        if present and name not in there:
            there.add(name)
            change(followed, None, makers[name])
        elif not present and name in there:
            there.remove(name)
            change(followed, makers[name], None)
    fresh = RoutingTable()
    for name in there:
        change(fresh, None, makers[name])
    assert followed.get("default", "area") == fresh.get("default", "area")
    for key in ("area-latest-1", "other-latest-1", "area-v1-1", "other-v2-1"):
        where = DeploymentKey("default", key)
        assert followed.served_by(where) == fresh.served_by(where)
