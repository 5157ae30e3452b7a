"""The mirrors: what the gateway knows of Kubernetes, each object projected to a few fields.

    Functions, Versions, Aliases ─► routing table      Pods ─► instance registry, failing starts
    Deployments ─► replicas, assignments               own Pods ─► the other gateways' addresses

Place: ``app`` starts it before anything else serves; the API shows it every object that it wrote or
read (``observe``: read-your-writes). Invariants: nothing of an object is kept but its projection;
callbacks are synchronous and do no I/O. Not here: what follows from the facts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from klambda_core import labels
from klambda_core.kinds import ALIAS, DEPLOYMENT, FUNCTION, POD, VERSION, Kind
from klambda_core.scaling import ScalingDefaults
from klambda_gateway.instances.deployments import DeploymentFacts, deployment_facts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts, pod_facts
from klambda_gateway.routing.facts import alias_facts, function_facts, version_facts
from klambda_gateway.routing.table import RoutingTable
from klambda_kube.api import Api
from klambda_kube.errors import NotFound
from klambda_kube.reflector import Reflector

POD_PATIENCE_S: Final = 2.0
"""How long an instance's pod may take to come through the watch before it is asked for."""
GATEWAYS: Final = "app.kubernetes.io/name=klambda,app.kubernetes.io/component=gateway"


class Listener(Protocol):
    """Who is told of pods and Deployments."""

    def pod_seen(self, pod: PodFacts) -> None:
        """Take a new or changed pod."""
        ...

    def pod_gone(self, pod: PodFacts) -> None:
        """Take a deleted pod."""
        ...

    def deployment_changed(self, key: DeploymentKey, facts: DeploymentFacts | None) -> None:
        """Take a changed or deleted Deployment."""
        ...

    def gateways_changed(self) -> None:
        """Take that ``Mirrors.gateways`` has changed."""
        ...


class Mirrors:
    """All reflectors of the data plane; an ``Observer`` and ``FunctionIndex`` of the API."""

    def __init__(
        self,
        api: Api,
        table: RoutingTable,
        *,
        namespace: str,
        watched: Sequence[str] = (),
        own_address: str = "",
        port: int,
        scaling: ScalingDefaults | None = None,
    ) -> None:
        self._api = api
        self._table = table
        self._own_address = own_address
        self._port = port
        self._listener: Listener | None = None
        self._pod_waiters: dict[str, list[asyncio.Future[PodFacts]]] = {}
        scope: Any = {"namespaces": list(watched) or None}
        ours: Any = scope | {"label_selector": labels.SELECTOR}
        self.functions = Reflector(
            api,
            FUNCTION,
            partial(function_facts, defaults=scaling),
            on_change=table.change_function,
            **scope,
        )
        self.versions = Reflector(
            api, VERSION, version_facts, on_change=table.change_version, **scope
        )
        self.aliases = Reflector(api, ALIAS, alias_facts, on_change=table.change_alias, **scope)
        self.pods = Reflector(api, POD, pod_facts, on_change=self._pod, **ours)
        self.deployments = Reflector(
            api, DEPLOYMENT, deployment_facts, on_change=self._deployment, **ours
        )
        own: Any = {"namespaces": [namespace], "label_selector": GATEWAYS}
        self._gateways = Reflector(api, POD, _address, on_change=self._gateway, **own)
        self._ours: Mapping[str, Reflector[Any]] = {
            FUNCTION.kind: self.functions,
            VERSION.kind: self.versions,
            ALIAS.kind: self.aliases,
        }

    def listen(self, listener: Listener) -> None:
        """Name who is told; before ``run``."""
        self._listener = listener

    async def run(self) -> None:
        """Mirror until cancelled."""
        async with asyncio.TaskGroup() as group:
            for mirror in self._all():
                group.create_task(mirror.run())

    def synced(self) -> bool:
        """Tell whether everything was listed once."""
        return all(mirror.synced.is_set() for mirror in self._all())

    async def wait_synced(self) -> None:
        """Wait until everything was listed once."""
        for mirror in self._all():
            await mirror.synced.wait()

    def age(self) -> float:
        """Seconds since the quietest mirror gave a sign of life."""
        return max(mirror.age() for mirror in self._all())

    # --- for the API ------------------------------------------------------------------------------

    def observe(self, obj: Mapping[str, Any]) -> None:
        """See ``invoke.model.Observer``."""
        mirror = self._ours.get(obj.get("kind", ""))
        if mirror is not None:
            mirror.observe(dict(obj))

    def forget(self, obj: Mapping[str, Any]) -> None:
        """See ``invoke.model.Observer``."""
        mirror, meta = self._ours.get(obj.get("kind", "")), obj["metadata"]
        if mirror is not None:
            mirror.forget((meta["namespace"], meta["name"]), meta["uid"])

    def find(self, namespace: str, function_name: str) -> str | None:
        """Return the name of the object that carries an AWS name."""
        entry = self._table.get(namespace, function_name)
        return entry.function.name if entry is not None else None

    # --- for the data plane -----------------------------------------------------------------------

    async def read(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """Read one object from Kubernetes. Raises NotFound, KubeError."""
        return await self._api.get(kind, namespace, name)

    def known(self, key: DeploymentKey) -> DeploymentFacts | None:
        """Return a Deployment from the mirror."""
        return self.deployments.get(key)

    async def deployment(self, key: DeploymentKey) -> DeploymentFacts | None:
        """Return a Deployment, read when the mirror has it not yet. Raises KubeError."""
        found = self.known(key)
        if found is not None:
            return found
        try:
            return deployment_facts(await self._api.get(DEPLOYMENT, key.namespace, key.name))
        except NotFound:
            return None

    async def pod(self, namespace: str, name: str, uid: str) -> PodFacts | None:
        """Return a pod: wait a little for the watch, then ask once. Raises KubeError."""
        found = self.pods.get((namespace, name))
        if found is not None and found.uid == uid:
            return found
        future: asyncio.Future[PodFacts] = asyncio.get_running_loop().create_future()
        waiters = self._pod_waiters.setdefault(uid, [])
        waiters.append(future)
        try:
            async with asyncio.timeout(POD_PATIENCE_S):
                return await future
        except TimeoutError:
            return await self._read_pod(namespace, name)
        finally:
            waiters.remove(future)
            if not waiters:
                self._pod_waiters.pop(uid, None)

    def lives(self, namespace: str, pod: str, uid: str) -> bool:
        """See ``auth.sessions.Pods``."""
        found = self.pods.get((namespace, pod))
        return found is not None and found.uid == uid

    def gateways(self) -> set[str]:
        """Return where instances dial gateways now."""
        addresses = set(self._gateways)
        if self._own_address:
            addresses.add(self._own_address)
        return {_host_port(address, self._port) for address in addresses}

    async def _read_pod(self, namespace: str, name: str) -> PodFacts | None:
        try:
            return pod_facts(await self._api.get(POD, namespace, name))
        except NotFound:
            return None

    def _all(self) -> tuple[Reflector[Any], ...]:
        return (
            self.functions,
            self.versions,
            self.aliases,
            self.pods,
            self.deployments,
            self._gateways,
        )

    def _pod(self, old: PodFacts | None, new: PodFacts | None) -> None:
        if self._listener is None:
            return
        if old is not None and (new is None or new.uid != old.uid):
            self._listener.pod_gone(old)
        if new is not None:
            self._listener.pod_seen(new)
            for future in self._pod_waiters.get(new.uid, ()):
                if not future.done():
                    future.set_result(new)

    def _deployment(self, old: DeploymentFacts | None, new: DeploymentFacts | None) -> None:
        facts = new or old
        if self._listener is not None and facts is not None:
            self._listener.deployment_changed(facts.key, new)

    def _gateway(self, old: str | None, new: str | None) -> None:
        if self._listener is not None and old != new:
            self._listener.gateways_changed()


def _address(pod: Mapping[str, Any]) -> str | None:
    """The address of a gateway that is there to stay."""
    status = pod.get("status") or {}
    if "deletionTimestamp" in pod["metadata"] or status.get("phase") != "Running":
        return None
    return status.get("podIP")


def _host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
