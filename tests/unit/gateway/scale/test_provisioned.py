"""Provisioned concurrency: shares of Deployments and what holders are told. Source: contract f."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from klambda_core.kinds import ALIAS, VERSION
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import (
    AliasFacts,
    FunctionFacts,
    Kept,
    Serving,
    VersionFacts,
    alias_facts,
    version_facts,
)
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.provisioned import (
    INIT_FAILURE,
    Found,
    Provisioning,
    holders,
    split,
    tell,
)

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
PATIENCE = 300.0
V1, V2 = (DeploymentKey("default", f"area-v{number}-1") for number in (1, 2))


def version(number: str, *, serves: bool = True, **more: Any) -> VersionFacts:
    return VersionFacts(
        namespace="default",
        name=f"area-v{number}",
        function="area",
        owner_uid="u",
        number=number,
        timeout=3,
        serving=Serving(deployment=f"area-v{number}-1", revision="r") if serves else None,
        **more,
    )


def alias(name: str, *targets: tuple[str, float], **more: Any) -> AliasFacts:
    return AliasFacts(
        namespace="default",
        name=f"area-{name}",
        function="area",
        owner_uid="u",
        alias=name,
        targets=targets or (("1", 1.0),),
        **more,
    )


def entry(*children: VersionFacts | AliasFacts, reserved: int | None = None) -> Entry:
    return Entry(
        function=FunctionFacts(
            namespace="default",
            name="area",
            uid="u",
            aws_name="Area",
            created="",
            timeout=3,
            serving=None,
            reserved=reserved,
        ),
        versions={each.number: each for each in children if isinstance(each, VersionFacts)},
        aliases={each.alias: each for each in children if isinstance(each, AliasFacts)},
    )


@pytest.mark.parametrize(
    ("count", "targets", "expected"),
    [
        (3, [("1", 1.0)], [("1", 3)]),
        (10, [("1", 0.9), ("2", 0.1)], [("1", 9), ("2", 1)]),
        (10, [("1", 1 - 0.7), ("2", 0.7)], [("1", 3), ("2", 7)]),  # 0.30000000000000004
        (10, [("1", 1 - 0.9), ("2", 0.9)], [("1", 1), ("2", 9)]),
        (1, [("1", 0.5), ("2", 0.5)], [("1", 1), ("2", 1)]),  # rounded up
        (5, [("1", 1.0), ("2", 0.0)], [("1", 5)]),
        (5, [("$LATEST", 1.0)], []),
        (5, [], []),
    ],
)
def test_an_alias_is_split_by_weight(
    count: int, targets: list[tuple[str, float]], expected: list[tuple[str, int]]
) -> None:
    assert split(count, targets) == expected


@pytest.mark.parametrize(
    ("there", "v1", "v2"),
    [
        (entry(version("1", provisioned=2), version("2")), 2, 0),
        (entry(version("1"), version("2"), alias("live", provisioned=3)), 3, 0),
        (
            entry(version("1"), version("2"), alias("a", ("1", 0.9), ("2", 0.1), provisioned=5)),
            5,
            1,
        ),
        # two aliases to one version; and what kubectl may do: version and alias both
        (entry(version("1"), alias("a", provisioned=1), alias("b", provisioned=2)), 3, 0),
        (entry(version("1", provisioned=1), alias("a", provisioned=2)), 3, 0),
        # never more than the function may run at once
        (entry(version("1", provisioned=5), reserved=3), 3, 0),
        (entry(version("1", provisioned=5), version("2", provisioned=5), reserved=7), 5, 2),
        (entry(version("1", provisioned=5), reserved=0), 0, 0),
        (entry(version("1", provisioned=4000)), 1000, 0),
        # not there (yet)
        (entry(version("1", serves=False, provisioned=2)), 0, 0),
        (entry(alias("live", ("7", 1.0), provisioned=2)), 0, 0),
    ],
)
def test_what_is_wanted_of_each_deployment(there: Entry, v1: int, v2: int) -> None:
    index = Provisioning()
    index.changed(None, there)
    assert (index.wanted(V1), index.wanted(V2)) == (v1, v2)


def test_the_index_follows_the_table() -> None:
    index = Provisioning()
    first = entry(version("1", provisioned=2))
    index.changed(None, first)
    second = entry(version("1"), version("2"), alias("live", ("2", 1.0), provisioned=4))
    index.changed(first, second)
    assert (index.wanted(V1), index.wanted(V2)) == (0, 4)
    assert set(index.deployments()) == {V2}
    index.changed(second, None)
    assert not index.deployments()
    assert not index.by_function()


def told(there: Entry, has: dict[DeploymentKey, Found]) -> dict[str, Kept | None]:
    found = tell(holders(there), has, NOW, PATIENCE)
    return {holder.name: _plain(kept) for holder, kept in found}


def _plain(kept: Kept | None) -> Kept | None:
    """Without where requests go: other tests look at that."""
    return kept and dataclasses.replace(kept, route=(), since=None)


FAILED = Kept(requested=2, allocated=2, available=0, reason=INIT_FAILURE)


@pytest.mark.parametrize(
    ("before", "found", "expected"),
    [
        (None, None, Kept(requested=2)),
        (None, Found(allocated=2), Kept(requested=2, allocated=2)),
        (None, Found(allocated=2, available=1), Kept(requested=2, allocated=2, available=1)),
        (None, Found(allocated=9, available=9), Kept(requested=2, allocated=2, available=2)),
        (None, Found(allocated=2, reason=INIT_FAILURE), FAILED),
        # failed until all are there; another number starts anew
        (FAILED, Found(allocated=1), Kept(requested=2, allocated=1, reason=INIT_FAILURE)),
        (FAILED, Found(allocated=2, available=2), Kept(requested=2, allocated=2, available=2)),
        (
            Kept(requested=3, reason=INIT_FAILURE),
            Found(allocated=1),
            Kept(requested=2, allocated=1),
        ),
    ],
)
def test_what_a_holder_is_told(before: Kept | None, found: Found | None, expected: Kept) -> None:
    there = entry(version("1", provisioned=2, kept=before))
    assert told(there, {V1: found} if found else {}) == {"area-v1": expected}


def test_an_instance_is_told_to_one_holder_only() -> None:
    there = entry(version("1"), alias("a", provisioned=2), alias("b", provisioned=2))
    assert told(there, {V1: Found(allocated=3, available=3)}) == {
        "area-a": Kept(requested=2, allocated=2, available=2),
        "area-b": Kept(requested=2, allocated=1, available=1),
    }


def test_rounding_up_shows_no_more_than_was_asked_for() -> None:
    there = entry(version("1"), version("2"), alias("a", ("1", 0.5), ("2", 0.5), provisioned=3))
    full = Found(allocated=2, available=2)
    assert told(there, {V1: full, V2: full}) == {
        "area-a": Kept(requested=3, allocated=3, available=3)
    }


ONE, TWO = (("1", 1.0),), (("2", 1.0),)
PAIR = (("1", 0.5), ("2", 0.5))
LONG_AGO, JUST_NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:04:59Z"
WARM = Found(allocated=2, available=2)


def before(route: Any = ONE, since: str | None = None, reason: str | None = None) -> Kept:
    return Kept(requested=2, available=2, route=route, since=since, reason=reason)


@pytest.mark.parametrize(
    ("points", "kept", "v1", "v2", "route", "since"),
    [
        (ONE, None, Found(), Found(), ONE, None),  # the first word
        (ONE, before(), WARM, Found(), ONE, None),
        # pointed to version 2: waits from now on, until all of them are initialised
        (TWO, before(), WARM, Found(), ONE, "2026-01-01T00:05:00Z"),
        (TWO, before(since=JUST_NOW), WARM, Found(allocated=2, available=1), ONE, JUST_NOW),
        (TWO, before(since=JUST_NOW), WARM, WARM, TWO, None),
        (TWO, before(), WARM, WARM, TWO, None),  # they were there already
        # half of the requests
        (PAIR, before(since=JUST_NOW), WARM, Found(), ONE, JUST_NOW),
        (PAIR, before(since=JUST_NOW), WARM, Found(allocated=1, available=1), PAIR, None),
        (PAIR, before(TWO, since=JUST_NOW), Found(), WARM, TWO, JUST_NOW),
        # overdue; turned back; what cannot be read counts as overdue
        (TWO, before(since=LONG_AGO), WARM, Found(), TWO, None),
        (ONE, before(since=JUST_NOW), WARM, Found(), ONE, None),
        (TWO, before(since="?"), WARM, Found(), TWO, None),
        # nothing of $LATEST is provisioned: nothing to wait for
        ((("$LATEST", 1.0),), before(), WARM, Found(), (("$LATEST", 1.0),), None),
    ],
)
def test_when_an_alias_switches(
    points: Any, kept: Kept | None, v1: Found, v2: Found, route: Any, since: str | None
) -> None:
    there = entry(version("1"), version("2"), alias("a", *points, provisioned=2, kept=kept))
    [(_, found)] = tell(holders(there), {V1: v1, V2: v2}, NOW, PATIENCE)
    assert found is not None
    assert (found.route, found.since) == (route, since)


def test_an_alias_waits_for_a_version_that_is_not_served_yet() -> None:
    there = entry(
        version("1"), version("2", serves=False), alias("a", *TWO, provisioned=2, kept=before())
    )
    [(_, found)] = tell(holders(there), {V1: WARM}, NOW, PATIENCE)
    assert found is not None
    assert (found.route, found.available) == (ONE, 0)


@pytest.mark.parametrize(
    ("points", "route", "reserved", "v1", "v2"),
    [
        (TWO, ONE, None, 2, 2),
        (PAIR, ONE, None, 2, 1),
        (TWO, PAIR, None, 1, 2),
        (TWO, ONE, 2, 2, 2),  # both, though only two may run at once
        (TWO, ONE, 1, 1, 1),
    ],
)
def test_both_are_kept_until_then(
    points: Any, route: Any, reserved: int | None, v1: int, v2: int
) -> None:
    kept = before(route, since=JUST_NOW)
    named = alias("a", *points, provisioned=2, kept=kept)
    index = Provisioning()
    there = entry(version("1"), version("2"), named, reserved=reserved)
    index.changed(None, there)
    assert (index.wanted(V1), index.wanted(V2)) == (v1, v2)
    after = entry(version("1"), version("2"), alias("a", *points, provisioned=2))
    index.changed(there, after)
    assert index.wanted(V1) == (1 if points == PAIR else 0)


def test_a_failure_is_told_of_the_versions_it_happened_to() -> None:
    """What failed before the alias was pointed elsewhere is no news of the new ones."""
    failed = before(reason=INIT_FAILURE)
    for kept, reason in ((failed, None), (dataclasses.replace(failed, since=JUST_NOW), "Same")):
        named = alias("a", *TWO, provisioned=2, kept=kept)
        [(_, found)] = tell(
            holders(entry(version("1"), version("2"), named)), {V1: WARM}, NOW, PATIENCE
        )
        assert found is not None
        assert found.reason == (INIT_FAILURE if reason else None)


def test_a_removed_setting_is_told_nothing() -> None:
    there = entry(version("1", kept=FAILED), alias("a", kept=FAILED))
    assert told(there, {}) == {"area-v1": None, "area-a": None}


def test_facts_of_objects() -> None:
    meta = {"namespace": "default", "name": "area-v1", "uid": "v"}
    told: dict[str, Any] = {"requested": 2, "allocated": 1, "available": 1}
    status = {"provisionedConcurrency": told}
    spec = {"functionRef": "area", "version": 1, "provisionedConcurrentExecutions": 2}
    found = version_facts({"metadata": meta, "spec": spec, "status": status})
    assert found is not None
    assert (found.provisioned, found.kept) == (2, Kept(requested=2, allocated=1, available=1))
    spec = {"functionRef": "area", "name": "live", "functionVersion": "1"}
    other = alias_facts({"metadata": meta, "spec": spec, "status": {}})
    assert other is not None
    assert (other.provisioned, other.kept) == (None, None)
    told |= {
        "versions": [{"version": "1", "weight": 1}],
        "waitingSince": LONG_AGO,
    }
    other = alias_facts({"metadata": meta, "spec": spec, "status": status})
    assert other is not None
    assert other.kept is not None
    assert (other.kept.route, other.kept.since) == (ONE, LONG_AGO)
    assert {VERSION.kind, ALIAS.kind} == {"Version", "Alias"}
