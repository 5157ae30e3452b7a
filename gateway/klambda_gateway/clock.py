"""Times of day that a clock which is set does not upset.

Place: what another process judges by its own clock (tickets for the store), and what must be as old
as it seems (blobs before they are swept). Durations are the event loop's; signatures of callers are
judged by the clock as it stands, as AWS does. Not here: either of those.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def steady() -> Callable[[], float]:
    """The time of day, which nobody can put forward: a day must be a day before blobs go."""
    began = time.time() - time.monotonic()
    return lambda: began + time.monotonic()


def never_back() -> Callable[[], float]:
    """The time of day, which nobody can put back: what is made to last a while, lasts it."""
    unmoved = steady()
    return lambda: max(time.time(), unmoved())
