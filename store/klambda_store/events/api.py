"""The HTTP interface of events (docs/runtime-contract.md, section 5); tickets are judged before.

Place: mounted by ``klambda_store.app``. Invariants: 201 means on the disk; while the events cannot
be served (not open yet, or found corrupt) everything answers 503 with the reason, and blobs go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any, Final, TypeVar

from aiohttp import web

from klambda_core import eventwire as wire
from klambda_core.events import LeaseRequest
from klambda_core.eventwire import Garbled
from klambda_obs import logs
from klambda_store.answers import Refusal, json_answer
from klambda_store.events.arrivals import Arrivals
from klambda_store.events.port import Corrupt, EventStore, EventStoreError, NoSpace

PREFIX: Final = "/v1/events"
BODY_MAX: Final = 64 << 20
"""Gateways send batches of a few megabytes; a single response may have 6."""
LEASES_MAX: Final = 1024
STATS_S: Final = 2.0
"""How old statistics may be."""
SWEEP_S: Final = 5.0
SWEEP_AGAIN_S: Final = 0.05
"""While there is something to sweep: in small steps, between the others' work."""
OPEN_RETRY_S: Final = 2.0
BYTES: Final = "application/octet-stream"

T = TypeVar("T")

_log = logs.get("klambda.store.events")


class EventsApi:
    """The handlers over one event store."""

    def __init__(self, store: EventStore, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._closed: str | None = "the events are being opened"
        self._tried = False
        self._stats: tuple[float, list[dict[str, Any]]] = (float("-inf"), [])
        self.arrivals = Arrivals(shared=store.shared)

    def opening(self) -> str | None:
        """The readiness check: blobs do not wait for events that could not be opened."""
        return None if self._tried else "the events are being opened"

    @property
    def closed(self) -> str | None:
        """Why nothing is served, if so."""
        return self._closed

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post(PREFIX, self.put)
        app.router.add_post(PREFIX + "/lease", self.lease)
        app.router.add_post(PREFIX + "/renew", self.renew)
        app.router.add_post(PREFIX + "/retry", self.retry)
        app.router.add_post(PREFIX + "/settle", self.settle)
        app.router.add_post(PREFIX + "/redrive", self.redrive)
        app.router.add_get(PREFIX + "/news", self.news, allow_head=False)
        app.router.add_get(PREFIX + "/queues", self.queues, allow_head=False)
        app.router.add_get(PREFIX + "/records/{namespace}/{id}", self.record, allow_head=False)

    async def put(self, request: web.Request) -> web.Response:
        """Keep events; 201 when they are on the disk."""
        events = await _parts(request, wire.event_of)
        await self._done(self._store.put(events, self._now()))
        self.arrivals.tell()
        return web.Response(status=HTTPStatus.CREATED)

    async def lease(self, request: web.Request) -> web.Response:
        """Hand out events; the first part of the answer says what is to be waited for."""
        wanted = _lease_request(await _json(request))
        news, now = self.arrivals.count, self._now()
        taken = await self._done(self._store.lease(wanted, now))
        next_in = None if taken.next_due is None else max(0.0, taken.next_due - now)
        parts = [({"news": news, "next_in": next_in}, b"", b"")]
        parts += [wire.leased_part(each) for each in taken.events]
        return web.Response(body=wire.pack(parts), content_type=BYTES)

    async def renew(self, request: web.Request) -> web.Response:
        """Prolong leases."""
        document = await _json(request)
        try:
            pairs = [(str(event), str(lease)) for event, lease in document["leases"]]
        except (KeyError, TypeError, ValueError) as error:
            raise _bad(f"leases: {error}") from error
        return _lost(await self._done(self._store.renew(pairs, self._now())))

    async def retry(self, request: web.Request) -> web.Response:
        """Put events back, or note progress."""
        items = await _parts(request, wire.postponement_of)
        lost = await self._done(self._store.retry_at(items, self._now()))
        if any(not item.hold for item in items):
            self.arrivals.tell()
        return _lost(lost)

    async def settle(self, request: web.Request) -> web.Response:
        """End events."""
        items = await _parts(request, wire.settlement_of)
        return _lost(await self._done(self._store.settle(items, self._now())))

    async def redrive(self, request: web.Request) -> web.Response:
        """Take up again what a function has failed at so far; what fails meanwhile stays."""
        uid = (await _json(request)).get("function_uid")
        if not isinstance(uid, str):
            raise _bad("function_uid: not a text")
        before, count = self._now(), 0
        while found := await self._done(self._store.redrive(uid, before, self._now())):
            count += found
            self.arrivals.tell()
        return json_answer(HTTPStatus.OK, {"redriven": count})

    async def news(self, request: web.Request) -> web.Response:
        """Wait for arrivals."""
        try:
            seen = int(request.query.get("after", "0"))
            timeout = float(request.query.get("timeout", "0"))
        except ValueError as error:
            raise _bad(str(error)) from error
        return json_answer(HTTPStatus.OK, {"news": await self.arrivals.wait(seen, timeout)})

    async def queues(self, _: web.Request) -> web.Response:
        """Describe the queues."""
        now = self._now()
        if now - self._stats[0] >= STATS_S:
            found = await self._done(self._store.stats(now))
            self._stats = (now, [asdict(each) for each in found])
        return json_answer(HTTPStatus.OK, {"queues": self._stats[1]})

    async def record(self, request: web.Request) -> web.Response:
        """Look one event up."""
        place = request.match_info
        found = await self._done(self._store.lookup(place["namespace"], place["id"], self._now()))
        if found is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "NotFound", "no such event")
        return web.Response(body=wire.pack([wire.record_part(found)]), content_type=BYTES)

    async def run(self) -> None:
        """Open the events, then forget what is over, until cancelled."""
        while self._closed is not None:
            try:
                await self._store.open()
            except Corrupt as error:
                _log.error("events-corrupt", error=str(error))
                self._closed = f"the events cannot be read: {error}"
                self._tried = True
                return
            except EventStoreError as error:
                _log.warning("events-not-open", error=str(error))
                self._closed = str(error)
                self._tried = True
                await asyncio.sleep(OPEN_RETRY_S)
            else:
                self._closed = None
                self._tried = True
                self.arrivals.tell()
        while True:
            try:
                swept = 0 if self.closed else await self._store.sweep(self._now())
            except EventStoreError as error:
                _log.warning("sweep-failed", error=str(error))
                swept = 0
            await asyncio.sleep(SWEEP_AGAIN_S if swept else SWEEP_S)

    # --- inside -----------------------------------------------------------------------------------

    async def _done(self, work: Any) -> Any:
        if self._closed is not None:
            work.close()
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "NoEvents", self._closed)
        try:
            return await work
        except NoSpace as error:
            raise Refusal(HTTPStatus.INSUFFICIENT_STORAGE, "NoSpace", str(error)) from error
        except Corrupt as error:
            _log.error("events-corrupt", error=str(error))
            self._closed = f"the events cannot be read: {error}"
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "NoEvents", str(error)) from error
        except EventStoreError as error:
            _log.warning("events-failed", error=str(error))
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "NoEvents", str(error)) from error


async def _parts(request: web.Request, read: Callable[[wire.Part], T]) -> list[T]:
    try:
        return [read(part) for part in wire.unpack(await request.read())]
    except Garbled as error:
        raise _bad(str(error)) from error


def _lease_request(document: dict[str, Any]) -> LeaseRequest:
    try:
        return LeaseRequest(
            holder=str(document["holder"]),
            limit=max(0, min(int(document["limit"]), LEASES_MAX)),
            bytes_limit=int(document["bytes_limit"]),
            credits={str(uid): int(credit) for uid, credit in document["credits"].items()},
            default_credit=int(document["default_credit"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(f"not a lease request: {error!r}") from error


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        document = await request.json()
    except ValueError as error:
        raise _bad(str(error)) from error
    if not isinstance(document, dict):
        raise _bad("not an object")
    return document


def _lost(ids: set[str]) -> web.Response:
    return json_answer(HTTPStatus.OK, {"lost": sorted(ids)})


def _bad(message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, "BadRequest", message)
