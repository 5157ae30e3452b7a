"""How events give way to synchronous requests: the more of those come, the slower events begin.

Theory. Both share one loop, which serves in order of arrival: all that events have made ready
stands before a request that comes now. So events are taken in small groups, and while synchronous
requests come the groups are kept apart, and reports are gathered into fewer requests to the store.
Beside a few requests an event may begin each millisecond, beside many each 4 ms: about a tenth of
the loop's time, which events keep (design/data-plane.md).

Place: ``workers`` ask before and after they lease, ``client`` before it reports. Invariants: pure
(time is an argument); after ``SPAN_S`` without synchronous requests events have the loop to
themselves. Not here: instances and concurrency (``credit``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

GROUP: Final = 64
"""Events taken at once when nobody else is there: decoding more would hold the loop too long."""
SMALL_GROUP: Final = 8
SPAN_S: Final = 0.5
"""The rate of synchronous requests is counted over this time."""
MANY: Final = 500.0
"""Synchronous requests a second beside which events are slowest."""
PACE_FIRST_S: Final = 0.001
PACE_LONGEST_S: Final = 0.004


class Courtesy:
    """What one gateway's events leave to others."""

    def __init__(self, begun: Callable[[], int] = lambda: 0) -> None:
        """``begun``: how many synchronous invocations have begun so far."""
        self._begun = begun
        self._count = 0
        self._since = float("-inf")
        self._rate = 0.0

    def group(self, now: float) -> int:
        """How many events may be taken at once."""
        return SMALL_GROUP if self.pace(now) else GROUP

    def pause(self, events: int, now: float) -> float:
        """How long to wait after so many were taken."""
        return events * self.pace(now)

    def linger(self, now: float) -> float:
        """How long a report may wait for others to go along."""
        return SMALL_GROUP * self.pace(now)

    def pace(self, now: float) -> float:
        """Seconds from event to event; 0: as fast as they go."""
        count = self._begun()
        passed = now - self._since
        if passed >= SPAN_S:
            self._rate = max(0.0, (count - self._count) / min(passed, 1e6))
            self._count, self._since = count, now
        rate = max(self._rate, (count - self._count) / SPAN_S)
        if rate <= 0:
            return 0.0
        return PACE_FIRST_S + (PACE_LONGEST_S - PACE_FIRST_S) * min(1.0, rate / MANY)
