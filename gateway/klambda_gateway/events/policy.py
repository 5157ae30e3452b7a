"""What becomes of an event: run it, try again when, or be done with it and how.

Theory (aws-contract c). Runs that end in a function error are *attempts*; after the first come at
most two retries, one and two minutes apart. Throttles and system errors are *backoffs*: they use
no attempt and wait 1 s, doubled up to 5 min. Before waiting we look ahead: a wait that would end
beyond the event's maximum age is not begun. Reserved concurrency 0 means: do not even try.

Place: ``story`` asks before and after an attempt, and after a failed delivery. Invariants: pure;
every path ends: in Over or Drop, or with an age that grows (a pause: when somebody ends it). Not
here: where outcomes are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SUCCESS: Final = "Success"
RETRIES_EXHAUSTED: Final = "RetriesExhausted"
AGE_EXCEEDED: Final = "EventAgeExceeded"
ZERO_RESERVED: Final = "ZeroReservedConcurrency"
RECURSION: Final = "RecursiveInvocation"
"""Ours: AWS documents no condition for loops that it stops."""
GONE: Final = "gone"
"""Only counted: the function is no more, so nobody is told."""
DROPS: Final = (RETRIES_EXHAUSTED, AGE_EXCEEDED, ZERO_RESERVED, RECURSION, GONE)
"""What an event can be given up for."""

PAUSED_S: Final = 2.0
"""How long an event of a paused function is put back for, and how often we look for its end."""
GONE_LOOKS: Final = 3
"""A function that is unknown may be news that has not come yet: so often we look again."""

Standing = Literal["here", "unsure", "unknown", "recreated"]
"""``unsure``: it is not in the table, and Kubernetes cannot be asked now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The pauses, in seconds."""

    retries: tuple[float, ...] = (60.0, 120.0)
    backoff_first: float = 1.0
    backoff_longest: float = 300.0
    deliveries: int = 12
    """How often an outcome is told in vain before that is given up: about 25 minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the function's configuration says, with Lambda's defaults."""

    retries: int = 2
    max_age: float = 21_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an event has come."""

    attempts: int
    backoffs: int
    age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the event's function is like now."""

    standing: Standing = "here"
    paused: bool = False
    reserved: int | None = None
    looping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Back into the queue."""

    delay: float
    attempts: int
    backoffs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """The last attempt is over, or there will be none."""

    condition: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Nobody is left whom it concerns."""

    reason: str


Decision = Again | Over | Drop


def before(rules: Rules, waits: Waits, progress: Progress, situation: Situation) -> Decision | None:
    """Decide before an attempt; None: run it."""
    if situation.standing == "unsure":
        return _postponed(rules, waits, progress)
    if situation.standing != "here":
        if progress.backoffs >= GONE_LOOKS:
            return Drop(reason=f"the function is {_WORDS[situation.standing]}")
        return _back_off(waits, progress)
    if situation.paused:  # whatever its age: that is judged when the pause is over
        return Again(delay=PAUSED_S, attempts=progress.attempts, backoffs=progress.backoffs)
    if situation.reserved == 0:
        return Over(condition=ZERO_RESERVED, attempts=progress.attempts)
    if situation.looping:
        return Over(condition=RECURSION, attempts=progress.attempts)
    if progress.age > rules.max_age:
        return Over(condition=AGE_EXCEEDED, attempts=progress.attempts)
    return None


def after_success(progress: Progress) -> Over:
    """Decide after a run that succeeded."""
    return Over(condition=SUCCESS, attempts=progress.attempts + 1)


def after_error(rules: Rules, waits: Waits, progress: Progress) -> Again | Over:
    """Decide after a run that ended in a function error."""
    attempts = progress.attempts + 1
    if attempts > rules.retries:
        return Over(condition=RETRIES_EXHAUSTED, attempts=attempts)
    delay = waits.retries[min(attempts, len(waits.retries)) - 1]
    if progress.age + delay > rules.max_age:
        return Over(condition=AGE_EXCEEDED, attempts=attempts)
    return Again(delay=delay, attempts=attempts, backoffs=0)


def after_refusal(rules: Rules, waits: Waits, progress: Progress, status: int) -> Again | Over:
    """Decide after the platform did not run it: throttled, failed, or not able to ever."""
    if status in (400, 413):  # the event itself: it will not get better
        return Over(condition=RETRIES_EXHAUSTED, attempts=progress.attempts)
    return _postponed(rules, waits, progress)


def after_failed_delivery(waits: Waits, progress: Progress) -> Again | None:
    """Decide after an outcome could not be told; None: give up."""
    again = _back_off(waits, progress)
    return again if again.backoffs < waits.deliveries else None


def _postponed(rules: Rules, waits: Waits, progress: Progress) -> Again | Over:
    """Back off, unless that would end beyond the event's age."""
    again = _back_off(waits, progress)
    if progress.age + again.delay > rules.max_age:
        return Over(condition=AGE_EXCEEDED, attempts=progress.attempts)
    return again


def _back_off(waits: Waits, progress: Progress) -> Again:
    doubled = waits.backoff_first * 2.0 ** min(progress.backoffs, 30)
    return Again(
        delay=min(doubled, waits.backoff_longest),
        attempts=progress.attempts,
        backoffs=progress.backoffs + 1,
    )


_WORDS: Final = {"unknown": "deleted", "recreated": "another one of the same name"}
