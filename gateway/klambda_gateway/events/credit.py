"""How many events of each function one gateway takes at a time.

Theory. Each function has a *window*: 5 at first, one more for each event that completed, halved
when it was throttled, never above the function's limit. Its *credit* is what the window has left.
Synchronous requests go first: events take the room that those leave, and while synchronous requests
wait, only a tenth of what runs (but one at least), so that neither starves. Events that wait for an
instance ask for more of them by waiting, and a few do that as well as many: beyond half as many as
run (5 at least) no more are taken, whatever the window says; they would hold memory and the loop.

A paused function has no credit; it is known as such from the first of its events that came by.

Place: ``workers`` asks before it leases and tells what became of each event. Invariants: pure (no
clock); windows of functions with nothing in flight and nothing learnt are forgotten.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

START: Final = 5
SHARE: Final = 0.1
"""What events keep of a busy function (design/data-plane.md)."""
KEPT: Final = 10_000
"""Windows that are remembered."""

Ending = Literal["completed", "throttled", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """A function as the synchronous side sees it."""

    limit: int
    """Its reserved concurrency, or the account's limit."""
    running: int = 0
    """Invocations admitted, events included."""
    waiting: int = 0
    """Of those, the ones that wait for an instance."""
    paused: bool = False
    """Its events are to wait."""


def allowance(window: int, events: int, pressure: Pressure) -> int:
    """How many events may be in flight, when ``events`` are."""
    if pressure.paused:
        return 0
    synchronous = max(0, pressure.running - events)
    floor = max(1, math.ceil(SHARE * pressure.running))
    if pressure.waiting > events:  # more wait than events can be: requests do
        return min(window, floor)
    busy = max(0, events - pressure.waiting)
    waiting = max(START, busy // 2)
    return min(window, max(floor, pressure.limit - synchronous), busy + waiting)


class Credits:
    """The windows of one gateway."""

    def __init__(self, pressure: Callable[[str], Pressure]) -> None:
        """``pressure`` knows a function by its uid."""
        self._pressure = pressure
        self._windows: dict[str, int] = {}
        self._running: Counter[str] = Counter()
        self._paused: dict[str, None] = {}

    def of(self, uid: str) -> int:
        """How many more events of a function may be taken."""
        events = self._running[uid]
        return max(0, allowance(self._window(uid), events, self._pressure(uid)) - events)

    def all(self) -> dict[str, int]:
        """The credit of each function that something is known of."""
        for uid in [each for each in self._paused if not self._pressure(each).paused]:
            del self._paused[uid]
        return {uid: self.of(uid) for uid in {*self._windows, *self._running, *self._paused}}

    @property
    def pausing(self) -> bool:
        """Whether events of some function wait for the end of its pause."""
        return bool(self._paused)

    def took(self, uid: str) -> None:
        """An event was leased."""
        self._running[uid] += 1
        if self._pressure(uid).paused:
            self._paused[uid] = None
            while len(self._paused) > KEPT:
                del self._paused[next(iter(self._paused))]

    def ended(self, uid: str, ending: Ending) -> None:
        """An event is no longer ours."""
        self._running[uid] -= 1
        if self._running[uid] <= 0:
            del self._running[uid]
        window = self._window(uid)
        match ending:
            case "completed":
                window = min(window + 1, max(1, self._pressure(uid).limit))
            case "throttled":
                window = max(1, window // 2)
        self._windows.pop(uid, None)
        if window != START or uid in self._running:
            self._windows[uid] = window
        while len(self._windows) > KEPT:
            del self._windows[next(iter(self._windows))]

    def _window(self, uid: str) -> int:
        return self._windows.get(uid, START)
