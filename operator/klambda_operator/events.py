"""Kubernetes Events, made from condition transitions and from nothing else.

Telling is best effort: an event that cannot be written is logged, never retried, and never fails a
reconcile.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from klambda_core.clock import kube_timestamp
from klambda_core.conditions import Transition
from klambda_core.crd.base import KubeObject
from klambda_core.kinds import EVENT, Kind
from klambda_core.labels import MANAGER_OPERATOR
from klambda_kube.errors import KubeError
from klambda_obs.logs import Logger
from klambda_operator import reasons
from klambda_operator.model import Broken

_SAY = {
    reasons.READY: "Instances of the newest revision can be started.",
}


class Creator(Protocol):
    """What events need of `klambda_kube.api.Api`."""

    async def create(
        self, kind: Kind, namespace: str | None, body: dict[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        """As `Api` has it."""


class EventRecorder:
    """Writes Events about our objects."""

    def __init__(self, api: Creator, *, instance: str, log: Logger) -> None:
        self._api = api
        self._instance = instance
        self._log = log

    async def tell(
        self, subject: KubeObject | Broken, transitions: Sequence[Transition], now: datetime
    ) -> None:
        """One Event per transition."""
        for transition in transitions:
            body = event(subject, transition, now, self._instance)
            try:
                await self._api.create(
                    EVENT, subject.metadata.namespace, body, field_manager=MANAGER_OPERATOR
                )
            except KubeError as error:
                self._log.warning("event-not-written", object=body["involvedObject"], error=error)


def event(
    subject: KubeObject | Broken, transition: Transition, now: datetime, instance: str
) -> dict[str, Any]:
    """The Event of one transition; its name follows from it, so that a repetition is a 409."""
    condition = transition.condition
    metadata = subject.metadata
    kind = subject.kind if isinstance(subject, Broken) else subject.DEFINITION.kind
    stamp = kube_timestamp(now)
    identity = f"{metadata.uid} {condition.type} {condition.reason} {stamp}"
    suffix = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return {
        "metadata": {"name": f"{metadata.name}.{suffix}", "namespace": metadata.namespace},
        "involvedObject": {
            **kind.reference(metadata.name),
            "namespace": metadata.namespace,
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version or "",
        },
        "type": "Normal" if _is_good(transition) else "Warning",
        "reason": condition.reason if condition.reason != reasons.OK else condition.type,
        "message": condition.message or _SAY.get(condition.type, f"{condition.type} is over."),
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
        "source": {"component": MANAGER_OPERATOR},
        "reportingComponent": MANAGER_OPERATOR,
        "reportingInstance": instance,
    }


def _is_good(transition: Transition) -> bool:
    condition = transition.condition
    wanted = "True" if condition.type == reasons.READY else "False"
    return condition.status == wanted or condition.type == reasons.RUNTIME_SUBSTITUTED
