"""Starting instances as bare Pods, from the template of the revision's Deployment.

A Pod made here is what a ReplicaSet would have made, but for the way: one write instead of a queue
behind the controller-manager's client limit. It carries the template's labels and one more
(``klambda.io/starter``), and is controlled by the Deployment: no ReplicaSet adopts it, and it goes
with the Deployment. Gateways know it like any other; the leader deletes it when it is done
(``decide``), for no replicas stand for it.

Place: ``starters`` chooses it for bursts. Invariants: nothing but the template decides what runs;
a Pod that was refused (quota) is left to the caller, who asks for replicas instead: the
ReplicaSet then says why. Not here: when (``rush``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from klambda_core.kinds import DEPLOYMENT, POD, Kind
from klambda_core.labels import MANAGER_GATEWAY, STARTER
from klambda_gateway.instances.pods import DeploymentKey
from klambda_kube.errors import KubeError, NotFound
from klambda_obs import logs

BARE: Final = "pod"
"""Value of the label."""

_log = logs.get("klambda.gateway.starter")


class PodApi(Protocol):
    """What is needed of the Kubernetes API."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        """Read one object."""
        ...

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        """Create one object."""
        ...


class PodStarter:
    """Starts by creating Pods."""

    def __init__(self, api: PodApi) -> None:
        self._api = api

    async def start(self, key: DeploymentKey, count: int) -> int:
        """Create so many; tells how many there are. Raises NotFound, KubeError."""
        deployment = await self._api.get(DEPLOYMENT, key.namespace, key.name)
        if "deletionTimestamp" in deployment["metadata"]:
            raise NotFound(404, "NotFound", f"deployment {key.name} is being deleted")
        body = bare_pod(deployment)
        made = await asyncio.gather(*(self._create(key.namespace, body) for _ in range(count)))
        return sum(made)

    async def _create(self, namespace: str, body: Mapping[str, Any]) -> bool:
        try:
            await self._api.create(POD, namespace, body, field_manager=MANAGER_GATEWAY)
        except KubeError as error:
            name = body["metadata"]["generateName"]
            _log.warning("pod-not-created", namespace=namespace, pod=name, error=str(error))
            return False
        return True


def bare_pod(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """Make a Pod of a Deployment's template."""
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    own = template.get("metadata") or {}
    return {
        "metadata": {
            "generateName": f"{meta['name']}-",
            "labels": {**(own.get("labels") or {}), STARTER: BARE},
            "annotations": dict(own.get("annotations") or {}),
            "ownerReferences": [
                {
                    "apiVersion": DEPLOYMENT.api_version,
                    "kind": DEPLOYMENT.kind,
                    "name": meta["name"],
                    "uid": meta["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": template["spec"],
    }
