"""Scale writes: each from a version that was seen, again when somebody was faster."""

# ruff: noqa: ARG002 - fakes have the signatures of what they stand for

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from klambda_core.kinds import Kind
from klambda_gateway.instances.deployments import DeploymentFacts, deployment_facts
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.scale.starter import DeploymentStarter
from klambda_kube.errors import Conflict, NotFound

KEY = DeploymentKey("default", "area-latest-1")


class Scales:
    """One Deployment as the API server has it."""

    def __init__(self, replicas: int, version: int = 7) -> None:
        self.replicas = replicas
        self.version = version
        self.gone = False
        self.deleting = False
        self.patches: list[Mapping[str, Any]] = []

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        if self.gone:
            raise NotFound(404, "NotFound", name)
        meta: dict[str, Any] = {"uid": "u", "resourceVersion": str(self.version)}
        if self.deleting:
            meta["deletionTimestamp"] = "now"
        return {"metadata": meta, "spec": {"replicas": self.replicas}}

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> dict[str, Any]:
        assert (kind.plural, subresource, field_manager) == (
            "deployments",
            "scale",
            "klambda-gateway",
        )
        if patch["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict(409, "Conflict", "changed")
        self.patches.append(patch)
        self.version += 1
        self.replicas = patch["spec"]["replicas"]
        return {"metadata": {"resourceVersion": str(self.version)}}


def facts(replicas: int, version: int) -> DeploymentFacts:
    return DeploymentFacts(
        key=KEY, uid="u", resource_version=str(version), replicas=replicas, function="area"
    )


async def test_a_start_raises_from_the_mirror_and_then_from_its_own_write() -> None:
    api = Scales(0)
    mirror = facts(0, 7)
    starter = DeploymentStarter(api, lambda _: mirror)
    await starter.start(KEY, 1)
    await starter.start(KEY, 2)
    assert api.replicas == 3
    assert starter.replicas(KEY) == 3, "the mirror is behind its own write"
    mirror = facts(2, 12)
    assert starter.replicas(KEY) == 2, "and then ahead of it"


async def test_a_conflict_is_read_again() -> None:
    api = Scales(4, version=9)
    starter = DeploymentStarter(api, lambda _: facts(0, 7))
    await starter.start(KEY, 1)
    assert api.replicas == 5


async def test_two_gateways_together_start_no_more_than_the_ceiling() -> None:
    api = Scales(0, version=7)
    first, second = (DeploymentStarter(api, lambda _: facts(0, 7)) for _ in range(2))
    assert await first.start(KEY, 2, ceiling=3) == 2
    assert await second.start(KEY, 2, ceiling=3) == 1
    assert await second.start(KEY, 1, ceiling=3) == 0
    assert api.replicas == 3


async def test_a_deployment_that_the_mirror_has_not_yet_is_read() -> None:
    api = Scales(0)
    await DeploymentStarter(api, lambda _: None).start(KEY, 1)
    assert api.replicas == 1


@pytest.mark.parametrize("state", ["gone", "deleting"])
async def test_a_vanished_deployment_is_said(state: str) -> None:
    api = Scales(0)
    setattr(api, state, True)
    with pytest.raises(NotFound):
        await DeploymentStarter(api, lambda _: None).start(KEY, 1)


async def test_lowering_gives_way_to_whoever_changed_the_count() -> None:
    api = Scales(3)
    mirror = facts(3, 7)
    starter = DeploymentStarter(api, lambda _: mirror)
    assert await starter.lower(KEY, from_replicas=3, to_replicas=2)
    assert api.replicas == 2
    api.replicas, api.version = 5, 20
    assert not await starter.lower(KEY, from_replicas=2, to_replicas=1)
    assert api.replicas == 5
    assert starter.replicas(KEY) == 5, "what was read is known, though the mirror is behind"
    api.replicas = 2
    api.version = 30
    mirror = facts(2, 29)
    assert await starter.lower(KEY, from_replicas=2, to_replicas=1), "only the version moved"


def test_a_deployment_is_read_as_the_api_server_sends_it() -> None:
    found = deployment_facts(
        {
            "metadata": {
                "namespace": "default",
                "name": "area-latest-1",
                "uid": "u",
                "resourceVersion": "7",
                "labels": {"klambda.io/function": "area"},
                "annotations": {"klambda.io/assignment": "{}"},
            },
            "spec": {"replicas": 2},
            "status": {
                "conditions": [
                    {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
                ]
            },
        }
    )
    assert found is not None
    assert (found.key, found.replicas, found.assignment) == (KEY, 2, "{}")
    assert found.replica_failure == "exceeded quota"
    assert deployment_facts({"metadata": {"name": "x"}}) is None
