"""Taking an event in: checked, resolved, on the disk; only then may anybody say 202.

Place: ``api.invoke`` and Lambda destinations call ``accept``. Invariants: what is returned from is
durable; an event is bound to the very object that has the name now. Not here: HTTP, authorisation,
the limit of the request's size (the two operations have different ones).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from klambda_core import errors
from klambda_core.events import Event, QueueStats, Record
from klambda_gateway.bulk import whole
from klambda_gateway.events.client import StoreAway, StoreFull
from klambda_gateway.invoke.model import Resolved
from klambda_gateway.invoke.payload import EMPTY, NotJson, read_whole
from klambda_gateway.routing.table import Entry
from klambda_obs import logs

AWAY: Final = "The event could not be stored now. Please try again."
ABSENT: Final = "The store is not available now. Please try again."

_log = logs.get("klambda.gateway.events")


class Resolver(Protocol):
    """Who knows what a name stands for."""

    async def resolve(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Resolved:
        """Find what would run. Raises LambdaError 404 or 409."""
        ...


class Keeper(Protocol):
    """Who keeps events."""

    async def put(self, event: Event) -> None:
        """Keep one. Raises StoreAway, StoreFull."""
        ...

    async def lookup(self, namespace: str, event_id: str) -> Record | None:
        """Find one. Raises StoreAway."""
        ...

    async def stats(self) -> list[QueueStats]:
        """Describe the queues. Raises StoreAway."""
        ...

    async def redrive(self, function_uid: str) -> int:
        """Take up again what failed; return how many. Raises StoreAway."""
        ...


class Intake:
    """The way in, and the way to ask what became of an event."""

    def __init__(
        self,
        keeper: Keeper,
        resolver: Resolver,
        *,
        entry: Callable[[str, str], Entry | None],
        received: Callable[[], None] = lambda: None,
    ) -> None:
        """``entry``: of namespace and AWS name, from the routing table."""
        self._keeper = keeper
        self._resolver = resolver
        self._entry = entry
        self._received = received

    async def accept(
        self,
        *,
        namespace: str,
        name: str,
        qualifier: str | None,
        arn: str,
        payload: bytes,
        event_id: str,
        trace: str | None,
    ) -> None:
        """Keep an event for a function.

        Raises LambdaError: 400 not JSON, 404, 409, 503 when it could not be stored.
        """
        checked = _checked(payload)
        await self._resolver.resolve(namespace, name, qualifier, arn)
        entry = self._entry(namespace, name)
        if entry is None:  # deleted in this moment
            raise errors.function_not_found(arn)
        event = Event(
            id=event_id,
            namespace=namespace,
            function=name,
            function_uid=entry.function.uid,
            qualifier=qualifier,
            arn=arn,
            payload=checked,
            trace=trace,
        )
        try:
            await self._keeper.put(event)
        except (StoreAway, StoreFull) as error:
            _log.error("event-not-stored", error=str(error), full=isinstance(error, StoreFull))
            raise errors.unavailable(AWAY) from error
        self._received()

    async def lookup(self, namespace: str, event_id: str) -> Record | None:
        """Find an event of an account. Raises LambdaError 503."""
        try:
            return await self._keeper.lookup(namespace, event_id)
        except StoreAway as error:
            raise errors.unavailable(ABSENT) from error

    async def queue(self, function_uid: str) -> QueueStats | None:
        """Describe a function's queue; None: it is empty. Raises LambdaError 503."""
        try:
            found = await self._keeper.stats()
        except StoreAway as error:
            raise errors.unavailable(ABSENT) from error
        return next((each for each in found if each.function_uid == function_uid), None)

    async def redrive(self, function_uid: str) -> int:
        """Take up again what failed; return how many. Raises LambdaError 503."""
        try:
            return await self._keeper.redrive(function_uid)
        except StoreAway as error:
            raise errors.unavailable(ABSENT) from error


def _checked(body: bytes) -> bytes:
    """The event; unlike that of a synchronous call a large one is judged here, before the 202."""
    found = read_whole(body or EMPTY)
    if isinstance(found, NotJson):
        raise errors.payload_not_json(found.detail)
    return whole(found.payload)
