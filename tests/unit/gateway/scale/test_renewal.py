"""Where the requests of a provisioned version go while an upgrade makes it anew: docs/adr/0036."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from klambda_core.kinds import VERSION
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import (
    AliasFacts,
    FunctionFacts,
    Serving,
    VersionFacts,
    Warm,
    version_facts,
)
from klambda_gateway.routing.resolve import resolve
from klambda_gateway.routing.table import Entry
from klambda_gateway.routing.target import Target
from klambda_gateway.scale.provisioned import Provisioning, holders
from klambda_gateway.scale.renewal import Renewal, settle

NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
OLD, NEW = (Serving(deployment=f"area-v1-{each}", revision=each) for each in ("r", "s"))
OLD_KEY, NEW_KEY = (DeploymentKey("default", each.deployment) for each in (OLD, NEW))
AT_OLD = Warm(deployment=OLD.deployment, revision="r")
AT_NEW = Warm(deployment=NEW.deployment, revision="s")


def waiting(since: str) -> Warm:
    return Warm(deployment=OLD.deployment, revision="r", since=since)


@pytest.mark.parametrize(
    ("warm", "active", "count", "available", "gone", "expected"),
    [
        pytest.param(None, OLD, 2, 0, False, AT_OLD, id="provisioned for the first time"),
        pytest.param(AT_OLD, OLD, 2, 0, False, AT_OLD, id="nothing new"),
        pytest.param(
            AT_OLD, NEW, 2, 0, False, waiting("2026-01-01T00:05:00Z"), id="an upgrade begins"
        ),
        pytest.param(
            waiting("2026-01-01T00:00:01Z"), NEW, 2, 1, False, waiting("2026-01-01T00:00:01Z"),
            id="half of it is warm",
        ),
        pytest.param(waiting("2026-01-01T00:00:01Z"), NEW, 2, 2, False, AT_NEW, id="all is warm"),
        pytest.param(waiting("2026-01-01T00:00:00Z"), NEW, 2, 0, False, AT_NEW, id="overdue"),
        pytest.param(waiting("nonsense"), NEW, 2, 0, False, AT_NEW, id="no time at all"),
        pytest.param(AT_OLD, NEW, 2, 0, True, AT_NEW, id="the old one is gone"),
        pytest.param(AT_OLD, NEW, 0, 0, False, None, id="not provisioned any more"),
        pytest.param(
            waiting("2026-01-01T00:00:01Z"), OLD, 2, 0, False, AT_OLD, id="the upgrade is undone"
        ),
    ],
)  # fmt: skip
def test_where_requests_go(
    warm: Warm | None, active: Serving, count: int, available: int, gone: bool, expected: Warm
) -> None:
    renewal = Renewal(namespace="default", name="area-v1", active=active, warm=warm, count=count)
    told = settle(renewal, available=available, gone=gone, now=NOW, patience=300.0)
    assert told == expected


def entry(version: VersionFacts, *aliases: AliasFacts) -> Entry:
    function = FunctionFacts(
        namespace="default", name="area", uid="u", aws_name="Area", created="", timeout=3,
        serving=None,
    )  # fmt: skip
    named = {each.alias: each for each in aliases}
    return Entry(function=function, versions={"1": version}, aliases=named)


def version(warm: Warm | None, active: Serving | None, provisioned: int | None) -> VersionFacts:
    return VersionFacts(
        namespace="default", name="area-v1", function="area", owner_uid="u", number="1",
        timeout=3, serving=active, provisioned=provisioned, warm=warm,
    )  # fmt: skip


def alias(provisioned: int) -> AliasFacts:
    return AliasFacts(
        namespace="default", name="area-live", function="area", owner_uid="u", alias="live",
        targets=(("1", 1.0),), provisioned=provisioned,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("warm", "active", "expected"),
    [(None, NEW, NEW), (AT_OLD, OLD, OLD), (AT_OLD, NEW, OLD), (AT_NEW, NEW, NEW)],
)
def test_all_requests_for_it_go_there(
    warm: Warm | None, active: Serving, expected: Serving
) -> None:
    found = entry(version(warm, active, 2), alias(1))
    for qualifier in ("1", "live"):
        target = resolve(found, qualifier, 0.5)
        assert isinstance(target, Target)
        assert (target.deployment.name, target.revision) == (expected.deployment, expected.revision)
    assert {each.name for each in found.deployments()} == {active.deployment, expected.deployment}


def test_what_nothing_serves_any_more_is_not_invoked_where_it_was() -> None:
    assert resolve(entry(version(AT_OLD, None, 2)), "1", 0.5) == "pending"


def test_both_revisions_are_kept_for_every_holder() -> None:
    provisioning = Provisioning()
    before = entry(version(AT_OLD, OLD, 2), alias(1))
    during = entry(version(AT_OLD, NEW, 2), alias(1))
    after = entry(version(AT_NEW, NEW, 2), alias(1))
    provisioning.changed(None, before)
    assert (provisioning.wanted(OLD_KEY), provisioning.wanted(NEW_KEY)) == (3, 0)
    provisioning.changed(before, during)
    assert (provisioning.wanted(OLD_KEY), provisioning.wanted(NEW_KEY)) == (3, 3)
    assert all(each.shares[0][0] == OLD_KEY for each in holders(during)), "told of the old ones"
    provisioning.changed(during, after)
    assert (provisioning.wanted(OLD_KEY), provisioning.wanted(NEW_KEY)) == (0, 3)
    provisioning.changed(after, None)
    assert not provisioning.deployments()
    assert list(provisioning.renewals()) == []


def test_a_version_kept_by_an_alias_alone_moves_likewise() -> None:
    provisioning = Provisioning()
    provisioning.changed(None, entry(version(None, OLD, None), alias(2)))
    (renewal,) = provisioning.renewals()
    assert (renewal.name, renewal.count, renewal.warm) == ("area-v1", 2, None)


def test_it_is_read_from_the_status() -> None:
    told = {"deployment": "d", "revision": "r", "waitingSince": "2026-01-01T00:00:00Z"}
    found = version_facts(
        {
            "kind": VERSION.kind,
            "metadata": {"namespace": "default", "name": "area-v1"},
            "spec": {"functionRef": "area", "version": 1},
            "status": {"active": {"deployment": "e", "revision": "s"}, "warm": told},
        }
    )
    assert found is not None
    assert found.warm == Warm(deployment="d", revision="r", since="2026-01-01T00:00:00Z")
    assert found.place == Serving(deployment="d", revision="r")
