"""Whatever users do and wherever the operator dies, it ends in the one right state and then rests.

Users create, edit, delete, tamper and scale; between their steps the operator reconciles with
memory that may be stale, and each of its plans is cut off after any number of actions. At the end
it is left alone: within a few rounds nothing is left to do, and Deployments are exactly the wanted
set.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from klambda_core.crd import Function, Version
from klambda_core.digest import function_digest, snapshot_digest
from klambda_core.kinds import ALIAS, DEPLOYMENT, FUNCTION, VERSION
from klambda_operator.execute import Again, Executor, Refused
from klambda_operator.gather import Accounts, Gatherer
from klambda_operator.model import Key, Plan
from klambda_operator.observed import Observed
from klambda_operator.plan import plan
from klambda_operator.settings import Settings
from klambda_operator.sweep import WATCHED
from tests.unit.operator.world import NOW, RUNTIMES, FakeApi, new_function

ROUNDS = 12
SETTINGS = Settings(namespace="klambda", runtimes=RUNTIMES)


class Cluster:
    """Users, a server and an operator that can be stopped between any two actions."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.observed = Observed()
        self.now: datetime = NOW
        accounts = Accounts(self.api, {"default": "123456789012"}, lambda: 0.0)
        self.gatherer = Gatherer(
            api=self.api,
            observed=self.observed,
            accounts=accounts,
            settings=SETTINGS,
            installation_key="0" * 64,
            concern=lambda _: None,
        )
        self.executor = Executor(self.api, self.observed, lambda _: None)

    def watch(self) -> None:
        """Memory catches up."""
        for kind in WATCHED:
            bodies = self.api.all(kind)
            for body in bodies:
                self.observed.put(kind, body)
            names = {Key(kind.plural, "default", body["metadata"]["name"]) for body in bodies}
            self.observed.prune(kind, names, self.api.version)

    def keys(self) -> list[Key]:
        known = {Key(FUNCTION.plural, "default", "area")}
        for kind in (FUNCTION, VERSION, ALIAS):
            for body in self.api.all(kind):
                known.add(Key(kind.plural, "default", body["metadata"]["name"]))
        return sorted(known)

    async def reconcile(self, key: Key, limit: int | None = None) -> Plan:
        """One reconcile, cut off after `limit` actions; conflicts are for the next one."""
        snapshot = await self.gatherer.gather(key)
        found = plan(snapshot, self.now)
        actions = found.actions if limit is None else found.actions[:limit]
        with contextlib.suppress(Again, Refused):
            await self.executor.run("default", replace(found, actions=actions))
        return found

    async def settle(self) -> None:
        """Left alone with true memory and time, until nothing is left to do."""
        for _ in range(ROUNDS):
            self.now += timedelta(minutes=2)
            self.watch()
            plans = [await self.reconcile(key) for key in self.keys()]
            if not any(found.actions for found in plans):
                return
        raise AssertionError(f"not at rest: {plans}")


def create(cluster: Cluster) -> None:
    if not cluster.api.all(FUNCTION):
        cluster.api.put(FUNCTION, new_function())


def update(cluster: Cluster) -> None:
    for body in cluster.api.all(FUNCTION):
        timeout = body["spec"].get("timeout", 3) % 5 + 1
        cluster.api.edit(FUNCTION, body["metadata"]["name"], {"spec": {"timeout": timeout}})


def break_it(cluster: Cluster) -> None:
    for body in cluster.api.all(FUNCTION):
        cluster.api.edit(FUNCTION, body["metadata"]["name"], {"spec": {"runtime": "cobol"}})


def mend_it(cluster: Cluster) -> None:
    for body in cluster.api.all(FUNCTION):
        cluster.api.edit(FUNCTION, body["metadata"]["name"], {"spec": {"runtime": "python3.12"}})


def delete(cluster: Cluster) -> None:
    for body in cluster.api.all(FUNCTION):
        cluster.api.remove(FUNCTION, body["metadata"]["name"])


def publish(cluster: Cluster) -> None:
    snapshot = new_function()["spec"] | {"functionName": "area"}
    snapshot["code"] = {"sha256": "a" * 64, "size": 12}
    spec = {"functionRef": "area", "version": 1, "snapshot": snapshot}
    if cluster.api.all(FUNCTION) and not cluster.api.all(VERSION):
        cluster.api.put(VERSION, {"metadata": {"name": "area-v1"}, "spec": spec})


def point(cluster: Cluster) -> None:
    spec = {"functionRef": "area", "name": "live", "functionVersion": "1"}
    if cluster.api.all(FUNCTION) and not cluster.api.all(ALIAS):
        cluster.api.put(ALIAS, {"metadata": {"name": "area-live"}, "spec": spec})


def wish(cluster: Cluster) -> None:
    for body in cluster.api.all(FUNCTION):
        number = int(body["spec"].get("publish", {}).get("id", "0"))
        patch = {"spec": {"publish": {"id": str(number + 1)}}}
        cluster.api.edit(FUNCTION, body["metadata"]["name"], patch)


def publish_always(cluster: Cluster) -> None:
    for body in cluster.api.all(FUNCTION):
        cluster.api.edit(FUNCTION, body["metadata"]["name"], {"spec": {"autoPublish": True}})


def track(cluster: Cluster) -> None:
    spec = {"functionRef": "area", "name": "new", "track": "LatestPublished"}
    taken = any(body["spec"]["name"] == "new" for body in cluster.api.all(ALIAS))
    if cluster.api.all(FUNCTION) and not taken:
        cluster.api.put(ALIAS, {"metadata": {"name": "area-new"}, "spec": spec})


def tamper(cluster: Cluster) -> None:
    for body in cluster.api.all(DEPLOYMENT):
        containers = [{"name": "function", "image": "evil"}, {"name": "more"}]
        pod = {"containers": containers, "hostNetwork": True}
        patch = {"spec": {"template": {"spec": pod}}}
        cluster.api.edit(DEPLOYMENT, body["metadata"]["name"], patch)


def lose(cluster: Cluster) -> None:
    for body in cluster.api.all(DEPLOYMENT):
        cluster.api.remove(DEPLOYMENT, body["metadata"]["name"])


def scale(cluster: Cluster) -> None:
    for body in cluster.api.all(DEPLOYMENT):
        patch = {"spec": {"replicas": 3}, "status": {"replicas": 3}}
        cluster.api.edit(DEPLOYMENT, body["metadata"]["name"], patch)


def drain(cluster: Cluster) -> None:
    for body in cluster.api.all(DEPLOYMENT):
        patch = {"spec": {"replicas": 0}, "status": {"replicas": 0}}
        cluster.api.edit(DEPLOYMENT, body["metadata"]["name"], patch)


STEPS: list[Callable[[Cluster], None]] = [
    create,
    update,
    break_it,
    mend_it,
    delete,
    publish,
    point,
    wish,
    publish_always,
    track,
    tamper,
    lose,
    scale,
    drain,
]
OPERATOR = st.tuples(st.booleans(), st.integers(min_value=0, max_value=4))
HISTORY = st.lists(st.tuples(st.sampled_from(STEPS), st.lists(OPERATOR, max_size=3)), max_size=12)


async def live(cluster: Cluster, history: Any) -> None:
    for step, operator in history:
        step(cluster)
        for fresh, limit in operator:
            if fresh:
                cluster.watch()
            for key in list(cluster.keys()):
                await cluster.reconcile(key, limit)
            cluster.now += timedelta(seconds=4)


@settings(max_examples=150, deadline=None)
@given(HISTORY)
def test_every_history_ends_in_the_right_state(history: Any) -> None:
    cluster = Cluster()
    asyncio.run(live(cluster, history))
    replicas = {
        body["metadata"]["uid"]: body["spec"]["replicas"] for body in cluster.api.all(DEPLOYMENT)
    }
    asyncio.run(cluster.settle())
    for body in cluster.api.all(DEPLOYMENT):
        expected = replicas.get(body["metadata"]["uid"], 0)
        assert body["spec"]["replicas"] == expected, "replicas belong to the gateway"
    # What was lost while the function was broken can only be rendered again once it is mended.
    mend_it(cluster)
    drain(cluster)
    asyncio.run(cluster.settle())
    check_end(cluster)


def check_end(cluster: Cluster) -> None:
    owners = {body["metadata"]["uid"] for body in cluster.api.all(FUNCTION)}
    wanted = set()
    for kind in (FUNCTION, VERSION):
        for body in cluster.api.all(kind):
            uid = body["metadata"]["uid"]
            if kind == VERSION:
                parents = body["metadata"].get("ownerReferences", [])
                assert not parents or parents[0]["uid"] in owners, "an orphan"
            if active := body.get("status", {}).get("active"):
                wanted.add((active["deployment"], uid))
    found = {
        (body["metadata"]["name"], body["metadata"]["ownerReferences"][0]["uid"])
        for body in cluster.api.all(DEPLOYMENT)
    }
    assert found == wanted
    check_publications(cluster)
    for body in cluster.api.all(DEPLOYMENT):
        (container,) = body["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "klambda/python3.13:1"
        assert "hostNetwork" not in body["spec"]["template"]["spec"]


def check_publications(cluster: Cluster) -> None:
    """Every wish is done, whatever was cut off; numbers grow; who tracks the newest has it."""
    numbers = [body["spec"]["version"] for body in cluster.api.all(VERSION)]
    for body in cluster.api.all(FUNCTION):
        status = body["status"]
        if wished := body["spec"].get("publish"):
            assert status["published"]["id"] == wished["id"]
            assert status["published"]["version"] in numbers
        if body["spec"].get("autoPublish"):
            newest = max(cluster.api.all(VERSION), key=lambda each: each["spec"]["version"])
            snapshot = Version.read(newest).spec.snapshot
            assert snapshot_digest(snapshot) == function_digest(Function.read(body))
    for body in cluster.api.all(ALIAS):
        if "track" in body["spec"] and numbers:
            (target,) = body["status"]["versions"]
            assert target["version"] == str(max(numbers))
