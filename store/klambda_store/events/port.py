"""What the HTTP side needs of whatever keeps the events.

Adapters: ``sqlite`` (one process, a file) and ``postgres`` (shared). Both promise: what ``put`` has
returned for survives a power cut; an event is leased by one holder at a time; a report under a
lease that is no longer the event's is refused; putting the same id twice keeps one event. The
caller says what time it is, so that one contract suite tests both in virtual time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from klambda_core.events import (
    Event,
    Leased,
    LeaseRequest,
    Postponement,
    QueueStats,
    Record,
    Settlement,
)

REDRIVE_ROWS: Final = 500
"""In small steps, between the others' work."""


class EventStoreError(Exception):
    """The events cannot be reached now."""


class NoSpace(EventStoreError):
    """No room for more events."""


class Corrupt(EventStoreError):
    """What is kept cannot be read; nothing is served until somebody has looked at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long settled events can be looked up, in seconds."""

    succeeded: float = 3600.0
    failed: float = 14 * 86400.0
    """As long as SQS keeps a message at most."""

    def of(self, state: str) -> float:
        """For a final state."""
        return self.succeeded if state == "succeeded" else self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a lease brought, and when the next one may bring more."""

    events: tuple[Leased, ...]
    next_due: float | None


class EventStore(Protocol):
    """The port. Every method may raise EventStoreError."""

    shared: bool
    """Whether other processes put and lease there too."""

    async def open(self) -> None:
        """Be ready. Raises Corrupt; EventStoreError when another try may help."""
        ...

    async def put(self, events: Sequence[Event], now: float) -> None:
        """Keep events, all or none. Raises NoSpace."""
        ...

    async def lease(self, request: LeaseRequest, now: float) -> Taken:
        """Hand out what is due, round robin over the functions."""
        ...

    async def renew(self, leases: Sequence[tuple[str, str]], now: float) -> set[str]:
        """Prolong (id, lease) pairs; return the ids whose lease is lost."""
        ...

    async def retry_at(self, items: Sequence[Postponement], now: float) -> set[str]:
        """Put events back, or note progress; return the ids whose lease is lost."""
        ...

    async def settle(self, items: Sequence[Settlement], now: float) -> set[str]:
        """End events; return the ids whose lease is lost."""
        ...

    async def redrive(self, function_uid: str, before: float, now: float) -> int:
        """Take up again some of what a function failed at until then; return how many."""
        ...

    async def stats(self, now: float) -> list[QueueStats]:
        """Describe the queues that are not empty."""
        ...

    async def lookup(self, namespace: str, event_id: str, now: float) -> Record | None:
        """Find an event that is queued, or was settled not too long ago."""
        ...

    async def sweep(self, now: float) -> int:
        """Forget some settled events whose time is over; return how many."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
