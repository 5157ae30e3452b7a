"""What the parts make of pods, Deployments and gateways that come, change and go.

    mirrors ─► Changes ─► registry and instance server: who may serve, who is gone
                     ├──► demand and starter: what is wanted, what was lost
                     └──► phases: how long a start takes

Place: the ``Listener`` of ``watch.Mirrors``, made by ``app``. Invariants: told in the order of the
watch, once per change; nothing here waits. Not here: any decision.
"""

from __future__ import annotations

from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.family import Families
from klambda_gateway.instances.phases import StartPhases
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.registry import Registry
from klambda_gateway.instances.server import InstanceServer
from klambda_gateway.scale.demand import Demand
from klambda_gateway.scale.starter import DeploymentStarter


class Changes:
    """Passes each change on to all whom it concerns."""

    def __init__(
        self,
        registry: Registry,
        server: InstanceServer,
        families: Families,
        *,
        demand: Demand,
        starter: DeploymentStarter,
        phases: StartPhases,
    ) -> None:
        self._registry = registry
        self._server = server
        self._families = families
        self._demand = demand
        self._starter = starter
        self._phases = phases

    def pod_seen(self, pod: PodFacts) -> None:
        """Take a new or changed pod."""
        self._phases.see_pod(pod)
        self._registry.see_pod(pod)
        self._server.verify(pod)
        self._demand.see_pod(pod)

    def pod_gone(self, pod: PodFacts) -> None:
        """Take a deleted pod."""
        self._phases.lose_pod(pod)
        self._registry.lose_pod(pod)
        self._server.give_up(pod.uid)
        self._demand.lose_pod(pod)

    def deployment_changed(self, key: DeploymentKey, facts: DeploymentFacts | None) -> None:
        """Take a changed or deleted Deployment."""
        self._families.changed(key, facts)
        if facts is None:
            self._starter.forget(key)
            self._demand.retire(key)
        else:
            self._demand.check(key)

    def gateways_changed(self) -> None:
        """Tell instances where the gateways are now."""
        self._server.announce_peers()
