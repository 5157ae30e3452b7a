"""What the data plane needs to know of an instance's pod, taken from the watch.

Place: ``watch`` projects each Pod to ``PodFacts`` at once (a whole Pod is 5-10 KiB of JSON);
``record``, ``scale`` and the handshake read it. Invariants: pure; never fails on what a cluster
may hold. Not here: what follows from the facts (``record``, ``scale.starts``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from klambda_core.labels import STARTER

LABEL_DEPLOYMENT: Final = "klambda.io/deployment"
_ENDED: Final = ("Succeeded", "Failed")
_QUANTITY: Final = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[A-Za-z]*)")
_CPU: Final = {"": 1000.0, "m": 1.0}
_MEMORY: Final = {"Ki": 1 / 1024, "Mi": 1.0, "Gi": 1024.0, "": 1 / (1 << 20)}


class DeploymentKey(NamedTuple):
    """Names one Deployment: one revision of one version of a function."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """A pod, in the words that matter here."""

    namespace: str
    name: str
    uid: str
    deployment: str
    bound: bool = False
    """It has a node."""
    addresses: tuple[str, ...] = ()
    ready: bool = False
    ended: bool = False
    """Phase Succeeded or Failed (evicted pods too)."""
    restarts: int = 0
    deleting: bool = False
    waiting: str | None = None
    """Why the container waits: ``ImagePullBackOff``, ``CrashLoopBackOff``, …"""
    terminated: str | None = None
    """Why the container ended last: ``OOMKilled``, ``Error``, …"""
    unschedulable: bool = False
    message: str | None = None
    """The kubelet's or scheduler's sentence for ``waiting`` or ``unschedulable``."""
    deletion_cost: str | None = None
    cpu: int = 0
    """Thousandths of a CPU that it requests."""
    memory: int = 0
    """MiB that it requests."""

    bare: bool = False
    """No ReplicaSet made it: it goes when it is deleted, and is not made again."""

    @property
    def key(self) -> DeploymentKey:
        """The Deployment it belongs to."""
        return DeploymentKey(self.namespace, self.deployment)

    @property
    def spoilt(self) -> bool:
        """It can never be capacity (again)."""
        return self.ended or self.restarts > 0 or self.deleting


def pod_facts(pod: Mapping[str, Any]) -> PodFacts | None:
    """Project a Pod as the API server sends it; none when it is no instance of ours."""
    meta = pod.get("metadata") or {}
    labels = meta.get("labels") or {}
    deployment = labels.get(LABEL_DEPLOYMENT)
    if not deployment:
        return None
    status = pod.get("status") or {}
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    waiting = (container.get("state") or {}).get("waiting") or {}
    scheduled = _condition(status, "PodScheduled")
    unschedulable = scheduled.get("reason") == "Unschedulable"
    requests = _requests(pod.get("spec") or {})
    return PodFacts(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        deployment=deployment,
        bound=bool((pod.get("spec") or {}).get("nodeName")),
        addresses=tuple(each["ip"] for each in status.get("podIPs") or () if each.get("ip")),
        ready=_condition(status, "Ready").get("status") == "True",
        ended=status.get("phase") in _ENDED,
        restarts=container.get("restartCount", 0),
        deleting="deletionTimestamp" in meta,
        waiting=waiting.get("reason"),
        terminated=_terminated(container),
        unschedulable=unschedulable,
        message=scheduled.get("message") if unschedulable else waiting.get("message"),
        deletion_cost=(meta.get("annotations") or {}).get(
            "controller.kubernetes.io/pod-deletion-cost"
        ),
        cpu=_amount(requests.get("cpu"), _CPU),
        memory=_amount(requests.get("memory"), _MEMORY),
        bare=STARTER in labels,
    )


def _requests(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    container: Mapping[str, Any] = next(iter(spec.get("containers") or ()), {})
    requests: Mapping[str, Any] = (container.get("resources") or {}).get("requests") or {}
    return requests


def _amount(text: object, units: Mapping[str, float]) -> int:
    """Read a quantity as the operator writes it; one of another spelling counts as nothing."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None or found["unit"] not in units:
        return 0
    return round(float(found["number"]) * units[found["unit"]])


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})


def _terminated(container: Mapping[str, Any]) -> str | None:
    for state in ("state", "lastState"):
        reason = ((container.get(state) or {}).get("terminated") or {}).get("reason")
        if reason:
            return str(reason)
    return None
