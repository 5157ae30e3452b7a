"""Condition InstancesStart: on the right object, dated, under its own manager."""

# ruff: noqa: ARG002 - fakes have the signatures of what they stand for

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from klambda_core.kinds import VERSION, Kind
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import FunctionFacts, Serving, VersionFacts
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.reporter import StartsReporter
from klambda_gateway.scale.starts import Failure
from klambda_kube.errors import Conflict

LATEST = DeploymentKey("default", "area-latest-1")
V1 = DeploymentKey("default", "area-v1-1")
ENTRY = Entry(
    function=FunctionFacts(
        namespace="default",
        name="area",
        uid="u",
        aws_name="Area",
        created="",
        timeout=3,
        serving=Serving(deployment=LATEST.name, revision="r"),
    ),
    versions={
        "1": VersionFacts(
            namespace="default",
            name="area-v1",
            function="area",
            owner_uid="u",
            number="1",
            timeout=3,
            serving=Serving(deployment=V1.name, revision="r"),
        )
    },
)


class Api:
    def __init__(self, *, uid: str = "u", faster: int = 0) -> None:
        self.applied: list[tuple[str, str, dict[str, Any]]] = []
        self._uid = uid
        self._faster = faster
        self._version = 7

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        meta = {"name": name, "generation": 4, "resourceVersion": str(self._version)}
        if kind is VERSION:
            return {"metadata": {**meta, "uid": "v", "ownerReferences": [{"uid": self._uid}]}}
        return {"metadata": {**meta, "uid": self._uid}}

    async def apply(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> dict[str, Any]:
        assert (field_manager, subresource) == ("klambda-gateway-starts", "status")
        if self._faster:
            self._faster -= 1
            self._version += 1
            raise Conflict(409, "Conflict", "the object has been modified")
        assert body["metadata"] == {"name": name, "resourceVersion": str(self._version)}
        (condition,) = body["status"]["conditions"]
        self.applied.append((kind.kind, name, condition))
        return {}


async def report(
    *news: tuple[DeploymentKey, Failure | None], uid: str = "u", faster: int = 0
) -> list[tuple[str, str, Any]]:
    api = Api(uid=uid, faster=faster)
    reporter = StartsReporter(
        api,
        served_by=lambda key: ENTRY if key in (LATEST, V1) else None,
        now=lambda: datetime(2026, 11, 21, tzinfo=UTC),
    )
    for each in news:
        reporter.report(*each)
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110
        await asyncio.sleep(0)
    return api.applied


FAILURE = Failure(reason="ImagePullBackOff", message="no such image")


async def test_a_failure_is_told_on_the_object_whose_instances_they_are() -> None:
    ((kind, name, condition),) = await report((LATEST, FAILURE))
    assert (kind, name) == ("Function", "area")
    assert condition == {
        "type": "InstancesStart",
        "status": "False",
        "reason": "ImagePullBackOff",
        "message": "no such image",
        "observedGeneration": 4,
        "lastTransitionTime": "2026-11-21T00:00:00Z",
    }
    ((kind, name, _),) = await report((V1, FAILURE))
    assert (kind, name) == ("Version", "area-v1")


async def test_the_latest_news_win_and_strangers_are_left_out() -> None:
    ((_, _, condition),) = await report((LATEST, FAILURE), (LATEST, None))
    assert condition["status"] == "True"
    assert await report((DeploymentKey("default", "old"), FAILURE)) == []


async def test_whoever_was_faster_is_read_again_and_a_namesake_is_left_alone() -> None:
    ((_, _, condition),) = await report((LATEST, FAILURE), faster=2)
    assert condition["reason"] == "ImagePullBackOff"
    assert await report((LATEST, FAILURE), faster=5) == []
    assert await report((LATEST, FAILURE), uid="another") == []
    assert await report((V1, FAILURE), uid="another") == []
