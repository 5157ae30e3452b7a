"""Keeping instances and letting them go: a pure function of one Deployment's numbers and the time.

    idle too long (or superseded) ─► drain if idle ─► done ─► cheap to delete ─► fewer replicas
    fewer than the minimum, or fewer provisioned ones than wanted ─► start what is missing

Place: the leader's ``scaler`` gathers a ``Window`` per Deployment each tick and carries the
``Targets`` out. Invariants: pure; nothing that runs or may run something is ever let go; replicas
go down by what is done for, and only while nothing is starting (a ReplicaSet kills pods that are
not Ready first, whatever their cost, and our freshest busy ones are not Ready for their first
second); never below the minimum, nor below what is provisioned: those that were started ahead are
kept, the most recently used of them, and one whose runtime could not start is replaced after a
while. Deciding twice on the same numbers asks for nothing twice.
Not here: starting for requests (``starts``): that cannot wait for a tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ASK_AGAIN_S: Final = 5.0
"""A drain that was neither confirmed nor refused by then is asked for again."""
REPLACE_S: Final = 30.0
"""So long after a failed INIT a provisioned instance is replaced: the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """An instance that does nothing, and since when."""

    uid: str
    since: float
    provisioned: bool = False
    """It was started ahead."""
    broken: bool = False
    """Its runtime could not be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What there is of one Deployment now."""

    replicas: int
    pods: int
    """Those that its ReplicaSet counts."""
    waiting: int = 0
    running: int = 0
    idle: tuple[Idle, ...] = ()
    done: tuple[str, ...] = ()
    """Run nothing and never will: drained, failed, or restarted."""
    ended: tuple[str, ...] = ()
    """Dead pods that are replaced already."""
    absent: tuple[Idle, ...] = ()
    """Pods that have not dialled in, with when they were first seen."""
    bare: int = 0
    """Pods that no replicas stand for, beside those; ``running`` and ``idle`` count them too."""
    bare_done: tuple[str, ...] = ()
    bare_absent: tuple[Idle, ...] = ()
    ready: bool = True
    """All that serve are Ready: deletion costs will be honoured."""
    starting: bool = False
    """A start that this gateway asked for is on its way."""
    provisioned: int = 0
    """Instances that were started ahead and can serve."""
    coming: int = 0
    """Replicas of which it is not known yet what they were started for."""
    failing: bool = False
    """Starts have just failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What is wanted."""

    idle_seconds: float
    minimum: int = 0
    """So many stay, and are started when there are fewer."""
    provisioned: int = 0
    """So many are started ahead and kept."""
    superseded: bool = False
    """No function is served from it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the next decision must remember."""

    drains: Mapping[str, float] = field(default_factory=dict)
    """Asked and not seen done yet: instance → when."""
    short_since: float | None = None
    """Since when there are fewer pods than wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What to do now."""

    drain: tuple[str, ...] = ()
    """Longest idle first."""
    delete: tuple[str, ...] = ()
    release: tuple[str, ...] = ()
    """Pods to make cheap to delete before lowering."""
    replicas: int | None = None
    """Lower to this, after ``release``."""
    start: int = 0
    """So many more, ahead of requests."""


def decide(window: Window, spec: Spec, now: float, state: State) -> tuple[Targets, State]:
    """Decide for one Deployment."""
    drain = _drain(window, spec, now, state)
    idle = {each.uid for each in window.idle}
    drains = {uid: at for uid, at in state.drains.items() if uid in idle}
    drains.update(dict.fromkeys(drain, now))
    short = window.pods < window.replicas
    since = (now if state.short_since is None else state.short_since) if short else None
    start = _start(window, spec, drains)
    replicas, release = (None, ()) if start else _lower(window, spec, now, since)
    delete = (*window.ended, *window.bare_done, *_given_up(window, spec, now))
    targets = Targets(drain=drain, delete=delete, release=release, replicas=replicas, start=start)
    return targets, State(drains=drains, short_since=since)


def _drain(window: Window, spec: Spec, now: float, state: State) -> tuple[str, ...]:
    """Return the idle ones to ask, longest idle first, keeping the minimum."""
    if window.waiting and not spec.superseded:
        return ()
    asked = {uid for uid, at in state.drains.items() if now - at < ASK_AGAIN_S}
    pending = sum(1 for each in window.idle if each.uid in asked)
    spare = window.running + len(window.idle) - pending
    if not spec.superseded:
        spare -= spec.minimum
    off = asked | _kept(window, spec, asked)
    ripe = [
        each
        for each in window.idle
        if now - each.since >= _patience(each, spec) and each.uid not in off
    ]
    ripe.sort(key=lambda each: each.since)
    return tuple(each.uid for each in ripe[: max(0, spare)])


def _given_up(window: Window, spec: Spec, now: float) -> tuple[str, ...]:
    """Return the bare pods that did not dial in, and that nobody waits for any more."""
    if _needed(window, spec):
        return ()
    patience = 0.0 if spec.superseded else spec.idle_seconds
    return tuple(each.uid for each in window.bare_absent if now - each.since >= patience)


def _needed(window: Window, spec: Spec) -> bool:
    """Tell whether somebody waits for what is on its way."""
    wanted = window.waiting > 0 or spec.provisioned > window.provisioned
    return wanted and not spec.superseded


def _patience(idle: Idle, spec: Spec) -> float:
    if spec.superseded:
        return 0.0
    return REPLACE_S if idle.broken and spec.provisioned else spec.idle_seconds


def _kept(window: Window, spec: Spec, asked: set[str]) -> set[str]:
    """Return the idle ones that are kept provisioned: the most recently used."""
    if spec.superseded:
        return set()
    ahead = [each for each in window.idle if each.provisioned]
    sound = [each for each in ahead if not each.broken and each.uid not in asked]
    sound.sort(key=lambda each: each.since, reverse=True)
    busy = window.provisioned - len(ahead)
    return {each.uid for each in sound[: max(0, spec.provisioned - busy)]}


def _start(window: Window, spec: Spec, drains: Mapping[str, float]) -> int:
    """Return how many to start ahead; what is on its way for requests will do as well."""
    if spec.superseded or window.failing:
        return 0
    leaving = sum(1 for each in window.idle if each.provisioned and each.uid in drains)
    ahead = spec.provisioned - (window.provisioned - leaving) - window.coming
    return max(0, ahead, spec.minimum - (_alive(window) - len(window.done)))


def _alive(window: Window) -> int:
    return window.replicas + window.bare - len(window.bare_done)


def _lower(
    window: Window, spec: Spec, now: float, short_since: float | None
) -> tuple[int | None, tuple[str, ...]]:
    """Return what to lower replicas to, and by which pods."""
    if window.starting or not window.ready:
        return None, ()
    patience = 0.0 if spec.superseded else spec.idle_seconds
    bare = window.bare - len(window.bare_done)
    floor = 0 if spec.superseded else max(0, spec.minimum - bare)
    needed = _needed(window, spec)
    if short_since is not None:
        # What could not be made (quota) and nobody waits for is not wanted any more.
        given_up = not needed and now - short_since >= spec.idle_seconds
        return (max(floor, window.pods), ()) if given_up and window.pods >= floor else (None, ())
    if window.pods > window.replicas:
        return None, ()  # the ReplicaSet is still deleting
    stale = tuple(each.uid for each in window.absent if now - each.since >= patience)
    if window.absent and (needed or len(stale) < len(window.absent)):
        return None, ()  # another gateway's start: it would be killed first
    release = (*window.done, *stale)[: max(0, window.replicas - floor)]
    return (window.replicas - len(release), release) if release else (None, ())
