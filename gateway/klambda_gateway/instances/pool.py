"""One Deployment's instances and those who wait for one: who gets which.

Rules: an idle instance, of the provisioned ones first, most recently used first, so that the rest
can age and go; else a starting one, longest connected first (init holds the request until INIT is
over); else wait, first come first served, for whatever comes first: a freed instance or a started
one. Those whom a caller waits for go before asynchronous events, which get every tenth instance all
the same.

Place: ``registry`` files records here after each piece of evidence; ``instances.acquire`` waits.
Invariants: pure; an instance is handed out at most once until its attempt is over; no waiter waits
while an instance is free or holdable (``match`` runs after each change).
Not here: asking for starts (``scale.starts``), futures, frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, Protocol, TypeVar

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record


class Waits(Protocol):
    """Who waits for an instance: all that a pool must know of it."""

    @property
    def attempt(self) -> str:
        """The id of the attempt it will send; unique."""
        ...

    @property
    def patient(self) -> bool:
        """Whether nobody waits for the answer."""
        ...


SHARE: Final = 10
"""Of so many instances that are handed out, one goes to whoever came first (data-plane.md)."""

W = TypeVar("W", bound=Waits)


class Pool(Generic[W]):
    """Records by what they can take now, and the queue."""

    __slots__ = (
        "granted", "holdable", "idle", "idle_ahead", "key", "moved", "records", "urgent", "waiters",
    )  # fmt: skip

    def __init__(self, *, key: DeploymentKey) -> None:
        self.key = key
        self.records: dict[str, Record] = {}
        self.idle: dict[str, Record] = {}
        """Most recently used last."""
        self.idle_ahead: dict[str, Record] = {}
        """Likewise, of those that were started ahead."""
        self.holdable: dict[str, Record] = {}
        """Longest connected first."""
        self.waiters: dict[str, W] = {}
        """By attempt, first come first."""
        self.urgent: dict[str, W] = {}
        """Of those, the ones that are not patient."""
        self.granted = 0
        self.moved = 0.0
        """When somebody in the queue last got an instance that others had before."""

    def take(self, attempt: str) -> Record | None:
        """Hand an instance to this attempt, if there is one now."""
        if self.idle_ahead:
            _, record = self.idle_ahead.popitem()
        elif self.idle:
            _, record = self.idle.popitem()
        elif self.holdable:
            record = self.holdable.pop(next(iter(self.holdable)))
        else:
            return None
        record.dispatch(attempt)
        return record

    def file(self, record: Record) -> None:
        """Sort a record in by what it can take now; call it after each piece of evidence."""
        idle, other = self.idle, self.idle_ahead
        if record.provisioned:
            idle, other = other, idle
        other.pop(record.uid, None)
        if record.free:
            self.holdable.pop(record.uid, None)
            idle.setdefault(record.uid, record)
        else:
            idle.pop(record.uid, None)
            if record.holdable:
                self.holdable.setdefault(record.uid, record)
            else:
                self.holdable.pop(record.uid, None)

    def add(self, record: Record) -> None:
        """Take a new instance in."""
        self.records[record.uid] = record
        self.file(record)

    def remove(self, record: Record) -> None:
        """Forget an instance."""
        for place in (self.records, self.idle, self.idle_ahead, self.holdable):
            place.pop(record.uid, None)

    def wait(self, waiter: W) -> None:
        """Queue up."""
        self.waiters[waiter.attempt] = waiter
        if not waiter.patient:
            self.urgent[waiter.attempt] = waiter

    def leave(self, attempt: str) -> None:
        """Leave the queue; without effect when not in it."""
        self.waiters.pop(attempt, None)
        self.urgent.pop(attempt, None)

    def match(self) -> list[tuple[W, Record]]:
        """Hand out what there is to those who wait."""
        granted: list[tuple[W, Record]] = []
        while self.waiters:
            waiter = self._next()
            record = self.take(waiter.attempt)
            if record is None:
                break
            self.leave(waiter.attempt)
            self.granted += 1
            granted.append((waiter, record))
        return granted

    def _next(self) -> W:
        urgent = self.urgent if (self.granted + 1) % SHARE else None
        return next(iter((urgent or self.waiters).values()))

    @property
    def empty(self) -> bool:
        """Nobody is here and nobody waits: the pool can be forgotten."""
        return not self.records and not self.waiters

    def serving(self) -> int:
        """Count the capacity that has arrived."""
        return sum(1 for record in self.records.values() if record.serving)

    def standing(self, now: float, seconds: float) -> int:
        """Count those whose run has lasted so long already."""
        return sum(1 for record in self.records.values() if record.stands(now, seconds))

    def silent(self, now: float, seconds: float) -> int:
        """Count those that have not answered who waits for so long already."""
        return sum(1 for record in self.records.values() if record.silent(now, seconds))

    def ahead(self) -> int:
        """Count those that were started ahead and can serve."""
        return sum(1 for each in self.records.values() if each.provisioned and not each.spoilt)

    def pods(self) -> Iterable[Record]:
        """Return the records whose pod is still wanted by its ReplicaSet."""
        return (
            record
            for record in self.records.values()
            if not record.pod_gone
            and not (record.pod is not None and (record.pod.deleting or record.pod.ended))
        )
