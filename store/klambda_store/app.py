"""The store's HTTP interface (docs/runtime-contract.md, section 5): the door, and the blobs.

Every request is judged by its ticket first, then by its form, then it streams: at no point is
a blob in memory. Until the installation key is known, requests get 503 and `/readyz` fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import hdrs, web

from klambda_core.tickets import Verdict, verify
from klambda_obs import logs
from klambda_obs.health import add_routes
from klambda_obs.metrics import Metrics
from klambda_store.answers import Refusal, error_answer, json_answer
from klambda_store.blobs.port import (
    BlobError,
    Blobs,
    DigestMismatch,
    Download,
    NoSpace,
    Stored,
    TooLarge,
    Unavailable,
    is_digest,
    is_namespace,
)
from klambda_store.blobs.promised import PromisedBlobs
from klambda_store.events.api import BODY_MAX, EventsApi

INTERFACE = "/v1/"
PREFIX = "/v1/blobs/"
UPLOAD_PIECE = 256 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logs.get("klambda.store")


@dataclass(slots=True)
class Access:
    """The installation key, "" until it is known, and the clock that tickets are judged by."""

    key: str = ""
    now: Callable[[], float] = field(default=time.time)

    def missing(self) -> str | None:
        """The readiness check."""
        return None if self.key else "waiting for the installation key"


class Traffic:
    """The blob requests that are being answered, and whether the process is about to end.

    aiohttp throws away what still arrives once it shuts down, so uploads are waited for before.
    """

    def __init__(self) -> None:
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = False

    def __enter__(self) -> None:
        self._busy += 1
        self._idle.clear()

    def __exit__(self, *_: object) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until nothing is being answered."""
        await self._idle.wait()

    def ending(self) -> str | None:
        """The readiness check."""
        return "the process is ending" if self.stopping else None


def build_app(
    blobs: Blobs,
    *,
    access: Access,
    metrics: Metrics,
    traffic: Traffic,
    events: EventsApi | None = None,
) -> web.Application:
    """The application; `access.key` may be filled in later."""
    store = _Store(PromisedBlobs(blobs), metrics)
    app = web.Application(middlewares=[_guard(access, metrics, traffic)], client_max_size=BODY_MAX)
    ready: dict[str, Callable[[], str | None]] = {
        "key": access.missing,
        "ending": traffic.ending,
    }
    if events is not None:
        ready["events"] = events.opening
        events.add_to(app)
    add_routes(app, metrics=metrics, live={}, ready=ready)
    app.router.add_put(PREFIX + "{namespace}/{sha256}", store.put)
    app.router.add_post(PREFIX + "{namespace}", store.post)
    app.router.add_get(PREFIX + "{namespace}/{sha256}", store.get)  # and HEAD
    app.router.add_delete(PREFIX + "{namespace}/{sha256}", store.delete)
    app.router.add_get(PREFIX, store.namespaces, allow_head=False)
    app.router.add_get(PREFIX + "{namespace}", store.list, allow_head=False)
    return app


def _guard(
    access: Access, metrics: Metrics, traffic: Traffic
) -> Callable[..., Awaitable[web.StreamResponse]]:
    requests = metrics.counter("requests", "Requests.", ("method", "status"))
    seconds = metrics.histogram("request_seconds", "Request time.", ("method",))

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(INTERFACE):
            return await handler(request)
        began = time.monotonic()
        status = 0
        try:
            _check_ticket(request, access)
            _check_names(request)
            with traffic:
                response = await handler(request)
            status = response.status
        except (Refusal, BlobError) as error:
            refusal = error if isinstance(error, Refusal) else _refusal(error)
            status = refusal.status
            return error_answer(refusal)
        else:
            return response
        finally:
            requests.labels(request.method, str(int(status))).inc()
            seconds.labels(request.method).observe(time.monotonic() - began)

    return guard


def _check_ticket(request: web.Request, access: Access) -> None:
    if not access.key:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "NotReady", "the store has no key yet")
    verdict = verify(access.key, request.method, request.path, request.query, now=access.now())
    if verdict is Verdict.WRONG:
        raise Refusal(HTTPStatus.FORBIDDEN, "WrongTicket", "the ticket does not fit the request")
    if verdict is Verdict.EXPIRED:
        raise Refusal(HTTPStatus.FORBIDDEN, "ExpiredTicket", "the ticket has expired")


def _check_names(request: web.Request) -> None:
    namespace, sha256 = request.match_info.get("namespace"), request.match_info.get("sha256")
    if namespace is not None and not is_namespace(namespace):
        raise Refusal(HTTPStatus.BAD_REQUEST, "BadNamespace", "not a namespace's name")
    if sha256 is not None and not is_digest(sha256):
        raise Refusal(HTTPStatus.BAD_REQUEST, "BadDigest", "not a SHA-256 in lower-case hex")


class _Store:
    """The handlers."""

    def __init__(self, blobs: PromisedBlobs, metrics: Metrics) -> None:
        self._blobs = blobs
        self._received = metrics.counter("received_bytes", "Bytes of uploads.")
        self._sent = metrics.counter("sent_bytes", "Bytes of downloads.")

    async def put(self, request: web.Request) -> web.StreamResponse:
        stored = await self._receive(request, request.match_info["sha256"])
        return web.Response(status=HTTPStatus.CREATED if stored.created else HTTPStatus.OK)

    async def post(self, request: web.Request) -> web.StreamResponse:
        stored = await self._receive(request, None)
        return json_answer(HTTPStatus.CREATED, {"sha256": stored.sha256, "size": stored.size})

    async def _receive(self, request: web.Request, expected: str | None) -> Stored:
        async with self._blobs.upload(request.match_info["namespace"]) as upload:
            size = 0
            async for piece in _pieces(request):
                await upload.write(piece)
                size += len(piece)
            if request.content_length is not None and size != request.content_length:
                raise Refusal(HTTPStatus.BAD_REQUEST, "Truncated", "the body broke off")
            stored = await upload.commit(expected)
        self._received.inc(stored.size)
        return stored

    async def get(self, request: web.Request) -> web.StreamResponse:
        namespace, sha256 = request.match_info["namespace"], request.match_info["sha256"]
        if request.method == hdrs.METH_HEAD:
            size = await self._blobs.size(namespace, sha256)
            response, _, _ = _head_of(request, sha256, size)
            await response.prepare(request)
            return response
        async with self._blobs.download(namespace, sha256) as blob:
            response, start, stop = _head_of(request, sha256, None if blob is None else blob.size)
            await response.prepare(request)
            if blob is not None:
                await self._send(response, blob, start, stop)
            await response.write_eof()
            return response

    async def _send(
        self, response: web.StreamResponse, blob: Download, start: int, stop: int
    ) -> None:
        try:
            async for piece in blob.read(start, stop):
                await response.write(piece)
                self._sent.inc(len(piece))
        except BlobError as error:  # the head is gone: only breaking off tells the client
            raise ConnectionError(str(error)) from error

    async def delete(self, request: web.Request) -> web.StreamResponse:
        namespace, sha256 = request.match_info["namespace"], request.match_info["sha256"]
        text = request.query.get("unmodified", "")
        if text and not (text.isascii() and text.isdecimal() and len(text) <= 12):
            raise Refusal(HTTPStatus.BAD_REQUEST, "BadTime", "unmodified is no Unix time")
        unmodified = int(text) if text else None
        look = request.query.get("look")
        if not await self._blobs.delete(namespace, sha256, unmodified=unmodified, look=look):
            said = "it was uploaded again, or asked for"
            raise Refusal(HTTPStatus.PRECONDITION_FAILED, "Modified", said)
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def namespaces(self, _: web.Request) -> web.StreamResponse:
        return json_answer(HTTPStatus.OK, {"namespaces": await self._blobs.namespaces()})

    async def list(self, request: web.Request) -> web.StreamResponse:
        found, look = await self._blobs.list(request.match_info["namespace"])
        blobs = [
            {"sha256": blob.sha256, "size": blob.size, "modified": blob.modified} for blob in found
        ]
        return json_answer(HTTPStatus.OK, {"blobs": blobs, "look": look})


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    """The body in pieces large enough to be worth a thread's while."""
    pending = bytearray()
    async for piece in request.content.iter_any():
        pending += piece
        if len(pending) >= UPLOAD_PIECE:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)


def _head_of(
    request: web.Request, sha256: str, size: int | None
) -> tuple[web.StreamResponse, int, int]:
    """The answer without its bytes, and which ones those are."""
    if size is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "NotFound", "no such blob")
    start, stop, partial = _range(request, size)
    response = web.StreamResponse(
        status=HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK,
        headers={
            hdrs.CONTENT_TYPE: "application/octet-stream",
            hdrs.CONTENT_LENGTH: str(stop - start),
            hdrs.ETAG: f'"{sha256}"',
            hdrs.ACCEPT_RANGES: "bytes",
        },
    )
    if partial:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{stop - 1}/{size}"
    return response, start, stop


def _range(request: web.Request, size: int) -> tuple[int, int, bool]:
    """Start, stop, and whether it is a part. A malformed Range is ignored (RFC 9110)."""
    try:
        wanted = request.http_range
    except ValueError:
        return 0, size, False
    if wanted.start is None and wanted.stop is None:
        return 0, size, False
    start, stop, _ = slice(wanted.start, wanted.stop).indices(size)
    if start >= stop:
        raise Refusal(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "BadRange", f"the blob has {size} bytes"
        )
    return start, stop, True


def _refusal(error: BlobError) -> Refusal:
    match error:
        case TooLarge():
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        case NoSpace():
            status = HTTPStatus.INSUFFICIENT_STORAGE
            _log.error("volume-full", said=str(error))
        case Unavailable():
            status = HTTPStatus.SERVICE_UNAVAILABLE
        case DigestMismatch() | _:
            status = HTTPStatus.BAD_REQUEST
    return Refusal(status, type(error).__name__, str(error))
