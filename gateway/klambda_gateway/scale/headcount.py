"""An account's concurrency limit bounds starts, too: pure.

While functions are cold nobody tells of runs, and each gateway would let in as many as the account
has. So what may be started of functions that share the account's pool is the pool less what runs
and what is on its way, at all gateways: replicas are known to all within milliseconds, long before
their instances call. Idle instances do not count: on Lambda they cost nothing, and here they give
way only in a full cluster.

Place: ``demand`` asks before each start. Not here: functions with a reservation (``shares``), who
may wait (``admission``).
"""

from __future__ import annotations

from collections.abc import Callable

from klambda_gateway.admission.unreserved import Unreserved
from klambda_gateway.instances.family import Families
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.registry import InstancePool, Registry


class Headcount:
    """The bound."""

    def __init__(
        self,
        registry: Registry,
        unreserved: Unreserved,
        *,
        families: Families,
        replicas: Callable[[DeploymentKey], int],
    ) -> None:
        """``replicas``: how many instances Kubernetes is told to keep."""
        self._registry = registry
        self._unreserved = unreserved
        self._families = families
        self._replicas = replicas

    def room(self, key: DeploymentKey, wanted: int) -> int:
        """Return how many of the wanted instances of a Deployment its account has room for."""
        if self._reserves(key):
            return wanted
        account = key.namespace
        left = self._unreserved.of(account) - wanted
        pools = [pool for pool in self._registry if pool.key.namespace == account]
        if sum(max(len(pool.records), self._replicas(pool.key)) for pool in pools) <= left:
            return wanted
        taken = sum(self._taken(pool) for pool in pools if not self._reserves(pool.key))
        return max(0, min(wanted, left + wanted - taken))

    def _reserves(self, key: DeploymentKey) -> bool:
        function = self._families.function_of(key)
        return function is not None and self._unreserved.reserves(function)

    def _taken(self, pool: InstancePool) -> int:
        running = sum(1 for record in pool.records.values() if record.running)
        arrived = sum(1 for record in pool.pods() if record.boot is not None)
        return running + max(0, self._replicas(pool.key) - arrived)
