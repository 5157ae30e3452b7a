"""How many starts the requests that wait are worth: pure.

Lambda gives each waiting request an environment of its own. A start costs a quarter of a
CPU-second and takes hundreds of milliseconds; in that time one instance runs a hundred requests of
two milliseconds. So requests that are short against a start share instances, as long as none waits
noticeably longer for it; from ``SHARE_WITHIN_S`` on, Lambda's rule holds.

    worth = waiting                                                  long runs (≥ SHARE_WITHIN_S)
          = min(waiting, max(AT_ONCE, standing))                     unknown, or a queue that stalls
          = min(waiting, ⌈waiting x duration / SHARE_WITHIN_S⌉ - serving)   else (the first always)

A run that goes on says how long runs are, too: it stands when it has lasted ``STALLED_S``. What
stands when no other run ends bears out as many starts as it is: 10, 20, 40, 80.

An idle instance says within a millisecond or two that it has begun. One that has said nothing for
``SILENT_S`` may be beyond a connection that broke without a word, which the kernel finds out in
20 s; until it speaks it does not count as one that serves.

Place: ``demand`` asks before each start; durations come from the ``end`` of each run.
Invariants: never more than wait; somebody who waits is worth a start when nothing serves; a queue
that does not move gets more, whatever was measured before; what has just started proves nothing.
Not here: what is already on its way (``starts``), letting go (``decide``).
"""

from __future__ import annotations

from math import ceil
from typing import Final

SHARE_WITHIN_S: Final = 0.125
"""What requests in a queue may wait for each other: a small part of a start."""
STALLED_S: Final = 0.25
"""A queue stalls when a run has lasted so long and none has made room for so long."""
SILENT_S: Final = 0.5
"""Twice as long, because the gateway itself may have been held up."""
AT_ONCE: Final = 10
"""Starts on their way for a function that has never run here, or whose short runs stand still: the
next answers tell the rest."""
FUNCTIONS_LIMIT: Final = 10_000
_FASTER, _SLOWER = 0.5, 0.05
"""Weight of a run below, above the mean: what a run can do counts. On a crowded node all runs get
slower, and more starts would crowd it more; a function that did become slow stalls its queue."""


def worth(
    *, waiting: int, serving: int, duration: float | None, standing: int, stalled: bool
) -> int:
    """Return how many starts should be on their way.

    ``duration``: of one run, in seconds; None when unknown. ``serving``: instances that have
    dialled in and are not silent. ``standing``: those whose run lasts long. ``stalled``: some
    stand, and nobody in the queue got an instance after somebody else for a while.
    """
    if duration is not None and duration >= SHARE_WITHIN_S:
        return waiting
    if duration is None or stalled:
        return min(waiting, max(AT_ONCE, standing))
    least = 1 if waiting and not serving else 0
    enough = ceil(waiting * duration / SHARE_WITHIN_S)
    return max(least, min(waiting, enough - serving))


class Durations:
    """How long runs of each function take: a moving mean, leaning to the fast; over revisions."""

    def __init__(self) -> None:
        self._means: dict[tuple[str, str], float] = {}

    def note(self, function: tuple[str, str], seconds: float) -> None:
        """Take in a run."""
        before = self._means.get(function)
        if before is None:
            if len(self._means) >= FUNCTIONS_LIMIT:
                del self._means[next(iter(self._means))]
            self._means[function] = seconds
        else:
            weight = _FASTER if seconds < before else _SLOWER
            self._means[function] = before + weight * (seconds - before)

    def of(self, function: tuple[str, str]) -> float | None:
        """Return the mean in seconds; None for a function that has never run here."""
        return self._means.get(function)
