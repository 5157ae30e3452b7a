"""Starting instances: the port, and its default, the replicas of the revision's Deployment.

Place: ``demand`` raises through it at once; only the leader lowers (``scaler``).
Invariants: every write carries the resourceVersion it was computed from, so that of two writers one
must look again; a vanished Deployment is an answer (``NotFound``), not a wait.
Not here: how many (``starts``, ``decide``). Bare pods for bursts come later, behind the same port.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from klambda_core.kinds import DEPLOYMENT, Kind
from klambda_core.labels import MANAGER_GATEWAY
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey
from klambda_kube.errors import Conflict, NotFound

TRIES: Final = 8
"""Conflicts come from status updates and other gateways; each is followed by a fresh read."""


class Starter(Protocol):
    """Who makes and removes instances."""

    async def start(self, key: DeploymentKey, count: int, *, ceiling: int | None = None) -> int:
        """Start so many more, as far as that makes no more than ``ceiling``; return how many.

        Raises NotFound when the Deployment is gone, KubeError.
        """
        ...

    async def lower(self, key: DeploymentKey, *, from_replicas: int, to_replicas: int) -> bool:
        """Let some go, if the count is still what the decision was made from. Raises KubeError."""
        ...


class ScaleApi(Protocol):
    """What is needed of the Kubernetes API."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        """Read one object."""
        ...

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
        """Patch one object."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Replicas as of a resourceVersion."""

    replicas: int
    resource_version: str
    uid: str


class DeploymentStarter:
    """Starts by raising replicas."""

    def __init__(
        self, api: ScaleApi, known: Callable[[DeploymentKey], DeploymentFacts | None]
    ) -> None:
        self._api = api
        self._known = known
        self._newest: dict[DeploymentKey, Scale] = {}

    def replicas(self, key: DeploymentKey) -> int:
        """Return the freshest count of wanted replicas, our own writes included."""
        scale = self._freshest(key)
        return scale.replicas if scale is not None else 0

    async def start(self, key: DeploymentKey, count: int, *, ceiling: int | None = None) -> int:
        """Raise replicas."""
        scale = self._freshest(key) or await self._read(key)
        for last in (*(False,) * (TRIES - 1), True):
            if ceiling is not None:
                count = min(count, ceiling - scale.replicas)
            if count <= 0:
                return 0  # somebody else has started them
            try:
                await self._write(key, scale, scale.replicas + count)
            except Conflict:
                if last:
                    raise
                scale = await self._read(key)
            else:
                break
        return count

    async def lower(self, key: DeploymentKey, *, from_replicas: int, to_replicas: int) -> bool:
        """Lower replicas, unless they changed since."""
        scale = self._freshest(key)
        for _ in range(TRIES):
            if scale is None or scale.replicas != from_replicas:
                return False
            try:
                await self._write(key, scale, to_replicas)
            except Conflict:
                scale = await self._read(key)
            else:
                return True
        return False

    def forget(self, key: DeploymentKey) -> None:
        """Forget a Deployment that is gone."""
        self._newest.pop(key, None)

    def _freshest(self, key: DeploymentKey) -> Scale | None:
        facts, seen = self._known(key), self._newest.get(key)
        if facts is None:
            return None
        if (
            seen is not None
            and seen.uid == facts.uid
            and _newer(seen.resource_version, facts.resource_version)
        ):
            return seen
        return Scale(
            replicas=facts.replicas, resource_version=facts.resource_version, uid=facts.uid
        )

    async def _read(self, key: DeploymentKey) -> Scale:
        obj = await self._api.get(DEPLOYMENT, key.namespace, key.name)
        meta = obj["metadata"]
        if "deletionTimestamp" in meta:
            raise NotFound(404, "NotFound", f"deployment {key.name} is being deleted")
        scale = self._newest[key] = Scale(
            replicas=(obj.get("spec") or {}).get("replicas", 1),
            resource_version=meta["resourceVersion"],
            uid=meta["uid"],
        )
        return scale

    async def _write(self, key: DeploymentKey, scale: Scale, replicas: int) -> None:
        patch = {
            "metadata": {"resourceVersion": scale.resource_version},
            "spec": {"replicas": replicas},
        }
        answer = await self._api.merge_patch(
            DEPLOYMENT,
            key.namespace,
            key.name,
            patch,
            field_manager=MANAGER_GATEWAY,
            subresource="scale",
        )
        self._newest[key] = Scale(
            replicas=replicas,
            resource_version=answer["metadata"]["resourceVersion"],
            uid=scale.uid,
        )


def _newer(one: str, other: str) -> bool:
    """Versions of one kind are comparable numbers (KEP-5504)."""
    return one.isdecimal() and other.isdecimal() and int(one) > int(other)
