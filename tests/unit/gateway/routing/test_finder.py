"""Finding with one re-read on a miss: single flight, and a second of silence after a miss."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from klambda_core.errors import LambdaError
from klambda_core.kinds import FUNCTION, VERSION, Kind
from klambda_gateway.routing.facts import function_facts, version_facts
from klambda_gateway.routing.finder import Finder
from klambda_gateway.routing.table import RoutingTable
from klambda_kube.errors import NotFound, Unreachable

ARN = "arn:aws:lambda:us-east-1:1:function:area"
FN = {
    "metadata": {"namespace": "default", "name": "area", "uid": "u"},
    "status": {"active": {"deployment": "area-latest-1", "revision": "r"}},
}
V1 = {
    "metadata": {"namespace": "default", "name": "area-v1", "uid": "v"},
    "spec": {"functionRef": "area", "version": 1},
    "status": {"active": {"deployment": "area-v1-1", "revision": "r"}},
}


class Cluster:
    """What Kubernetes holds, and how often it was asked."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = {each["metadata"]["name"]: each for each in objects}
        self.reads: list[str] = []
        self.table = RoutingTable()
        self.away = False
        self.finder = Finder(self.table, read=self.read, observe=self.observe, draw=lambda: 0.0)

    async def read(self, kind: Kind, namespace: str, name: str) -> Mapping[str, Any]:
        self.reads.append(f"{kind.plural}/{name}")
        await asyncio.sleep(0)
        if self.away:
            raise Unreachable("away", maybe_applied=False)
        if name not in self.objects:
            raise NotFound(404, "NotFound", f"{namespace}/{name}")
        return self.objects[name]

    def observe(self, kind: Kind, obj: Mapping[str, Any]) -> None:
        if kind is FUNCTION:
            self.table.change_function(None, function_facts(obj))
        elif kind is VERSION:
            self.table.change_version(None, version_facts(obj))


async def test_what_the_table_has_is_not_read() -> None:
    cluster = Cluster()
    cluster.observe(FUNCTION, FN)
    found = await cluster.finder.find("default", "area", None, ARN)
    assert found.deployment.name == "area-latest-1"
    assert cluster.reads == []


async def test_news_that_the_watch_has_not_brought_is_read_once_by_all_who_ask() -> None:
    cluster = Cluster(FN, V1)
    finding = [cluster.finder.find("default", "area", "1", ARN) for _ in range(10)]
    found = await asyncio.gather(*finding)
    assert {each.deployment.name for each in found} == {"area-v1-1"}
    assert cluster.reads == ["functions/area", "versions/area-v1"]


@pytest.mark.parametrize(
    ("objects", "qualifier", "status", "text"),
    [
        ((), None, 404, f"Function not found: {ARN}:$LATEST"),
        ((), "live", 404, f"Function not found: {ARN}"),
        ((FN,), "7", 404, f"Function not found: {ARN}"),
        (({**FN, "status": {}},), None, 409, "Pending"),
        (({**FN, "status": {"failed": {}}},), None, 409, "Failed"),
    ],
)
async def test_a_miss_is_answered_after_one_read_and_not_read_again_at_once(
    objects: tuple[dict[str, Any], ...], qualifier: str | None, status: int, text: str
) -> None:
    cluster = Cluster(*objects)
    for _ in range(3):
        with pytest.raises(LambdaError, match=text.replace("$", r"\$")) as raised:
            await cluster.finder.find("default", "area", qualifier, ARN)
        assert raised.value.status == status
    assert len(cluster.reads) == len(set(cluster.reads))


async def test_a_version_just_published_is_waited_for() -> None:
    cluster = Cluster(FN, {**V1, "status": {}})
    finding = asyncio.create_task(cluster.finder.find("default", "area", "1", ARN))
    for _ in range(20):  # until both reads are done and it waits
        await asyncio.sleep(0)
    assert len(cluster.reads) == 2
    assert not finding.done()
    cluster.observe(VERSION, V1)
    assert (await finding).deployment.name == "area-v1-1"


async def test_without_kubernetes_the_table_is_all_there_is() -> None:
    cluster = Cluster(FN)
    cluster.away = True
    with pytest.raises(LambdaError, match="not found"):
        await cluster.finder.find("default", "area", None, ARN)
    assert not await cluster.finder.refresh("default", "area"), "asked a moment ago, in vain"


@pytest.mark.parametrize("objects", [(), (FN,)])
async def test_what_kubernetes_has_said_is_certain(objects: tuple[dict[str, Any], ...]) -> None:
    cluster = Cluster(*objects)
    assert await cluster.finder.refresh("default", "area")
    assert (cluster.table.get("default", "area") is not None) == bool(objects)
