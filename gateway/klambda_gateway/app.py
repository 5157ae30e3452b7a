"""The gateway, composed: every part made once and wired.

    mirrors ─► routing table, instance registry          API (FastAPI) ─► invoke service
    instance server (9001) ─► registry ◄─ demand ─► scale of Deployments
    lease ─► scaler (letting go), resolver, sweeper      events (store) ─► workers ─► invoke service

Place: ``process`` starts and stops what is made here. Invariants: constructing does no I/O but
binding the HTTP port and reading the bundle of authorities; parts know each other only through what
is passed to them here.
Not here: any decision, any order in time.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

from klambda_core.names import object_name
from klambda_core.urls import url_id
from klambda_gateway.admission.concurrency import Admission
from klambda_gateway.admission.elsewhere import elsewhere
from klambda_gateway.admission.unreserved import Unreserved
from klambda_gateway.api.app import build_app
from klambda_gateway.api.call import Services
from klambda_gateway.api.grants import Grants
from klambda_gateway.api.links import CodeLinks
from klambda_gateway.api.objects import Objects
from klambda_gateway.auth.accounts import Accounts
from klambda_gateway.auth.bearer import Bearer
from klambda_gateway.auth.gate import Gate, utc_now
from klambda_gateway.auth.keys import Keys
from klambda_gateway.auth.rbac import Rbac
from klambda_gateway.auth.sessions import Mint, Sessions
from klambda_gateway.blobs import Blobs
from klambda_gateway.changes import Changes
from klambda_gateway.clock import never_back
from klambda_gateway.code.fetching import Fetcher
from klambda_gateway.code.resolver import CodeResolver
from klambda_gateway.code.shelf import Shelf
from klambda_gateway.code.sweeper import Sweeper
from klambda_gateway.events.parts import EventParts
from klambda_gateway.ids import request_ids
from klambda_gateway.images.finder import ImageFinder
from klambda_gateway.images.secrets import PullSecrets
from klambda_gateway.instances.assignment import Assignments
from klambda_gateway.instances.credentials import SessionCredentials
from klambda_gateway.instances.family import Families, Function
from klambda_gateway.instances.frames import Frame
from klambda_gateway.instances.phases import StartPhases
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.instances.server import InstanceServer
from klambda_gateway.invoke.metrics import Measured
from klambda_gateway.invoke.service import InvokeService
from klambda_gateway.routing.finder import Finder
from klambda_gateway.routing.table import Entry, RoutingTable
from klambda_gateway.scale.minimum import Minimums
from klambda_gateway.scale.parts import ScaleParts
from klambda_gateway.scale.provisioned import Provisioning
from klambda_gateway.settings import Settings
from klambda_gateway.urls import metrics as url_metrics
from klambda_gateway.urls.arrivals import Arrivals
from klambda_gateway.urls.door import UrlDoor
from klambda_gateway.urls.passage import Passages
from klambda_gateway.urls.table import UrlTable
from klambda_gateway.watch import Mirrors
from klambda_gateway.wire.access import AccessLog
from klambda_gateway.wire.lane import Lane
from klambda_gateway.wire.lanes import Lanes
from klambda_gateway.wire.server import HttpServer
from klambda_gateway.wire.urllane import UrlLane
from klambda_gateway.wire.urls import UrlFront
from klambda_kube.api import Api
from klambda_kube.trust import trusting
from klambda_obs.metrics import Metrics


class Gateway:
    """All parts of one gateway process, and what they ask of one another."""

    def __init__(self, settings: Settings, api: Api, metrics: Metrics, key: str) -> None:
        """``key``: the installation's."""
        self.settings = settings
        self._new_id = request_ids()
        self.metrics = metrics
        self._api = api
        self._key = key
        watched = settings.watch_namespaces
        self.urls = UrlTable(partial(url_id, key))
        self.provisioning = Provisioning()
        self.minimums = Minimums()
        self.table = RoutingTable(on_retired=self._retired, on_swapped=self._swapped)
        self.mirrors = Mirrors(
            api,
            self.table,
            namespace=settings.namespace,
            watched=watched,
            own_address=settings.pod_ip,
            port=settings.instance_port,
            scaling=settings.scaling,
        )
        self.blobs = Blobs(settings.store_url, key, now=never_back())
        self._trust = trusting(settings.ca_bundle)
        secrets = PullSecrets(api, settings.namespace)
        self.images = ImageFinder(settings.images, secrets, trust=self._trust)
        self.keys = Keys(api, settings.namespace, accounts=watched or None)
        self.mint = Mint(key)
        self.accounts = Accounts(settings.accounts, None if watched else api)
        self.fetcher = Fetcher(settings.sources, trust=self._trust)
        self.shelf = Shelf(
            api,
            self.blobs,
            region=settings.region,
            account_of=self.accounts.of,
            namespaces=watched or None,
        )
        self.registry = Registry(clock=asyncio.get_running_loop().time)
        self.families = Families()
        self.unreserved = Unreserved(
            limit=lambda namespace: settings.scaling.of(namespace).account,
            abroad=self.registry.abroad,
            families=self.families,
        )
        self.admission = Admission(unreserved=self.unreserved, others=self._others)
        self.registry.on_free = self.admission.news
        self._compose_instances()
        self._compose_scaling()
        self._compose_invoking()
        self.mirrors.listen(
            Changes(
                self.registry,
                self.server,
                self.families,
                demand=self.scale.demand,
                starter=self.scale.starter,
                phases=self._phases,
            )
        )
        self._gauges()

    # --- composition ------------------------------------------------------------------------------

    def _compose_instances(self) -> None:
        self.assignments = Assignments(
            deployment=self.mirrors.deployment,
            blobs=self.blobs,
            credentials=SessionCredentials(self.mint, time.time).of,
            endpoints=self.settings.endpoints,
        )
        self._phases = StartPhases(self.metrics, self.registry.clock)
        self.server = InstanceServer(
            self.registry,
            self.assignments,
            find_pod=self.mirrors.pod,
            installation_key=self._key,
            gateway=self.settings.pod_name,
            peers=self.mirrors.gateways,
            on_failed=lambda *what: self.scale.demand.fails(*what),
            on_phases=self._started,
            before=self._phases.before,
            ahead=lambda key: self.scale.keeper.short(key),
        )

    def _compose_scaling(self) -> None:
        api = self._api
        self.scale = ScaleParts(
            self.settings,
            api,
            metrics=self.metrics,
            table=self.table,
            mirrors=self.mirrors,
            provisioning=self.provisioning,
            minimums=self.minimums,
            registry=self.registry,
            server=self.server,
            families=self.families,
            unreserved=self.unreserved,
            prepare=self.assignments.begin,
        )
        self.sweeper = Sweeper(
            api,
            self.blobs,
            self.shelf,
            namespaces=self.settings.watch_namespaces or None,
            age=self.settings.sweep_age_seconds,
        )
        self.resolver = CodeResolver(
            api,
            self.blobs,
            self.shelf,
            self.fetcher,
            self.images,
            namespaces=self.settings.watch_namespaces or None,
            observe=self.mirrors.observe,
        )

    def _compose_invoking(self) -> None:
        self.finder = Finder(
            self.table,
            read=self.mirrors.read,
            observe=lambda kind, obj: self.mirrors.observe({"kind": kind.kind, **obj}),
        )
        self.service = InvokeService(
            finder=self.finder,
            registry=self.registry,
            sender=self.server,
            admission=self.admission,
            watching=Measured(self.metrics),
            ran=self.scale.ran,
        )
        self.gate = Gate(
            self.keys,
            region=self.settings.region,
            account_of=self.accounts.admitted,
            sessions=Sessions(self.mint, roles=self.keys, pods=self.mirrors),
        )
        self.authorizer = Rbac(self._api, name_of=self._object_of)
        self.events = EventParts(
            self.settings,
            self._key,
            metrics=self.metrics,
            table=self.table,
            finder=self.finder,
            invoker=self.service,
            admission=self.admission,
            registry=self.registry,
            trust=self._trust,
        )
        services, door = self._services(), self._url_door()
        fast = self.metrics.tally("fast_lane", "Invocations that went below FastAPI.")
        lanes = Lanes(
            Lane(services, self.service, is_url=door.is_url, count=fast.one_more),
            UrlLane(door, self.service, self.authorizer, count=fast.one_more),
        )
        self.http = HttpServer(
            UrlFront(build_app(services, cors_origins=self.settings.cors_origins), door),
            port=self.settings.http_port,
            grace_seconds=self.settings.grace_seconds,
            lane=lanes if self.settings.fast_lane else None,
            access=AccessLog() if self.settings.access_log else None,
        )

    def _url_door(self) -> UrlDoor:
        passages = Passages(
            place=self.settings.urls,
            gate=self.gate,
            account_of=self.accounts.of,
            now=utc_now,
            new_id=self._new_id,
            trusted=self.settings.trusted_proxies,
            watching=url_metrics.Measured(self.metrics),
        )
        return UrlDoor(
            self.urls,
            passages,
            authorizer=self.authorizer,
            invoker=self.service,
            arrivals=Arrivals(self.urls),
        )

    def _services(self) -> Services:
        objects = Objects(
            self._api, index=self.mirrors, observer=self.mirrors, new_id=self._new_id, now=utc_now
        )
        return Services(
            objects=objects,
            blobs=self.blobs,
            images=self.images,
            invoker=self.service,
            gate=self.gate,
            authorizer=self.authorizer,
            grants=Grants(
                namespace_of=lambda account: self.accounts.namespace_of(
                    account, self.table.namespaces
                ),
                entry=self.table.get,
            ),
            roles=self.keys,
            bearer=self._bearer(),
            events=self.events.intake,
            links=CodeLinks(self._key, time.time),
            shelf=self.shelf,
            fetcher=self.fetcher,
            urls=self._url,
            region=self.settings.region,
            now=utc_now,
            new_id=self._new_id,
            runtimes=self.settings.runtimes,
            concurrent_executions=lambda namespace: self.settings.scaling.of(namespace).account,
        )

    def _gauges(self) -> None:
        gauge = self.metrics.gauge_of
        gauge("concurrent_executions", "Invocations admitted.", self.admission.running)
        gauge("attempts_in_flight", "Attempts on instances.", self.service.in_flight)
        gauge("instances_connected", "Instances connected.", lambda: len(self.server.linked()))
        gauge(
            "provisioned_concurrent_executions",
            "Instances kept initialised.",
            self.scale.keeper.available,
        )
        gauge("functions", "Functions in the routing table.", lambda: len(self.table))
        gauge(
            "requests_waiting",
            "Requests that wait for an instance.",
            lambda: sum(len(pool.waiters) for pool in self.registry),
        )

    async def lead(self) -> None:
        """What one gateway does for all, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.resolver.run())
            group.create_task(self.sweeper.run())

    # --- what parts ask of one another ------------------------------------------------------------

    def _url(self, namespace: str, function: str, qualifier: str | None) -> str:
        return self.settings.urls.address(url_id(self._key, namespace, function, qualifier))

    def _swapped(self, before: Entry | None, after: Entry | None) -> None:
        self.urls.changed(before, after)
        self.provisioning.changed(before, after)
        self.minimums.changed(before, after)
        self.unreserved.changed(before, after)

    def _bearer(self) -> Bearer | None:
        if not self.settings.bearer_tokens:
            return None
        watched = self.settings.watch_namespaces
        return Bearer(self._api, account_of=self.accounts.admitted, accounts=watched or None)

    def _object_of(self, namespace: str, function_name: str) -> str:
        """Return the name of a Function object, of one that does not exist as the API names it."""
        return self.mirrors.find(namespace, function_name) or object_name(function_name)

    def _others(self, function: Function) -> int:
        return elsewhere(self.registry, self.families.of(function))

    def _retired(self, keys: frozenset[DeploymentKey]) -> None:
        for key in keys:
            self.scale.demand.retire(key)

    def _started(self, record: Record, frame: Frame) -> None:
        self.scale.demand.works(record.key)
        self._phases.note(record, frame)
