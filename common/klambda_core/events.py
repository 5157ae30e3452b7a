"""Asynchronous events as gateway and store speak of them.

Theory. An event is *queued* until its last attempt is over. Then its outcome (a *condition* and the
function's last response) is recorded, and what has to be told to destinations and the dead-letter
queue is *pending*: the event is *delivering*, and no crash can make the function run again. At last
it is settled and stays, for a time, as a record. Whoever works on an event holds a *lease*: a
random id, good for 30 s unless renewed; every report names it, and reports of a lease that
somebody else has got meanwhile are refused (*fenced*).

Pure data. Not here: how they travel (``eventwire``), SQL, HTTP, policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

LEASE_S: Final = 30.0
RENEW_S: Final = 10.0
"""design/data-plane.md, "Asynchronous events"."""

State = Literal["queued", "delivering", "succeeded", "failed", "dropped", "undelivered"]
FINAL: Final = frozenset({"succeeded", "failed", "dropped", "undelivered"})
DeliveryKind = Literal["on-success", "on-failure", "dead-letter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as it was accepted."""

    id: str
    """The request id: what the function sees in every attempt."""
    namespace: str
    function: str
    """AWS's name of the function."""
    function_uid: str
    """The object it is meant for: a later namesake does not get it."""
    qualifier: str | None
    arn: str
    """The invoked ARN: with a qualifier exactly when one was asked for."""
    payload: bytes
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the last attempt that ran gave."""

    status_code: int
    executed_version: str | None
    function_error: str | None
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An outcome that has to be told to somebody."""

    kind: DeliveryKind
    target: str
    """An ARN, or the URL of an HTTP sink."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """An event to work on, and what has become of it so far."""

    event: Event
    lease: str
    age: float
    """Seconds since it was accepted, at the moment of leasing."""
    attempts: int = 0
    """Runs of the function that count."""
    backoffs: int = 0
    """Returns in a row that did not count: throttles, system errors, failed deliveries."""
    leases: int = 1
    """How often it was leased, this time included."""
    condition: str | None = None
    """The outcome, once it is decided: only ``pending`` is left to do."""
    error: str | None = None
    response: Response | None = None
    pending: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponement:
    """Back into the queue, or (``hold``) noted while the lease is kept."""

    id: str
    lease: str
    delay: float
    attempts: int
    backoffs: int
    error: str | None = None
    response: Response | None = None
    condition: str | None = None
    pending: tuple[Delivery, ...] = ()
    hold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of an event."""

    id: str
    lease: str
    state: State
    attempts: int
    condition: str | None
    error: str | None = None
    response: Response | None = None
    pending: tuple[Delivery, ...] = ()
    """What could not be delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """How much a gateway can take."""

    holder: str
    limit: int
    bytes_limit: int
    credits: Mapping[str, int]
    """By function uid."""
    default_credit: int
    """For functions that are not in ``credits``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a lease request brought."""

    events: tuple[Leased, ...]
    news: int
    """The store's count of arrivals, to wait for the next one."""
    next_in: float | None
    """Seconds until something else falls due; None: nothing is waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An event as it is looked up."""

    event: Event
    state: State
    received_at: float
    due_at: float
    settled_at: float | None
    leased: bool
    attempts: int
    backoffs: int
    leases: int
    condition: str | None
    error: str | None
    response: Response | None
    pending: tuple[Delivery, ...]
    redriven: int = 0
    """How often it was taken up again after it had failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """One function's queue."""

    namespace: str
    function: str
    function_uid: str
    depth: int
    """Events that are not settled."""
    oldest_age: float
