"""Provisioned versions over an upgrade: their requests follow when the new revision is warm. Pure.

A new runtime image (or anything else that the chart gives to pods) is a new revision of a version,
with a Deployment of its own, though nothing of the version has changed. ``status.warm`` says where
the requests of a provisioned version go: it stays while ``status.active`` moves on, both are kept,
and it follows when the new revision's instances are initialised (docs/adr/0036).

Place: ``provisioned`` collects them, ``keeper`` writes what ``settle`` says, ``routing.facts``
reads it. Invariants: no I/O; what is not provisioned says nothing; nothing waits for longer than
the patience, nor for a Deployment that is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from klambda_core.clock import kube_timestamp, parse_timestamp
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import Serving, Warm
from klambda_gateway.routing.table import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A version of which something is kept, or which still says so."""

    namespace: str
    name: str
    active: Serving
    warm: Warm | None
    count: int
    """Instances that are kept where its requests go."""

    @property
    def old(self) -> DeploymentKey | None:
        """Where its requests go, when that is not the active Deployment."""
        if self.warm is None or self.warm.deployment == self.active.deployment:
            return None
        return DeploymentKey(self.namespace, self.warm.deployment)

    @property
    def new(self) -> DeploymentKey:
        """The active Deployment."""
        return DeploymentKey(self.namespace, self.active.deployment)


def renewals(entry: Entry, counts: Mapping[DeploymentKey, int]) -> Iterator[Renewal]:
    """Those of one function; ``counts``: what is kept of each Deployment."""
    for _, version in sorted(entry.versions.items()):
        if version.serving is None or version.place is None:
            continue
        key = DeploymentKey(version.namespace, version.place.deployment)
        count = counts.get(key, 0)
        if count or version.warm is not None:
            yield Renewal(
                namespace=version.namespace,
                name=version.name,
                active=version.serving,
                warm=version.warm,
                count=count,
            )


def settle(
    renewal: Renewal, *, available: int, gone: bool, now: datetime, patience: float
) -> Warm | None:
    """Say where the requests go; ``available``: initialised instances of the active Deployment.

    ``gone``: there is no Deployment any more where they go now.
    """
    if not renewal.count:
        return None
    warm, active = renewal.warm, renewal.active
    here = Warm(deployment=active.deployment, revision=active.revision)
    if warm is None or renewal.old is None or gone or available >= renewal.count:
        return here
    began = parse_timestamp(warm.since) if warm.since is not None else now
    if began is None or now - began >= timedelta(seconds=patience):
        return here
    since = warm.since or kube_timestamp(now)
    return Warm(deployment=warm.deployment, revision=warm.revision, since=since)
