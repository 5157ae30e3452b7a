"""What the data plane needs to know of a revision's Deployment, taken from the watch.

Place: ``watch`` projects each Deployment; ``assignment`` reads what instances are told, ``scale``
reads and follows the replicas. Invariants: pure; the assignment is carried as the operator wrote
it. Not here: Deployments that are not ours (the watch selects by label).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from klambda_core import labels
from klambda_gateway.instances.pods import DeploymentKey


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentFacts:
    """A Deployment, in the words that matter here."""

    key: DeploymentKey
    uid: str
    resource_version: str
    replicas: int
    function: str
    """Object name of the Function."""
    assignment: str | None = None
    """JSON, as the operator rendered it."""
    deleting: bool = False
    replica_failure: str | None = None
    """Why the ReplicaSet could not create pods (quota, admission), in Kubernetes' words."""


def deployment_facts(obj: Mapping[str, Any]) -> DeploymentFacts | None:
    """Project a Deployment as the API server sends it; none when it is not of a function."""
    meta = obj.get("metadata") or {}
    function = (meta.get("labels") or {}).get(labels.FUNCTION)
    if not function:
        return None
    conditions = (obj.get("status") or {}).get("conditions") or ()
    failure = next(
        (
            each.get("message") or each.get("reason") or "unknown"
            for each in conditions
            if each.get("type") == "ReplicaFailure" and each.get("status") == "True"
        ),
        None,
    )
    return DeploymentFacts(
        key=DeploymentKey(meta["namespace"], meta["name"]),
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
        replicas=(obj.get("spec") or {}).get("replicas", 1),
        function=function,
        assignment=(meta.get("annotations") or {}).get(labels.ASSIGNMENT),
        deleting="deletionTimestamp" in meta,
        replica_failure=failure,
    )
