"""Which Deployments keep a minimum of instances: an index, so that a tick walks no others. Pure.

Place: the routing table's swaps come in by ``changed``; the leader's tick asks. Invariants: the
minimum is of ``$LATEST`` (versions and aliases have provisioned concurrency), and never more than
the function may run at once: reserved concurrency 0 stops it.
"""

from __future__ import annotations

from collections.abc import Collection

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.table import Entry


class Minimums:
    """All of them."""

    def __init__(self) -> None:
        self._wanted: dict[DeploymentKey, int] = {}

    def changed(self, before: Entry | None, after: Entry | None) -> None:
        """Follow a function's entry in the routing table."""
        for entry in (before, after):
            key = _latest(entry)
            if key is not None:
                self._wanted.pop(key, None)
        key = _latest(after)
        if after is not None and key is not None:
            wanted = min(after.function.scaling.minimum, after.function.at_once)
            if wanted:
                self._wanted[key] = wanted

    def of(self, key: DeploymentKey) -> int:
        """Return how many instances of a Deployment stay though idle."""
        return self._wanted.get(key, 0)

    def deployments(self) -> Collection[DeploymentKey]:
        """Return the Deployments that have a minimum."""
        return self._wanted.keys()


def _latest(entry: Entry | None) -> DeploymentKey | None:
    if entry is None or entry.function.serving is None:
        return None
    return DeploymentKey(entry.function.namespace, entry.function.serving.deployment)
