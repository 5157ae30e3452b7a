"""How many instances of a function may be started at once: pure.

Lambda starts a thousand environments of a function every ten seconds, refilled continuously, not
accrued (aws-contract f); ``spec.scaling.burstLimit`` sets another number.

Place: ``demand`` takes before each start for requests, and tells those who must do without. What
is started ahead of requests does not count. Invariants: no I/O, time comes in; a function that has
not started anything for ten seconds costs no memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BURST_S: Final = 10.0
"""So long a whole burst takes to be refilled."""

Function = tuple[str, str]


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Bursts:
    """What each function has left."""

    def __init__(self) -> None:
        self._buckets: dict[Function, _Bucket] = {}

    def take(self, function: Function, wanted: int, *, limit: int, now: float) -> int:
        """Take so many starts, or as many as there are."""
        bucket = self._buckets.get(function)
        if bucket is None:
            bucket = self._buckets[function] = _Bucket(float(limit), now)
        refilled = bucket.left + (now - bucket.at) * limit / BURST_S
        bucket.left, bucket.at = min(float(limit), refilled), now
        taken = min(wanted, int(bucket.left))
        bucket.left -= taken
        return taken

    def give_back(self, function: Function, count: int) -> None:
        """Return starts that did not come about."""
        if function in self._buckets:
            self._buckets[function].left += count

    def sweep(self, now: float) -> None:
        """Forget whoever has everything again."""
        full = [name for name, bucket in self._buckets.items() if now - bucket.at >= BURST_S]
        for name in full:
            del self._buckets[name]

    def __len__(self) -> int:
        return len(self._buckets)
