"""What other gateways run of a function, as its instances tell: pure.

Place: ``concurrency`` asks for functions with reserved concurrency. Invariant: what this gateway
runs itself is not in it (its permits count that). Not here: exactness; states travel for a moment,
and what bounds a function's concurrency is how many instances it has (``scale.shares``).
"""

from __future__ import annotations

from collections.abc import Iterable

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.registry import Registry


def elsewhere(registry: Registry, deployments: Iterable[DeploymentKey]) -> int:
    """Count the instances of a function, in all its Deployments, that others' runs occupy."""
    return sum(
        record.abroad
        for key in deployments
        if (pool := registry.pools.get(key)) is not None
        for record in pool.records.values()
    )
