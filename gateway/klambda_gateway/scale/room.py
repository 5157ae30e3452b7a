"""Who gives way when the cluster is full: a pure choice of idle instances.

    pods that find no node ─► what they lack, less what is being given up already
    ─► idle instances of other functions, least recently used first, until that is covered

Place: the leader's tick asks (``crowding`` gathers); those chosen are drained like any idle one.
Invariants: pure; nobody gives way for a pod that room would not help (larger than any node, or kept
away by something else than room), nor for longer than requests wait; never a provisioned instance,
never one of a function with requests waiting, never one that was in use a moment ago. Nobody gives
way for surplus pods alone; when others need room, it is counted for the surplus ones, too, which
the scheduler may take first, and their function gives way like any other.
Not here: whether the freed room is on one node: that is the scheduler's, who looks again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

IN_USE_S: Final = 1.0
"""An instance that ran something so recently is not idle in this sense."""
CPU: Final = "cpu"
MEMORY: Final = "memory"
PODS: Final = "pods"
_LACKS: Final = {
    "Insufficient cpu": CPU,
    "Insufficient memory": MEMORY,
    "Too many pods": PODS,
}
"""The scheduler's words."""
_NO_HELP: Final = "Preemption is not helpful for scheduling"
_MAY_HELP: Final = ("No preemption victims found", "not eligible")


@dataclass(frozen=True, slots=True, kw_only=True)
class Homeless:
    """A pod that finds no node."""

    function: tuple[str, str]
    since: float
    message: str
    cpu: int
    memory: int
    surplus: bool = False
    """Its function has idle instances to spare: more waited when it was asked for than do now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """An idle instance."""

    uid: str
    function: tuple[str, str]
    since: float
    cpu: int
    memory: int


def lacks(message: str) -> frozenset[str]:
    """Return what a pod lacks, by the scheduler's message; empty when room would not help."""
    if _NO_HELP in message and not any(each in message for each in _MAY_HELP):
        return frozenset()  # on every node: more than it has at all
    return frozenset(what for words, what in _LACKS.items() if words in message)


def give_way(
    homeless: Iterable[Homeless],
    guests: Iterable[Guest],
    leaving: Iterable[Guest],
    *,
    now: float,
    patience: float,
) -> tuple[str, ...]:
    """Return whom to drain, least recently used first."""
    need: Counter[str] = Counter()
    hosts: set[tuple[str, str]] = set()
    for pod in homeless:
        if now - pod.since < patience:
            wants = lacks(pod.message)
            hosts.update({pod.function} if wants and not pod.surplus else ())
            need.update({what: of for what, of in _size(pod).items() if what in wants})
    if not hosts:
        return ()
    for each in leaving:
        need.subtract({what: of for what, of in _size(each).items() if what in need})
    chosen = []
    for guest in sorted(guests, key=lambda each: each.since):
        if guest.function in hosts or now - guest.since < IN_USE_S:
            continue
        gives = {what: of for what, of in _size(guest).items() if need[what] > 0}
        if gives:
            need.subtract(gives)
            chosen.append(guest.uid)
    return tuple(chosen)


def _size(pod: Homeless | Guest) -> dict[str, int]:
    return {CPU: pod.cpu, MEMORY: pod.memory, PODS: 1}
