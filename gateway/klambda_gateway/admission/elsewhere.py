"""What other gateways run of a function, as its instances tell: pure.

Place: ``concurrency`` asks for functions with reserved concurrency. Invariant: what this gateway
runs itself is not in it (its permits count that). Not here: exactness; states travel for a moment,
and what bounds a function's concurrency is how many instances it has (``scale.shares``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Slot
from klambda_gateway.instances.registry import Registry


class Elsewhere(NamedTuple):
    """Instances that run what other gateways sent."""

    running: int = 0
    completing: int = 0
    """Of those: the answer has left, the runtime is not back."""


NOTHING: Final = Elsewhere()


def elsewhere(registry: Registry, deployments: Iterable[DeploymentKey]) -> Elsewhere:
    """Count over all Deployments of a function."""
    running = completing = 0
    for key in deployments:
        pool = registry.pools.get(key)
        for record in pool.records.values() if pool is not None else ():
            if record.abroad:
                running += 1
                completing += record.slot is Slot.COMPLETING
    return Elsewhere(running, completing)
