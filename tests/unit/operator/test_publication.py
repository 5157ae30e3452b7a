"""Publishing by YAML: once per id, after every change, and only what serves."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_core.crd import Function, Version
from klambda_core.digest import function_digest
from klambda_core.kinds import ALIAS, VERSION
from klambda_core.snapshot import NewVersion, publish
from klambda_operator.model import ClaimVersion, CreateVersion, FunctionSnapshot, Key, WriteStatus
from klambda_operator.observed import Observed, project
from klambda_operator.plan import plan
from klambda_operator.plan.publication import plan_publication
from tests.unit.operator.world import NOW, WORLD, stored_function


def function(
    *, settled: bool = True, status: dict[str, Any] | None = None, **spec: Any
) -> Function:
    body = stored_function(**spec)
    digest = function_digest(Function.read(body)) if settled else "0" * 64
    active = {"configDigest": digest, "revision": "r", "deployment": "d"}
    return Function.read(body | {"status": {"active": active} | (status or {})})


def published(item: Function, number: int = 1) -> Version:
    made = publish(item, [])
    assert isinstance(made, NewVersion)
    manifest = made.manifest
    manifest["metadata"] |= {"uid": "v", "name": f"area-v{number}"}
    manifest["spec"]["version"] = number
    return Version.read(manifest)


WISH: dict[str, Any] = {"publish": {"id": "a", "description": "first"}}


@pytest.mark.parametrize(
    ("item", "versions", "number", "done"),
    [
        (function(), [], None, None),
        (function(**WISH), [], 1, None),
        (function(**WISH, status={"lastVersion": 6}), [], 7, None),
        (function(**WISH, settled=False), [], None, None),
        (function(**WISH), [published(function(**WISH))], None, ("a", 1)),
        (function(**WISH), [published(function(timeout=9))], 2, None),
        (function(**WISH, status={"published": {"id": "a", "version": 1}}), [], None, ("a", 1)),
        (function(**WISH, status={"published": {"id": "z", "version": 1}}), [], 1, ("z", 1)),
        (function(autoPublish=True), [], 1, None),
        (function(autoPublish=True), [published(function())], None, None),
        (function(autoPublish=True, timeout=7), [published(function())], 2, None),
        (function(autoPublish=True, settled=False), [], None, None),
        (function(code=None, autoPublish=True), [], None, None),
    ],
)
def test_what_is_published(
    item: Function, versions: list[Version], number: int | None, done: tuple[str, int] | None
) -> None:
    found = plan_publication(item, versions)
    if number is None:
        assert found.actions == ()
    else:
        claim, make = found.actions
        assert isinstance(claim, ClaimVersion)
        assert isinstance(make, CreateVersion)
        assert (claim.number, claim.resource_version) == (number, item.metadata.resource_version)
        assert make.manifest["spec"]["version"] == number
        wish = item.spec.publish
        assert make.manifest["spec"]["description"] == (wish.description if wish else "")
    assert (found.published and (found.published.id, found.published.version)) == done


@pytest.mark.parametrize("item", [function(**WISH), function(**WISH, settled=False)])
def test_the_status_comes_first_and_then_the_version_without_delay(item: Function) -> None:
    snapshot = FunctionSnapshot(key=Key("functions", "default", "area"), function=item, world=WORLD)
    first = plan(snapshot, NOW)
    assert first.requeue_after == 0.0
    assert isinstance(first.actions[-1], WriteStatus)
    assert not any(isinstance(each, ClaimVersion) for each in first.actions)


def test_a_version_that_begins_to_serve_concerns_the_aliases() -> None:
    """Those that track the newest move to it only then."""
    memory = Observed()
    version = published(function()).model_dump(mode="json", by_alias=True, exclude_none=True)
    version["metadata"] |= {"resourceVersion": "1", "namespace": "default"}
    alias = {
        "metadata": {
            "name": "live", "namespace": "default", "uid": "a", "resourceVersion": "1",
        },
        "spec": {"functionRef": "area", "name": "live", "track": "LatestPublished"},
    }  # fmt: skip
    memory.put(ALIAS, alias)
    version["status"] = {}
    memory.put(VERSION, version)
    assert not project(VERSION, version).serves
    version["metadata"]["resourceVersion"] = "2"
    version["status"] = {"conditions": []}
    assert Key("aliases", "default", "live") not in memory.put(VERSION, version)
    version["metadata"]["resourceVersion"] = "3"
    version["status"] = {"active": {}}
    assert Key("aliases", "default", "live") in memory.put(VERSION, version)
    version["metadata"]["resourceVersion"] = "4"
    version["spec"]["provisionedConcurrentExecutions"] = 1
    assert Key("aliases", "default", "live") in memory.put(VERSION, version)
