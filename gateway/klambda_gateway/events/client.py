"""The store's events over HTTP: the gateway's side of the port (docs/runtime-contract.md, 5).

Place: ``intake`` puts, ``workers`` lease and renew, ``story`` reports. Invariants: putting and
reporting may be repeated (the store keeps one event per id, and reports are fenced by their lease),
so a broken connection is answered by saying it again until the caller's time is over. Not here:
what to do with events.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, Final, TypeVar

import aiohttp

from klambda_core import eventwire as wire
from klambda_core.events import (
    Batch,
    Event,
    LeaseRequest,
    Postponement,
    QueueStats,
    Record,
    Settlement,
)
from klambda_core.tickets import ticket
from klambda_gateway.events.batch import Batcher

PREFIX: Final = "/v1/events"
PUT_S: Final = 10.0
"""How long an event may wait for the store (design/data-plane.md)."""
REPORT_S: Final = 600.0
"""How long a report is repeated; its lease is gone long before."""
CONNECT_S: Final = 2.0
ANSWER_S: Final = 30.0
AGAIN_S: Final = 0.1
AGAIN_LONGEST_S: Final = 2.0

T = TypeVar("T")


class StoreAway(Exception):
    """The store cannot be reached, or cannot serve events now."""


class StoreFull(Exception):
    """The store has no room for more events."""


class StoreEvents:
    """Events of all namespaces in one store. Use in one event loop; ``close()`` it there."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        now: Callable[[], float] = time.time,
        linger: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """``linger``: seconds that reports may wait for others to go along."""
        self._base = base_url.rstrip("/")
        self._key = key
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._puts: Batcher[Event, None] = Batcher(self._put, size=lambda event: len(event.payload))
        self._retries: Batcher[Postponement, set[str]] = Batcher(
            self._retry, size=_size, linger=linger
        )
        self._settlements: Batcher[Settlement, set[str]] = Batcher(
            self._settle, size=_size, linger=linger
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    # --- the port ---------------------------------------------------------------------------------

    async def put(self, event: Event) -> None:
        """Return when the event is on the disk. Raises StoreFull at once, StoreAway after 10 s."""
        await _repeated(lambda: self._puts.add(event), PUT_S)

    async def lease(self, request: LeaseRequest) -> Batch:
        """Take what is due. Raises StoreAway."""
        document = {
            "holder": request.holder,
            "limit": request.limit,
            "bytes_limit": request.bytes_limit,
            "credits": dict(request.credits),
            "default_credit": request.default_credit,
        }
        head, *rest = wire.unpack(await self._call("POST", "/lease", document=document))
        return Batch(
            events=tuple(wire.leased_of(part) for part in rest),
            news=head[0]["news"],
            next_in=head[0]["next_in"],
        )

    async def renew(self, leases: Sequence[tuple[str, str]]) -> set[str]:
        """Prolong leases; return the ids of those that are lost. Raises StoreAway."""
        document = {"leases": [list(each) for each in leases]}
        return _lost(await self._call("POST", "/renew", document=document))

    async def retry_at(self, item: Postponement) -> bool:
        """Put an event back; return whether the lease was still ours. Raises StoreAway."""
        return item.id not in await _repeated(lambda: self._retries.add(item), REPORT_S)

    async def settle(self, item: Settlement) -> bool:
        """End an event; return whether the lease was still ours. Raises StoreAway."""
        return item.id not in await _repeated(lambda: self._settlements.add(item), REPORT_S)

    async def news(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109 - the store waits
        """Wait for arrivals. Raises StoreAway."""
        query = f"&after={seen}&timeout={timeout:.3f}"
        answer = _document(await self._call("GET", "/news", query=query, patience=timeout))
        return int(answer["news"])

    async def stats(self) -> list[QueueStats]:
        """Describe the queues. Raises StoreAway."""
        answer = _document(await self._call("GET", "/queues"))
        return [QueueStats(**each) for each in answer["queues"]]

    async def redrive(self, function_uid: str) -> int:
        """Take up again what failed; return how many. Raises StoreAway."""
        document = {"function_uid": function_uid}
        return int(_document(await self._call("POST", "/redrive", document=document))["redriven"])

    async def lookup(self, namespace: str, event_id: str) -> Record | None:
        """Find an event. Raises StoreAway."""
        data = await self._call("GET", f"/records/{namespace}/{event_id}", missing=b"")
        return wire.record_of(next(wire.unpack(data))) if data else None

    # --- requests ---------------------------------------------------------------------------------

    async def _put(self, events: list[Event]) -> None:
        await self._call("POST", "", parts=map(wire.event_part, events))

    async def _retry(self, items: list[Postponement]) -> set[str]:
        return _lost(await self._call("POST", "/retry", parts=map(wire.postponement_part, items)))

    async def _settle(self, items: list[Settlement]) -> set[str]:
        return _lost(await self._call("POST", "/settle", parts=map(wire.settlement_part, items)))

    async def _call(
        self,
        method: str,
        path: str,
        *,
        parts: Iterable[wire.Part] | None = None,
        document: object = None,
        query: str = "",
        patience: float = 0.0,
        missing: bytes | None = None,
    ) -> bytes:
        where = PREFIX + path
        url = f"{self._base}{where}?{ticket(self._key, method, where, now=self._now())}{query}"
        body = None if parts is None else wire.pack(parts)
        limit = aiohttp.ClientTimeout(total=ANSWER_S + patience, sock_connect=CONNECT_S)
        try:
            async with self._opened().request(
                method, url, data=body, json=document, timeout=limit
            ) as answer:
                data = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreAway(f"{type(error).__name__} {error}") from error
        if answer.status == HTTPStatus.NOT_FOUND and missing is not None:
            return missing
        if answer.status == HTTPStatus.INSUFFICIENT_STORAGE:
            raise StoreFull(data.decode("utf-8", "replace"))
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise StoreAway(f"{answer.status} {data[:500].decode('utf-8', 'replace')}")
        return data

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        return self._session


async def _repeated(call: Callable[[], Awaitable[T]], limit: float) -> T:
    """Call until it succeeds, for ``limit`` seconds. Raises StoreAway; StoreFull at once."""
    wait = AGAIN_S
    last = "no answer"
    try:
        async with asyncio.timeout(limit):
            while True:
                try:
                    return await call()
                except StoreAway as error:
                    last = str(error)
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                wait = min(wait * 2, AGAIN_LONGEST_S)
    except TimeoutError as error:
        raise StoreAway(f"not within {limit:.0f} s: {last}") from error


def _size(item: Postponement | Settlement) -> int:
    return 0 if item.response is None else len(item.response.payload)


def _document(data: bytes) -> Any:
    return json.loads(data)


def _lost(data: bytes) -> set[str]:
    return set(_document(data)["lost"])
