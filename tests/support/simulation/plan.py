"""What is played, and what came of it: plain data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from klambda_core.limits import CONCURRENT_EXECUTIONS
from klambda_gateway.invoke.story import Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Closed-loop clients of one function."""

    function: str
    clients: int
    reserved: int | None = None
    think: float = 0.002
    """Mean seconds between an answer and the next request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything; ``every``: mean seconds between faults of a kind, 0 for never."""

    seed: int
    requests: int
    callers: tuple[Caller, ...]
    gateways: int = 3
    room: int = 24
    idle_seconds: float = 20.0
    account: int = CONCURRENT_EXECUTIONS
    updates_every: float = 0.0
    cuts_every: float = 0.0
    crashes_every: float = 0.0
    vanishes_every: float = 0.0
    deletions_every: float = 0.0
    kills_every: float = 0.0
    restarts_every: float = 0.0
    leaders_every: float = 0.0
    relists_every: float = 0.0
    outages_every: float = 0.0
    outage: float = 10.0
    leavers: float = 0.0
    """Share of the callers who go away before their answer."""


@dataclass(slots=True)
class Request:
    """One that is not over."""

    caller: Caller
    gateway: str
    began: float
    story: Story | None = None
    sent: list[tuple[str, float]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What there was."""

    outcomes: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    overlaps: int = 0
    doubles: int = 0
    unanswered: int = 0
    unexplained: list[str] = field(default_factory=list)
    """Failed requests that no fault explains."""
    faults: Counter[str] = field(default_factory=Counter)
    starved: float = 0.0
    """The longest wait beside an idle instance, in seconds."""
    queued: float = 0.0
    """The longest wait for any instance."""
    longest: float = 0.0
    most: dict[str, int] = field(default_factory=dict)
    """By function: the most that ran at once."""
    above: dict[str, float] = field(default_factory=dict)
    """By function: the longest time above its reservation, in seconds."""
    unreserved: int = 0
    """The most that ran at once of functions that reserve nothing."""
    seconds: float = 0.0
