"""A model of Kubernetes: Deployments with versions, pods that come up late, watches that lag.

The ReplicaSet controller, scheduler and kubelet do what matters here: replicas become pods, pods
find room or stay pending, a container starts after some 200 ms and is called Ready 700 ms later, a
dead one is started again in its pod, deletion costs are honoured among Ready pods. The API can be
away; nothing that goes through it moves then.
"""

# ruff: noqa: ARG002 - the API has the signatures of what it stands for

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final, Protocol

from klambda_core.kinds import DEPLOYMENT, Kind
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.scale.scaler import DELETION_COST
from klambda_kube.errors import Conflict, NotFound, Unreachable
from tests.support.simulation.instance import Instance
from tests.support.simulation.wire import APART_S

NAMESPACE: Final = "default"
DELETED_AFTER_S: Final = 10.0
"""The operator deletes a superseded Deployment at 0, so long after the switch."""
GRACE_S: Final = 30.0


class Watcher(Protocol):
    """A gateway's mirrors."""

    def take(self, kind: str, name: Any, facts: Any) -> None:
        """Take a changed object; facts None: it is gone."""
        ...


class Stream:
    """The watches of one gateway: in order for each kind, each on its own clock."""

    def __init__(self, chance: Random, watcher: Watcher, held: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._chance = chance
        self._watcher = watcher
        self._held = held
        self._last: dict[str, float] = {}
        self._epoch = 0

    def tell(self, kind: str, name: Any, facts: Any) -> None:
        lag = 0.001 + 0.02 * self._chance.random() ** 2
        if self._chance.random() < 0.002:
            lag += 0.5 * self._chance.random()
        at = max(self._last.get(kind, 0.0) + APART_S, self._loop.time() + lag, self._held())
        self._last[kind] = at
        self._loop.call_at(at, self._arrive, self._epoch, kind, name, facts)

    def _arrive(self, epoch: int, kind: str, name: Any, facts: Any) -> None:
        if epoch == self._epoch:
            self._watcher.take(kind, name, facts)

    def cut(self) -> None:
        """Lose what is under way; somebody must list again."""
        self._epoch += 1


class Kubernetes:
    """The cluster."""

    def __init__(
        self, chance: Random, *, room: int, boot: Callable[[PodFacts, str], Instance]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._chance = chance
        self._room = room
        self._boot = boot
        self._numbers = itertools.count(1)
        self.away_until = 0.0
        self.deployments: dict[DeploymentKey, DeploymentFacts] = {}
        self.pods: dict[str, PodFacts] = {}
        self.bound: set[str] = set()
        self.instances: dict[str, Instance] = {}
        self.functions: dict[str, Any] = {}
        self.streams: dict[str, Stream] = {}
        self.started = 0

    # --- objects ----------------------------------------------------------------------------------

    def away(self) -> float:
        """Return until when the API is away."""
        return self.away_until

    def _tell(self, kind: str, name: Any, facts: Any) -> None:
        for stream in self.streams.values():
            stream.tell(kind, name, facts)

    def everything(self) -> list[tuple[str, Any, Any]]:
        """List what there is."""
        return [
            *(("deployment", key, facts) for key, facts in self.deployments.items()),
            *(("function", name, facts) for name, facts in self.functions.items()),
            *(("pod", uid, facts) for uid, facts in self.pods.items()),
        ]

    def version(self) -> str:
        return str(next(self._numbers))

    def add_deployment(self, function: str, name: str) -> DeploymentKey:
        key = DeploymentKey(NAMESPACE, name)
        assignment = {"digest": f"d-{name}", "code": {"sha256": "ab", "size": 5}}
        self.put(
            DeploymentFacts(
                key=key,
                uid=f"uid-{name}",
                resource_version=self.version(),
                replicas=0,
                function=function,
                assignment=json.dumps(assignment),
            )
        )
        return key

    def put(self, facts: DeploymentFacts) -> None:
        self.deployments[facts.key] = facts
        self._tell("deployment", facts.key, facts)

    def put_function(self, name: str, facts: Any, retired: DeploymentKey | None) -> None:
        self.functions[name] = facts
        self._tell("function", name, facts)
        if retired is not None:
            self._loop.call_later(DELETED_AFTER_S, self._delete_when_empty, retired)

    def _delete_when_empty(self, key: DeploymentKey) -> None:
        facts = self.deployments.get(key)
        if facts is None:
            return
        if facts.replicas or self.of(key):
            self._loop.call_later(1.0, self._delete_when_empty, key)
            return
        del self.deployments[key]
        self._tell("deployment", key, None)

    def of(self, key: DeploymentKey) -> list[PodFacts]:
        return [pod for pod in self.pods.values() if pod.key == key]

    def show(self, uid: str, **change: Any) -> None:
        pod = self.pods.get(uid)
        if pod is not None:
            self.pods[uid] = dataclasses.replace(pod, **change)
            self._tell("pod", uid, self.pods[uid])

    # --- controllers ------------------------------------------------------------------------------

    def when_up(self, call: Callable[..., None], *words: Any, after: float = 0.0) -> None:
        """Do it as soon as the API is there."""
        at = max(self._loop.time() + after, self.away_until + 0.01)
        self._loop.call_at(at, call, *words)

    def reconcile(self, key: DeploymentKey) -> None:
        self.when_up(self._reconcile, key, after=0.005 + 0.02 * self._chance.random())

    def _reconcile(self, key: DeploymentKey) -> None:
        facts = self.deployments.get(key)
        wanted = facts.replicas if facts is not None else 0
        active = [pod for pod in self.of(key) if not pod.deleting and not pod.ended]
        for _ in range(wanted - len(active)):
            self._create(key)
        active.sort(key=lambda pod: (pod.uid in self.bound, pod.ready, int(pod.deletion_cost or 0)))
        for pod in active[: max(0, len(active) - wanted)]:
            self.delete(pod.uid)

    def _create(self, key: DeploymentKey) -> None:
        number = next(self._numbers)
        uid = f"uid-{number}"
        self.pods[uid] = PodFacts(
            namespace=NAMESPACE,
            name=f"{key.name}-{number}",
            uid=uid,
            deployment=key.name,
            cpu=100,
        )
        self._tell("pod", uid, self.pods[uid])
        self.started += 1
        self._bind(uid)

    def _bind(self, uid: str) -> None:
        if uid not in self.pods or uid in self.bound:
            return
        if len(self.bound) >= self._room:
            self.show(uid, unschedulable=True, message="0/1 nodes are available: Insufficient cpu.")
            return
        self.bound.add(uid)
        if self.pods[uid].unschedulable:
            self.show(uid, unschedulable=False, message=None)
        self._loop.call_later(0.15 + 0.15 * self._chance.random(), self._run, uid, 0)

    def _run(self, uid: str, restarts: int) -> None:
        pod = self.pods.get(uid)
        if pod is None or pod.deleting or pod.ended:
            return
        self.instances[uid] = self._boot(pod, f"boot-{next(self._numbers)}")
        self.when_up(self._ready, uid, restarts, after=0.5 + 0.4 * self._chance.random())

    def _ready(self, uid: str, restarts: int) -> None:
        pod = self.pods.get(uid)
        if pod is not None and not pod.ended:
            self.show(uid, ready=not pod.deleting, addresses=("10.0.0.1",), restarts=restarts)

    def delete(self, uid: str) -> None:
        """Delete a pod as Kubernetes does: asked first."""
        pod = self.pods.get(uid)
        if pod is None or pod.deleting:
            return
        self.show(uid, deleting=True)
        self.reconcile(pod.key)
        instance = self.instances.get(uid)
        if instance is None or instance.dead:
            self._loop.call_later(0.02, self._remove, uid)
            return
        left = instance.terminate()
        left.add_done_callback(lambda _: self._loop.call_later(0.02, self._remove, uid))
        self._loop.call_later(GRACE_S, self._remove, uid)

    def _remove(self, uid: str) -> None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        instance = self.instances.pop(uid, None)
        if instance is not None and not instance.dead:
            instance.die()
        self.bound.discard(uid)
        self._tell("pod", uid, None)
        for other in [each for each in self.pods if each not in self.bound]:
            self._bind(other)
        self.reconcile(pod.key)

    def crash(self, uid: str, *, ended: bool) -> None:
        """Let a container die: kubelet restarts it, or calls the pod failed (evicted)."""
        self.instances[uid].die()
        if ended:
            self.when_up(self._fail, uid, after=0.5 + self._chance.random())
        else:
            self._loop.call_later(0.05 + self._chance.random(), self._run, uid, 1)

    def vanish(self, uid: str, *, noticed: float) -> None:
        """Let a pod's node go without a word; its pod is deleted when that has been noticed."""
        self.instances[uid].vanish(noticed=noticed)
        self.when_up(self.delete, uid, after=noticed)

    def _fail(self, uid: str) -> None:
        pod = self.pods.get(uid)
        if pod is not None:
            self.show(uid, ended=True, ready=False, terminated="Error")
            self.bound.discard(uid)
            self.reconcile(pod.key)


class Api:
    """One gateway's way to the API server."""

    def __init__(self, kubernetes: Kubernetes, chance: Random) -> None:
        self._kubernetes = kubernetes
        self._chance = chance
        self.dead = False

    async def _travel(self) -> None:
        await asyncio.sleep(0.000_5 + 0.003 * self._chance.random())
        away = asyncio.get_running_loop().time() < self._kubernetes.away_until
        if self.dead or away:
            await asyncio.sleep(1.0)
            raise Unreachable("the API server is away", maybe_applied=False)

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        await self._travel()
        facts = self._kubernetes.deployments.get(DeploymentKey(str(namespace), name))
        if kind is not DEPLOYMENT or facts is None:
            raise NotFound(404, "NotFound", name)
        meta = {"uid": facts.uid, "resourceVersion": facts.resource_version}
        return {"metadata": meta, "spec": {"replicas": facts.replicas}}

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
        await self._travel()
        if kind is not DEPLOYMENT:
            cost = patch["metadata"]["annotations"][DELETION_COST]
            self._kubernetes.show(patch["metadata"]["uid"], deletion_cost=cost)
            return {}
        key = DeploymentKey(str(namespace), name)
        facts = self._kubernetes.deployments.get(key)
        if facts is None:
            raise NotFound(404, "NotFound", name)
        if facts.resource_version != patch["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", name)
        new = dataclasses.replace(
            facts,
            replicas=patch["spec"]["replicas"],
            resource_version=self._kubernetes.version(),
        )
        self._kubernetes.put(new)
        self._kubernetes.reconcile(key)
        await self._travel()
        return {"metadata": {"resourceVersion": new.resource_version}}

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        await self._travel()
        if uid in self._kubernetes.pods:
            self._kubernetes.delete(uid)
