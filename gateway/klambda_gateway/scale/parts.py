"""The parts of scaling, made once and wired.

    registry (who waits) ─► demand ─► starters ─► replicas, or bare Pods in a rush
                               └─► reporter (condition)
    lease ─► scaler: crowding ─► decide ─► drain, lower, start ahead ─► keeper (status)

Place: ``klambda_gateway.app`` makes one; ``process`` runs ``scaler`` and holds ``lease``.
Invariants: constructing does no I/O. Not here: any decision.
"""

from __future__ import annotations

from collections.abc import Callable

from klambda_gateway.admission.unreserved import Unreserved
from klambda_gateway.auth.gate import utc_now
from klambda_gateway.instances.family import Families
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.instances.server import InstanceServer
from klambda_gateway.routing.table import RoutingTable
from klambda_gateway.scale.bare import PodStarter
from klambda_gateway.scale.crowding import Crowding
from klambda_gateway.scale.decide import Spec
from klambda_gateway.scale.demand import Demand
from klambda_gateway.scale.headcount import Headcount
from klambda_gateway.scale.keeper import Keeper
from klambda_gateway.scale.minimum import Minimums
from klambda_gateway.scale.provisioned import Provisioning
from klambda_gateway.scale.reporter import StartsReporter
from klambda_gateway.scale.rush import Rush
from klambda_gateway.scale.scaler import Scaler
from klambda_gateway.scale.shares import Share, Shares, share_of
from klambda_gateway.scale.starter import DeploymentStarter
from klambda_gateway.scale.starters import Starters
from klambda_gateway.settings import Settings
from klambda_gateway.watch import Mirrors
from klambda_kube.api import Api
from klambda_kube.lease import Lease
from klambda_obs.metrics import Metrics


class ScaleParts:
    """What one gateway has for scaling."""

    def __init__(
        self,
        settings: Settings,
        api: Api,
        *,
        metrics: Metrics,
        table: RoutingTable,
        mirrors: Mirrors,
        provisioning: Provisioning,
        minimums: Minimums,
        registry: Registry,
        server: InstanceServer,
        families: Families,
        unreserved: Unreserved,
        prepare: Callable[[DeploymentKey], None],
    ) -> None:
        """``prepare`` is called when a start is asked for."""
        self._scaling = settings.scaling
        self._table = table
        self._mirrors = mirrors
        self._provisioning = provisioning
        self._minimums = minimums
        self._families = families
        patience = settings.scheduling_patience
        self.starter = DeploymentStarter(api, mirrors.known)
        pods_made = metrics.counter("bare_pods", "Instances started as bare Pods, for bursts.")
        starters = Starters(
            self.starter,
            PodStarter(api),
            Rush(settings.controller_rate),
            bare=registry.bare,
            now=registry.clock,
            count=pods_made.inc,
        )
        failures = metrics.counter(
            "start_failures", "Starts of instances that failed, by reason.", ("reason",)
        )
        shares = Shares(
            registry,
            share=self._share,
            replicas=starters.replicas,
            drain=lambda record: server.drain(record, registry.clock()),
        )
        headcount = Headcount(registry, unreserved, families=families, replicas=starters.replicas)
        self.demand = Demand(
            registry,
            starters,
            known=mirrors.known,
            prepare=prepare,
            report=StartsReporter(api, served_by=table.served_by, now=utc_now).report,
            counts=lambda reason: failures.labels(reason).inc(),
            burst=self._burst,
            room=shares.room,
            account=headcount.room,
            patience=patience,
            led_since=lambda: self.lease.led_since(),
        )
        registry.on_short = self.demand.short
        registry.on_arrival = self.demand.arrived
        self.lease = Lease(
            api,
            namespace=settings.namespace,
            name=settings.lease_name,
            identity=settings.pod_name,
        )
        runs = metrics.tally(
            "provisioned_invocations",
            "Runs of versions with provisioned concurrency, on what is kept and beside it.",
            "on",
        )
        self.keeper = Keeper(
            api,
            provisioning,
            registry,
            trouble=self.demand.trouble,
            now=utc_now,
            patience=settings.provisioned_patience,
            exists=lambda key: mirrors.known(key) is not None,
            runs=runs.counts,
        )
        crowding = Crowding(
            registry,
            server,
            homeless=self.demand.homeless,
            known=mirrors.known,
            spec=self._spec,
            patience=patience,
        )
        self.scaler = Scaler(
            api,
            registry,
            server,
            self.demand,
            self.starter,
            spec=self._spec,
            wanted=self._wanted,
            leads=self.lease.held,
            after=self.keeper.report,
            make_room=crowding.make_room,
            patience=patience,
        )

    def ran(self, record: Record, seconds: float) -> None:
        """Note a run."""
        self.demand.ran(record.key, seconds)
        self.keeper.ran(record)

    def _spec(self, key: DeploymentKey) -> Spec:
        entry = self._table.served_by(key)
        if entry is None:
            idle = self._scaling.of(key.namespace).idle_seconds
            return Spec(idle_seconds=idle, superseded=True)
        return Spec(
            idle_seconds=entry.function.scaling.idle_seconds,
            minimum=self._minimums.of(key),
            provisioned=self._provisioning.wanted(key),
        )

    def _burst(self, key: DeploymentKey) -> int:
        entry = self._table.served_by(key)
        scaling = self._scaling.of(key.namespace) if entry is None else entry.function.scaling
        return scaling.burst

    def _share(self, key: DeploymentKey) -> Share | None:
        entry = self._table.served_by(key)
        return None if entry is None else share_of(entry, self._families)

    def _wanted(self) -> list[DeploymentKey]:
        """Return the Deployments that have replicas or should have."""
        have = [each.key for each in self._mirrors.deployments if each.replicas]
        return [*have, *self._provisioning.deployments(), *self._minimums.deployments()]
