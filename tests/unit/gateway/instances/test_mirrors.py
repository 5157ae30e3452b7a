"""The mirrors: objects arrive as facts, pods are waited for a little, gateways are addresses."""

# ruff: noqa: ARG002 - fakes have the signatures of what they stand for

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from klambda_core.kinds import DEPLOYMENT, FUNCTION, POD, Kind
from klambda_gateway import watch
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.routing.table import RoutingTable
from klambda_gateway.watch import Mirrors
from klambda_kube.api import Api, ListResult
from klambda_kube.errors import NotFound

KEY = DeploymentKey("default", "area-latest-1")


def pod(name: str = "p", uid: str = "u", **labels: str) -> dict[str, Any]:
    meta = {"namespace": "default", "name": name, "uid": uid, "resourceVersion": "1"}
    return {"metadata": {**meta, "labels": {"klambda.io/deployment": KEY.name, **labels}}}


def gateway(name: str, address: str, **meta: Any) -> dict[str, Any]:
    base = {"namespace": "klambda", "name": name, "uid": name, "resourceVersion": "1"}
    return {"metadata": {**base, **meta}, "status": {"phase": "Running", "podIP": address}}


FN = {
    "kind": "Function",
    "metadata": {"namespace": "default", "name": "area", "uid": "f", "resourceVersion": "5"},
    "spec": {"functionName": "Area"},
    "status": {"active": {"deployment": KEY.name, "revision": "r"}},
}
D1 = {
    "metadata": {
        "namespace": "default",
        "name": KEY.name,
        "uid": "d",
        "resourceVersion": "1",
        "labels": {"klambda.io/function": "area"},
    },
    "spec": {"replicas": 1},
}


class Cluster:
    """Lists what it holds; its watches are silent."""

    def __init__(self) -> None:
        self.functions: list[dict[str, Any]] = []
        self.pods: list[dict[str, Any]] = []
        self.gateways: list[dict[str, Any]] = []
        self.deployments: list[dict[str, Any]] = []
        self.late: dict[str, dict[str, Any]] = {}
        """What only a GET shows."""

    async def pages(
        self, kind: Kind, namespace: str | None = None, *, label_selector: str = "", **_: Any
    ) -> AsyncGenerator[ListResult, None]:
        if kind is POD:
            items = self.gateways if label_selector == watch.GATEWAYS else self.pods
        else:
            items = {FUNCTION: self.functions, DEPLOYMENT: self.deployments}.get(kind, [])
        yield ListResult(items=items, resource_version="3")

    async def watch(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        if name not in self.late:
            raise NotFound(404, "NotFound", name)
        return self.late[name]


class Listener:
    def __init__(self) -> None:
        self.heard: list[object] = []

    def pod_seen(self, pod: PodFacts) -> None:
        self.heard.append(("seen", pod.name))

    def pod_gone(self, pod: PodFacts) -> None:
        self.heard.append(("gone", pod.name))

    def deployment_changed(self, key: DeploymentKey, facts: DeploymentFacts | None) -> None:
        self.heard.append(("deployment", key.name, facts is not None))

    def gateways_changed(self) -> None:
        self.heard.append("gateways")


async def mirrored(cluster: Cluster, **more: Any) -> tuple[Mirrors, Listener, asyncio.Task[None]]:
    listener = Listener()
    mirrors = Mirrors(cast("Api", cluster), RoutingTable(), namespace="klambda", port=9001, **more)
    mirrors.listen(listener)
    assert not mirrors.synced()
    task = asyncio.create_task(mirrors.run())
    await mirrors.wait_synced()
    assert mirrors.synced()
    return mirrors, listener, task


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_objects_reach_the_table_and_the_listener() -> None:
    cluster = Cluster()
    cluster.functions, cluster.pods, cluster.deployments = [FN], [pod()], [D1]
    mirrors, listener, task = await mirrored(cluster)
    assert mirrors.find("default", "Area") == "area"
    assert mirrors.find("default", "area") is None
    assert sorted(map(str, listener.heard)) == [
        "('deployment', 'area-latest-1', True)",
        "('seen', 'p')",
    ]
    known = mirrors.known(KEY)
    assert known is not None
    assert known.replicas == 1
    await ended(task)


async def test_what_the_api_wrote_counts_at_once_and_what_it_deleted_does_not() -> None:
    mirrors, _, task = await mirrored(Cluster())
    mirrors.observe(FN)
    assert mirrors.find("default", "Area") == "area"
    mirrors.forget(FN)
    assert mirrors.find("default", "Area") is None
    mirrors.observe({"kind": "Secret", "metadata": {}})
    await ended(task)


async def test_a_pod_is_waited_for_and_then_asked_for_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "POD_PATIENCE_S", 0.02)
    cluster = Cluster()
    cluster.pods = [pod()]
    mirrors, _, task = await mirrored(cluster)
    known = await mirrors.pod("default", "p", "u")
    assert known is not None
    cluster.late["p2"] = pod("p2", "u2")
    late = await mirrors.pod("default", "p2", "u2")
    assert late is not None
    assert late.uid == "u2"
    assert await mirrors.pod("default", "nobody", "x") is None
    waiting = asyncio.create_task(mirrors.pod("default", "p3", "u3"))
    await asyncio.sleep(0)
    mirrors.pods.observe(
        pod("p3", "u3") | {"metadata": {**pod("p3", "u3")["metadata"], "resourceVersion": "9"}}
    )
    seen = await waiting
    assert seen is not None
    assert seen.name == "p3"
    await ended(task)


async def test_a_deployment_that_the_mirror_has_not_is_read() -> None:
    cluster = Cluster()
    mirrors, _, task = await mirrored(cluster)
    assert await mirrors.deployment(KEY) is None
    cluster.late[KEY.name] = D1
    found = await mirrors.deployment(KEY)
    assert found is not None
    await ended(task)


async def test_gateways_are_those_that_stay_and_this_one() -> None:
    cluster = Cluster()
    cluster.gateways = [
        gateway("a", "10.0.0.1"),
        gateway("b", "fd00::2"),
        gateway("c", "10.0.0.3", deletionTimestamp="now"),
        gateway("d", "10.0.0.4") | {"status": {"phase": "Pending"}},
    ]
    mirrors, listener, task = await mirrored(cluster, own_address="10.0.0.9")
    assert mirrors.gateways() == {"10.0.0.1:9001", "[fd00::2]:9001", "10.0.0.9:9001"}
    assert listener.heard == ["gateways", "gateways"]
    await ended(task)
