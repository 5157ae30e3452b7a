"""Bare Pods: what they are made of, and what becomes of those that cannot be made."""

# ruff: noqa: ARG002 - fakes have the signatures of what they stand for

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from klambda_core.kinds import Kind
from klambda_gateway.instances.pods import DeploymentKey, pod_facts
from klambda_gateway.scale.bare import PodStarter, bare_pod
from klambda_gateway.scale.rush import Rush
from klambda_gateway.scale.starters import Starters
from klambda_kube.errors import Forbidden, NotFound

KEY = DeploymentKey("default", "area-latest-1")
TEMPLATE = {
    "metadata": {"labels": {"klambda.io/deployment": KEY.name}, "annotations": {"a": "b"}},
    "spec": {"containers": [{"name": "function"}], "restartPolicy": "Always"},
}
DEPLOYMENT: dict[str, Any] = {
    "metadata": {"name": KEY.name, "namespace": "default", "uid": "u"},
    "spec": {"replicas": 0, "template": TEMPLATE},
}


class Kubernetes:
    """Deployments to read, Pods to make, replicas to raise."""

    def __init__(self, quota: int = 1000) -> None:
        self.deployment: dict[str, Any] | None = DEPLOYMENT
        self.quota = quota
        self.pods: list[Mapping[str, Any]] = []
        self.raised: list[int] = []
        self.lowered: list[tuple[int, int]] = []

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        assert (kind.kind, namespace, name) == ("Deployment", *KEY)
        if self.deployment is None:
            raise NotFound(404, "NotFound", name)
        return self.deployment

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        assert (kind.kind, namespace, field_manager) == ("Pod", "default", "klambda-gateway")
        if len(self.pods) >= self.quota:
            raise Forbidden(403, "Forbidden", "exceeded quota")
        self.pods.append(body)
        return {}

    def replicas(self, key: DeploymentKey) -> int:
        return sum(self.raised)

    async def start(self, key: DeploymentKey, count: int, *, ceiling: int | None = None) -> int:
        if ceiling is not None:
            count = min(count, ceiling - sum(self.raised))
        self.raised.append(count)
        return count

    async def lower(self, key: DeploymentKey, *, from_replicas: int, to_replicas: int) -> bool:
        self.lowered.append((from_replicas, to_replicas))
        return True


def starters(kubernetes: Kubernetes, rate: float = 20, told: list[int] | None = None) -> Starters:
    return Starters(
        kubernetes,
        PodStarter(kubernetes),
        Rush(rate=rate),
        bare=lambda _: len(kubernetes.pods),
        now=lambda: 0.0,
        count=(told if told is not None else []).append,
    )


def test_a_bare_pod_is_the_template_under_the_deployment() -> None:
    made = bare_pod(DEPLOYMENT)
    assert made["spec"] == TEMPLATE["spec"]
    meta = made["metadata"]
    assert meta["generateName"] == f"{KEY.name}-"
    assert meta["labels"] == {"klambda.io/deployment": KEY.name, "klambda.io/starter": "pod"}
    assert meta["annotations"] == {"a": "b"}
    [owner] = meta["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Deployment", "u", True)
    given = {"name": "p", "namespace": "default", "uid": "x"}
    seen = pod_facts({**made, "metadata": {**meta, **given}})
    assert seen is not None
    assert (seen.bare, seen.key) == (True, KEY)


async def test_a_few_go_by_replicas_a_crowd_as_pods() -> None:
    kubernetes, told = Kubernetes(), list[int]()
    made = starters(kubernetes, told=told)
    await made.start(KEY, 2)
    assert (kubernetes.raised, len(kubernetes.pods)) == ([2], 0)
    await made.start(KEY, 100)
    assert (kubernetes.raised, len(kubernetes.pods), told) == ([2], 100, [100])
    assert made.replicas(KEY) == 102
    assert await made.lower(KEY, from_replicas=2, to_replicas=1)
    assert kubernetes.lowered == [(2, 1)]


async def test_without_a_rate_there_are_no_bare_pods() -> None:
    kubernetes = Kubernetes()
    await starters(kubernetes, rate=0).start(KEY, 100)
    assert (kubernetes.raised, kubernetes.pods) == ([100], [])


async def test_what_is_refused_is_asked_for_as_replicas() -> None:
    """So that the ReplicaSet says why: quota, policy, or a right that is missing."""
    kubernetes, told = Kubernetes(quota=30), list[int]()
    await starters(kubernetes, told=told).start(KEY, 100)
    assert (len(kubernetes.pods), kubernetes.raised, told) == (30, [70], [30])


@pytest.mark.parametrize("gone", [True, False])
async def test_a_deployment_that_goes_is_told(gone: bool) -> None:
    kubernetes = Kubernetes()
    leaving = {**DEPLOYMENT["metadata"], "deletionTimestamp": "now"}
    kubernetes.deployment = None if gone else {**DEPLOYMENT, "metadata": leaving}
    with pytest.raises(NotFound):
        await starters(kubernetes).start(KEY, 100)
    assert not kubernetes.pods


async def test_what_must_not_be_more_than_so_many_is_asked_for_as_replicas() -> None:
    kubernetes = Kubernetes()
    made = starters(kubernetes)
    assert await made.start(KEY, 100) == 100
    bare = len(kubernetes.pods)
    assert bare == 100
    assert await made.start(KEY, 5, ceiling=103) == 3
    assert (len(kubernetes.pods), kubernetes.raised) == (bare, [3])
