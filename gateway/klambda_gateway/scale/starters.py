"""Both starters behind one port: replicas, and bare Pods for what would queue behind them.

Place: ``demand`` starts through it; the leader lowers replicas (``starter``) and deletes bare Pods
(``decide``) whoever made them. Invariants: what cannot be made as a Pod is asked for as replicas,
so that a quota, a policy or a missing right has the ordinary words and the ordinary back-off; what
must not be more than so many is asked for as replicas, whose writes see each other.
"""

from __future__ import annotations

from collections.abc import Callable

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.scale.bare import PodStarter
from klambda_gateway.scale.demand import Replicas
from klambda_gateway.scale.rush import Rush


class Starters:
    """Chooses."""

    def __init__(
        self,
        replicas: Replicas,
        pods: PodStarter,
        rush: Rush,
        *,
        bare: Callable[[DeploymentKey], int],
        now: Callable[[], float],
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``bare``: how many bare Pods a Deployment has; ``count`` is told of those made."""
        self._replicas = replicas
        self._pods = pods
        self._rush = rush
        self._bare = bare
        self._now = now
        self._count = count

    def replicas(self, key: DeploymentKey) -> int:
        """Return how many instances there are or shall be, either way."""
        return self._replicas.replicas(key) + self._bare(key)

    async def start(self, key: DeploymentKey, count: int, *, ceiling: int | None = None) -> int:
        """Start so many more; see ``starter.Starter``."""
        if ceiling is not None:
            return await self._replicas.start(key, count, ceiling=ceiling - self._bare(key))
        made = 0
        if self._rush.queues(count, self._now()):
            made = await self._pods.start(key, count)
            self._count(made)
        if made < count:
            made += await self._replicas.start(key, count - made)
        return made

    async def lower(self, key: DeploymentKey, *, from_replicas: int, to_replicas: int) -> bool:
        """Lower replicas; see ``starter.Starter``."""
        return await self._replicas.lower(key, from_replicas=from_replicas, to_replicas=to_replicas)
