"""The status of provisioned concurrency: told by one manager, once, and again after a failure."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from klambda_core.kinds import VERSION, Kind
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import ON_DEMAND, PROVISIONED, Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.routing.facts import FunctionFacts, Kept, Serving, VersionFacts
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.keeper import Keeper
from klambda_gateway.scale.provisioned import INIT_FAILURE, Provisioning
from klambda_gateway.scale.starts import Failure
from klambda_kube.errors import KubeError, NotFound

KEY = DeploymentKey("default", "area-v1-1")


def entry(provisioned: int | None, kept: Kept | None = None) -> Entry:
    function = FunctionFacts(
        namespace="default",
        name="area",
        uid="u",
        aws_name="area",
        created="",
        timeout=3,
        serving=None,
    )
    version = VersionFacts(
        namespace="default",
        name="area-v1",
        function="area",
        owner_uid="u",
        number="1",
        timeout=3,
        serving=Serving(deployment=KEY.name, revision="r"),
        provisioned=provisioned,
        kept=kept,
    )
    return Entry(function=function, versions={"1": version})


class Api:
    def __init__(self, *fails: Exception) -> None:
        self.told: list[Mapping[str, Any]] = []
        self._fails = list(fails)

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
        assert (kind, namespace, name) == (VERSION, "default", "area-v1")
        assert (field_manager, subresource) == ("klambda-gateway-provisioned", "status")
        assert body["metadata"] == {"name": name}
        if self._fails:
            raise self._fails.pop(0)
        self.told.append(body["status"])
        return {}


class World:
    """A keeper with instances that tests put there."""

    def __init__(self, api: Api, wanted: Entry) -> None:
        self.api = api
        self.entry = wanted
        self.trouble: Failure | None = None
        self.registry = Registry(clock=lambda: 0.0)
        self.provisioning = Provisioning()
        self.provisioning.changed(None, wanted)
        self.runs: Counter[str] = Counter()
        self.keeper = Keeper(
            api,
            self.provisioning,
            self.registry,
            trouble=lambda _: self.trouble,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            patience=300.0,
            runs=self.runs,
        )

    def pod(self, uid: str) -> Record:
        pod = PodFacts(namespace="default", name=uid, uid=uid, deployment=KEY.name)
        return self.registry.see_pod(pod)

    def instance(
        self, uid: str, state: str, kind: str | None = PROVISIONED, *, init_failed: bool = False
    ) -> None:
        record = self.pod(uid)
        record.link("boot", state, 0.0)
        record.started_for(kind, init_failed=init_failed)

    def observed(self, kept: Kept | None, provisioned: int | None = 2) -> None:
        """The watch shows what was written."""
        after = entry(provisioned, kept)
        self.provisioning.changed(self.entry, after)
        self.entry = after

    async def report(self) -> list[Mapping[str, Any]]:
        before = len(self.api.told)
        self.keeper.report()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return self.api.told[before:]


def told(**members: Any) -> list[Mapping[str, Any]]:
    return [{"provisionedConcurrency": members}]


async def test_a_life() -> None:
    world = World(Api(), entry(2))
    assert world.keeper.short(KEY)
    assert await world.report() == told(requested=2, allocated=0, available=0)
    world.observed(Kept(requested=2))
    assert await world.report() == [], "nothing new"
    world.pod("a")
    world.pod("b")
    assert await world.report() == told(requested=2, allocated=2, available=0), "on their way"
    world.instance("a", "idle")
    world.instance("b", "init")
    world.instance("c", "idle", ON_DEMAND)
    assert not world.keeper.short(KEY)
    assert await world.report() == told(requested=2, allocated=2, available=1)
    world.instance("b", "busy")
    assert await world.report() == told(requested=2, allocated=2, available=2)
    assert world.keeper.available() == 2
    world.observed(Kept(requested=2, allocated=2, available=2), provisioned=None)
    assert await world.report() == [{}], "removed: its manager owns nothing any more"
    world.observed(None, provisioned=None)
    assert await world.report() == []


async def test_runs_are_counted_where_something_is_kept() -> None:
    world = World(Api(), entry(1))
    world.instance("a", "idle")
    world.instance("b", "idle", ON_DEMAND)
    for uid in ("a", "b", "a"):
        world.keeper.ran(world.registry.records[uid])
    assert world.runs == {"provisioned": 2, "spillover": 1}
    world.observed(None, provisioned=None)
    world.keeper.ran(world.registry.records["a"])
    assert world.runs.total() == 3, "nothing is provisioned any more"


async def test_why_not() -> None:
    world = World(Api(), entry(2))
    world.trouble = Failure(reason="ImagePullBackOff", message="no")
    assert await world.report() == told(
        requested=2, allocated=0, available=0, reason="ImagePullBackOff"
    )
    world.instance("a", "idle", init_failed=True)
    world.instance("b", "idle")
    assert await world.report() == told(requested=2, allocated=2, available=1, reason=INIT_FAILURE)


async def test_what_could_not_be_written_is_told_by_the_next_tick() -> None:
    api = Api(KubeError(500, "InternalError", "no"), NotFound(404, "NotFound", "gone"))
    world = World(api, entry(1))
    assert await world.report() == []
    assert await world.report() == []
    assert await world.report() == told(requested=1, allocated=0, available=0)
