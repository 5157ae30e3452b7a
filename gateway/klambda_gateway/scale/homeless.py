"""Pods that find no node, and since when that counts: pure.

Theory. In a full cluster the leading gateway makes room (``crowding``). While none leads, as for
some seconds after the leader was killed, nobody does, so a pod's patience begins when somebody
leads again, but not for ever.

Place: ``demand`` notes pods and asks; ``crowding`` asks whom to make room for, through it.
Invariants: no I/O, time comes in. Not here: how long is too long (``starts.judge``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from klambda_gateway.instances.pods import PodFacts
from klambda_gateway.instances.record import Record

LEADERLESS_S: Final = 20.0
"""When a gateway that leads is killed, another does within so long (``klambda_kube.lease``)."""


class Homeless:
    """Those pods."""

    def __init__(self, led_since: Callable[[], float]) -> None:
        """``led_since``: since when a gateway leads, who makes room."""
        self._led_since = led_since
        self._seen: dict[str, float] = {}

    def see(self, pod: PodFacts, now: float) -> None:
        """Look at a pod that changed."""
        if pod.unschedulable and not pod.deleting:
            self._seen.setdefault(pod.uid, now)
        else:
            self.lose(pod)

    def lose(self, pod: PodFacts) -> None:
        """Forget a pod."""
        self._seen.pop(pod.uid, None)

    def since(self, uid: str) -> float:
        """Return since when a pod has looked for a node with somebody there to make room for it."""
        seen = self._seen.get(uid, 0.0)
        return min(max(seen, self._led_since()), seen + LEADERLESS_S)

    def pods(self, records: Mapping[str, Record]) -> list[tuple[PodFacts, float]]:
        """Return them, with since when."""
        found = [(records[uid].pod, self.since(uid)) for uid in self._seen if uid in records]
        return [(pod, since) for pod, since in found if pod is not None]
