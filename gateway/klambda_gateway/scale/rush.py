"""Whether starts by replicas would queue behind the controller-manager: pure.

Its client may write 20 times a second (30 at once) by default, in the whole cluster; a start from
zero costs the Deployment's and the ReplicaSet's controllers four writes beside the pods. This is a
model of that budget: as long as it lasts, starts go by replicas; what is beyond it would wait.

Place: ``starters`` asks before each start. Invariants: no I/O, time comes in. What other gateways
and everybody else write there is not known here: the budget is taken for half as large as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WRITES_BESIDE: Final = 4
"""Scaling the ReplicaSet, and the two controllers' status of it (measured: docs/adr/0029)."""
BURST: Final = 1.5
"""How much of a second's writes may come at once: the controller-manager's default is 30 of 20."""
SHARE: Final = 0.5


@dataclass(slots=True)
class Rush:
    """The budget that is left."""

    rate: float
    """Writes a second that the controller-manager may make; 0: starts never queue there."""
    _left: float = -1.0
    _at: float = 0.0

    def queues(self, count: int, now: float) -> bool:
        """Tell whether so many starts of a Deployment would wait; if not they are booked."""
        if not self.rate:
            return False
        rate = self.rate * SHARE
        most = rate * BURST
        refilled = most if self._left < 0 else self._left + (now - self._at) * rate
        self._left, self._at = min(most, refilled), now
        cost = WRITES_BESIDE + count
        if cost > self._left:
            return True
        self._left -= cost
        return False
