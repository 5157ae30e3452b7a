"""The parts of asynchronous invocation, made once and wired.

    intake ─► store (HTTP) ─► workers ─► story ─► invoke service · post (destinations)

Place: ``klambda_gateway.app`` makes one; ``process`` runs ``workers`` and closes all. Invariants:
constructing does no I/O. Not here: any decision.
"""

from __future__ import annotations

from klambda_gateway.admission.concurrency import Admission
from klambda_gateway.auth.gate import utc_now
from klambda_gateway.clock import never_back
from klambda_gateway.events.client import StoreEvents
from klambda_gateway.events.courtesy import Courtesy
from klambda_gateway.events.credit import Credits
from klambda_gateway.events.deliver.aws import AwsMessages
from klambda_gateway.events.deliver.function import Functions
from klambda_gateway.events.deliver.post import Post, Session
from klambda_gateway.events.deliver.sink import Sinks
from klambda_gateway.events.intake import Intake
from klambda_gateway.events.metrics import EventMetrics
from klambda_gateway.events.pressure import Pressures
from klambda_gateway.events.story import Story
from klambda_gateway.events.workers import Workers
from klambda_gateway.instances.registry import Registry
from klambda_gateway.invoke.model import InvokeAnswer, Invoker, InvokeRequest
from klambda_gateway.routing.finder import Finder
from klambda_gateway.routing.table import RoutingTable
from klambda_gateway.settings import Settings
from klambda_kube.trust import Trust
from klambda_obs.metrics import Metrics


class EventParts:
    """What one gateway has for asynchronous events."""

    def __init__(
        self,
        settings: Settings,
        key: str,
        *,
        metrics: Metrics,
        table: RoutingTable,
        finder: Finder,
        invoker: Invoker,
        admission: Admission,
        registry: Registry,
        trust: Trust = True,
    ) -> None:
        """``key``: the installation's; ``trust``: whose certificates destinations may have."""
        counted = EventMetrics(metrics)
        runs = CountedRuns(invoker)
        courtesy = Courtesy(lambda: admission.admitted - runs.count)
        self._store = StoreEvents(
            settings.store_url,
            key,
            now=never_back(),
            linger=lambda: courtesy.linger(registry.clock()),
        )
        self._session = Session(trust)
        self.intake = Intake(self._store, invoker, entry=table.get, received=counted.received)
        story = Story(
            reports=self._store,
            invoker=runs,
            known=table,
            refresh=finder.refresh,
            deliverer=self._post(settings),
            metrics=counted,
            waits=settings.events.waits,
            now=utc_now,
        )
        pressures = _pressures(table, admission, registry)
        self.workers = Workers(
            self._store,
            story.work_on,
            credits=Credits(pressures.of),
            metrics=counted,
            holder=settings.pod_name,
            learn=pressures.learn,
            courtesy=courtesy,
        )
        in_hand = self.workers.in_hand
        metrics.gauge_of("async_events_in_hand", "Events being worked on.", in_hand)

    async def close(self) -> None:
        """Close all connections."""
        await self._store.close()
        await self._session.close()

    def _post(self, settings: Settings) -> Post:
        events = settings.events
        return Post(
            functions=Functions(self.intake, region=settings.region),
            messages=AwsMessages(
                self._session, endpoints=events.endpoints, keys=events.keys, now=utc_now
            ),
            sinks=Sinks(self._session, prefixes=events.http_prefixes),
        )


class CountedRuns:
    """Runs events, and counts them: what else is admitted is synchronous."""

    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker
        self.count = 0

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        """See ``invoke.model.Invoker``."""
        self.count += 1
        return await self._invoker.invoke(request)


def _pressures(table: RoutingTable, admission: Admission, registry: Registry) -> Pressures:
    return Pressures(
        entry=table.get,
        running=admission.of_function,
        waiting=lambda deployment: len(registry.pool(deployment).waiters),
    )
