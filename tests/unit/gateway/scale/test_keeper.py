"""The status of provisioned concurrency: told by one manager, once, and again after a failure."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from klambda_core.kinds import VERSION, Kind
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import ON_DEMAND, PROVISIONED, Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.routing.facts import FunctionFacts, Kept, Serving, VersionFacts, Warm
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.keeper import Keeper
from klambda_gateway.scale.provisioned import INIT_FAILURE, Provisioning
from klambda_gateway.scale.starts import Failure
from klambda_kube.errors import KubeError, NotFound

KEY = DeploymentKey("default", "area-v1-1")


NEW = DeploymentKey("default", "area-v1-2")
HERE = Warm(deployment=KEY.name, revision="r")


def entry(
    provisioned: int | None,
    kept: Kept | None = None,
    warm: Warm | None = HERE,
    active: DeploymentKey = KEY,
) -> Entry:
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
        serving=Serving(deployment=active.name, revision="r" if active == KEY else "s"),
        provisioned=provisioned,
        kept=kept,
        warm=warm if provisioned else None,
    )
    return Entry(function=function, versions={"1": version})


class Api:
    def __init__(self, *fails: Exception, manager: str = "provisioned") -> None:
        self.manager = f"klambda-gateway-{manager}"
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
        assert (field_manager, subresource) == (self.manager, "status")
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
        self.gone: set[DeploymentKey] = set()
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
            exists=lambda key: key not in self.gone,
            runs=self.runs,
        )

    def pod(self, uid: str, of: DeploymentKey = KEY) -> Record:
        pod = PodFacts(namespace="default", name=uid, uid=uid, deployment=of.name)
        return self.registry.see_pod(pod)

    def instance(
        self,
        uid: str,
        state: str,
        kind: str | None = PROVISIONED,
        *,
        init_failed: bool = False,
        of: DeploymentKey = KEY,
    ) -> None:
        record = self.pod(uid, of)
        record.link("boot", state, 0.0)
        record.started_for(kind, init_failed=init_failed)

    def observed(self, kept: Kept | None, provisioned: int | None = 2) -> None:
        """The watch shows what was written."""
        after = entry(provisioned, kept)
        self.provisioning.changed(self.entry, after)
        self.entry = after

    def shown(self, after: Entry) -> None:
        """The watch shows another entry."""
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


KEPT = Kept(requested=1, allocated=1, available=1)


async def test_requests_follow_a_new_revision_when_it_is_warm() -> None:
    world = World(Api(manager="warm"), entry(1, KEPT, warm=None))
    world.instance("a", "idle")
    here = {"deployment": KEY.name, "revision": "r"}
    assert await world.report() == [{"warm": here}], "said before there is an upgrade"
    world.shown(entry(1, KEPT))
    assert await world.report() == []
    world.shown(entry(1, KEPT, active=NEW))
    assert (world.provisioning.wanted(KEY), world.provisioning.wanted(NEW)) == (1, 1)
    assert world.keeper.short(NEW)
    since = "2026-01-01T00:00:00Z"
    assert await world.report() == [{"warm": here | {"waitingSince": since}}]
    waiting = Warm(deployment=KEY.name, revision="r", since=since)
    world.shown(entry(1, KEPT, warm=waiting, active=NEW))
    world.instance("b", "init", of=NEW)
    assert await world.report() == [], "what is kept is still there, and is said to be"
    world.instance("b", "idle", of=NEW)
    there = {"deployment": NEW.name, "revision": "s"}
    assert await world.report() == [{"warm": there}]
    world.shown(entry(1, KEPT, warm=Warm(deployment=NEW.name, revision="s"), active=NEW))
    assert (world.provisioning.wanted(KEY), world.provisioning.wanted(NEW)) == (0, 1)
    assert await world.report() == []


async def test_requests_do_not_wait_for_a_deployment_that_is_gone() -> None:
    world = World(Api(manager="warm"), entry(1, Kept(requested=1), active=NEW))
    world.gone.add(KEY)
    assert await world.report() == [{"warm": {"deployment": NEW.name, "revision": "s"}}]


async def test_what_is_provisioned_no_more_says_nothing() -> None:
    api = Api(manager="warm")
    world = World(api, entry(1, None, active=NEW))
    version = dataclasses.replace(world.entry.versions["1"], provisioned=None)
    world.shown(Entry(function=world.entry.function, versions={"1": version}))
    assert world.provisioning.deployments() == set()
    assert await world.report() == [{}]
