"""Getting an instance: at once when one is free, else wait for whatever comes first.

Place: between ``invoke.service`` and ``registry``. Invariants: an instance granted to somebody who
has gone meanwhile is given back; waiting ends at the deadline, at a dismissal (the revision moved
on, the Deployment vanished, starts fail) or with the caller.
Not here: asking for starts (``scale.demand`` hears of shortage from the registry).
"""

from __future__ import annotations

import asyncio

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry


class WaitedTooLong(Exception):
    """No instance came before the deadline."""


class Moved(Exception):
    """The Deployment serves no more: resolve again."""


class StartsFail(Exception):
    """Instances of this Deployment cannot start now."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class BurstUsedUp(Exception):
    """The function has started as many instances as it may for the moment."""


class AccountUsedUp(Exception):
    """As many run in the account as may, at all gateways."""


class QueuedAttempt:
    """A waiter that is a future."""

    __slots__ = ("attempt", "future", "patient", "since")

    def __init__(self, attempt: str, *, patient: bool) -> None:
        loop = asyncio.get_running_loop()
        self.attempt = attempt
        self.patient = patient
        self.since = loop.time()
        self.future: asyncio.Future[Record] = loop.create_future()

    def grant(self, record: Record) -> None:
        """Wake with the instance."""
        if self.future.done():  # cancelled in this very turn of the loop
            record.abandon(self.attempt)
        else:
            self.future.set_result(record)

    def dismiss(self, reason: Exception) -> None:
        """Wake with the reason why not."""
        if not self.future.done():
            self.future.set_exception(reason)


async def acquire(
    registry: Registry,
    key: DeploymentKey,
    attempt: str,
    *,
    deadline: float,
    patient: bool = False,
) -> Record:
    """Return an instance marked with this attempt.

    ``deadline`` is in the loop's time; ``patient``: others may go first. Raises WaitedTooLong,
    Moved, StartsFail, BurstUsedUp, AccountUsedUp.
    """
    pool = registry.pool(key)
    record = pool.take(attempt)
    if record is not None:
        return record
    waiter = QueuedAttempt(attempt, patient=patient)
    pool.wait(waiter)
    try:
        registry.on_short(key)
        async with asyncio.timeout_at(deadline):
            return await waiter.future
    except TimeoutError as error:
        _give_back(registry, waiter)
        raise WaitedTooLong from error
    except asyncio.CancelledError:
        _give_back(registry, waiter)
        raise
    finally:
        pool.leave(attempt)
        registry.sweep(pool)


def _give_back(registry: Registry, waiter: QueuedAttempt) -> None:
    """Return an instance that was granted and will not be used."""
    future = waiter.future
    if future.done() and not future.cancelled() and future.exception() is None:
        record = future.result()
        record.abandon(waiter.attempt)
        registry.touch(record)
