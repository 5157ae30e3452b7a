"""kopf's part: four event handlers that fill the queue, and settings that keep kopf to that.

`on.event` is kopf's level-triggered half: no finalizers, no annotations, no diff base, no writes. A
handler puts the object into memory and the concerned keys into the queue; everything after that is
testable without kopf.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import kopf
from kopf import DiffBaseStorage, ProgressStorage

from klambda_core import labels
from klambda_core.kinds import DEPLOYMENT, GROUP, Kind
from klambda_kube.config import ClusterConfig
from klambda_operator.model import Key, Priority
from klambda_operator.observed import Observed
from klambda_operator.sweep import WATCHED
from klambda_operator.workqueue import WorkQueue

LIST_CHUNK = 200
REQUEST_TIMEOUT_S = 15.0
CONNECT_TIMEOUT_S = 5.0
EXIT_TIMEOUT_S = 25.0
"""Below the pod's terminationGracePeriodSeconds of 30."""


class NoProgress(ProgressStorage):
    """Stores nothing: there are no handlers with progress."""

    def fetch(self, **_: Any) -> None:
        """Nothing is known."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""

    def purge(self, **_: Any) -> None:
        """Nothing is there."""

    def touch(self, **_: Any) -> None:
        """Nothing is written."""

    def clear(self, *, essence: Any) -> Any:
        """As it is, without the deep copy that halves kopf's throughput."""
        return essence


class NoDiffBase(DiffBaseStorage):
    """Computes and stores nothing: differences are not looked at."""

    def build(self, **_: Any) -> Any:
        """An empty essence, in place of a deep copy per event."""
        return {}

    def fetch(self, **_: Any) -> None:
        """Nothing is known."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


class Intake:
    """Turns watch events into records and keys."""

    def __init__(self, observed: Observed, queue: WorkQueue[Key]) -> None:
        self._observed = observed
        self._queue = queue

    def take(self, kind: Kind, event: Mapping[str, Any]) -> None:
        """One raw event: type None (initial list), ADDED, MODIFIED, DELETED."""
        body = event["object"]
        metadata = body["metadata"]
        if event["type"] == "DELETED":
            concerned = self._observed.pop(
                kind, metadata.get("namespace", ""), metadata["name"], metadata["uid"]
            )
        else:
            concerned = self._observed.put(kind, body)
        priority = Priority.LOW if event["type"] is None else Priority.HIGH
        for key in concerned:
            self._queue.add(key, priority)


def registry(intake: Intake, config: ClusterConfig) -> kopf.OperatorRegistry:
    """All that kopf is asked to do."""
    found = kopf.OperatorRegistry()

    @kopf.on.login(id="login", registry=found)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(
            server=config.server,
            aiohttp_session=_session(config),
            default_namespace=config.namespace,
        )

    for kind in WATCHED:
        _watch(found, intake, kind)
    return found


def _watch(registry_: kopf.OperatorRegistry, intake: Intake, kind: Kind) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=registry_)
    async def changed(event: Mapping[str, Any], **_: Any) -> None:
        intake.take(kind, event)


def _session(config: ClusterConfig) -> aiohttp.ClientSession:
    """A session that asks for the token at each request, because the kubelet replaces it."""

    async def authorize(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if token := config.token.current():
            request.headers["Authorization"] = f"Bearer {token}"
        return await handler(request)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=config.tls or True),
        middlewares=(authorize,),
    )


def settings() -> kopf.OperatorSettings:
    """kopf's settings, each with its reason in design and reference."""
    found = kopf.OperatorSettings()
    found.persistence.progress_storage = NoProgress()
    found.persistence.diffbase_storage = NoDiffBase()
    found.persistence.finalizer = f"{GROUP}/operator"
    found.scanning.disabled = True
    found.peering.standalone = True
    found.posting.enabled = False
    found.watching.chunk_size = LIST_CHUNK
    found.watching.connect_timeout = CONNECT_TIMEOUT_S
    found.watching.label_selectors[
        f"{DEPLOYMENT.plural}.{DEPLOYMENT.version}.{DEPLOYMENT.group}"
    ] = labels.SELECTOR
    found.networking.connect_timeout = CONNECT_TIMEOUT_S
    found.networking.request_timeout = REQUEST_TIMEOUT_S
    found.networking.error_backoffs = [0.5, 1, 2, 4, 8]
    found.queueing.idle_timeout = 1.0
    found.process.ultimate_exiting_timeout = EXIT_TIMEOUT_S
    return found


def quieten() -> None:
    """kopf tells of every event it handed over, which is every event."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)


async def watch(
    intake: Intake,
    config: ClusterConfig,
    *,
    namespaces: Sequence[str],
    ready: Any,
    stop: Any,
) -> None:
    """Run kopf until `stop` is set; `ready` is set when its watches run."""
    quieten()
    await kopf.operator(
        registry=registry(intake, config),
        settings=settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        ready_flag=ready,
        stop_flag=stop,
    )
