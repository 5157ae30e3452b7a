"""A proxy in front of a real API server that misbehaves on demand.

    async with FaultProxy(server.url, server.ssl_context()) as proxy:
        api = Api(ClusterConfig(server=proxy.url, token=TokenSource(constant=server.token)))
        proxy.fail(status(410, "Expired"), query="continue=")
        proxy.cut_streams()

Listens on plain HTTP on loopback, speaks TLS to the server, passes bytes on unchanged. A fault is
met by the next `times` requests that match it; streams (watches) that are already open are cut,
stalled, or get a line put into them. What passed stands in `seen`. Not here: any Kubernetes
semantics; those are the real server's.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

HOP_HEADERS = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"}
)
ANSWER_WITHOUT = HOP_HEADERS | {"content-length"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Answer with this instead of asking the server."""

    code: int
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Break the connection; `after` the server has done the work, or before it hears of it."""

    after: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Say nothing for this long, then go on."""

    seconds: float


Action = Status | Cut | Stall


def status(code: int, reason: str, *, retry_after: float | None = None) -> Status:
    """An answer with a metav1.Status."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = f"{retry_after:g}"
    text = json.dumps({**body, "reason": reason, "message": "injected"}).encode()
    return Status(code=code, body=text, headers=headers)


@dataclass(slots=True, kw_only=True)
class Fault:
    """An action and the requests that meet it; `hits` counts them."""

    action: Action
    method: str = ""
    path: str = ""
    query: str = ""
    times: int = 1
    hits: int = 0

    def meets(self, request: web.BaseRequest) -> bool:
        """Whether this request is to fail."""
        return (
            self.hits < self.times
            and self.method in ("", request.method)
            and self.path in request.path
            and self.query in request.query_string
        )


@dataclass(slots=True, kw_only=True, eq=False)
class _Stream:
    request: web.BaseRequest
    response: web.StreamResponse | None = None
    flowing: asyncio.Event = field(default_factory=asyncio.Event)


class FaultProxy:
    """The proxy; `url` is valid inside `async with`."""

    def __init__(self, upstream: str, tls: ssl.SSLContext | None = None) -> None:
        self._upstream = upstream
        self._tls = tls
        self._faults: list[Fault] = []
        self._streams: set[_Stream] = set()
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None
        self.seen: list[tuple[str, str]] = []
        """Method and path with query of every request, in order."""
        self.refusing = False
        """While true every new request's connection is cut at once: the server is away."""

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._runner is not None
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    @property
    def open_streams(self) -> int:
        """How many watches pass through at this moment."""
        return len(self._streams)

    def fail(
        self, action: Action, *, method: str = "", path: str = "", query: str = "", times: int = 1
    ) -> Fault:
        """Let the next `times` matching requests fail."""
        fault = Fault(action=action, method=method, path=path, query=query, times=times)
        self._faults.append(fault)
        return fault

    def cut_streams(self) -> None:
        """Break all open watches."""
        for stream in list(self._streams):
            if stream.request.transport is not None:
                stream.request.transport.abort()

    def stall_streams(self) -> None:
        """Hold back everything on all open watches, without a word."""
        for stream in self._streams:
            stream.flowing.clear()

    def resume_streams(self) -> None:
        """Let the held-back bytes flow."""
        for stream in self._streams:
            stream.flowing.set()

    async def inject(self, line: bytes) -> None:
        """Put a line into all open watches."""
        for stream in list(self._streams):
            if stream.response is not None:
                await stream.response.write(line + b"\n")

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
        )
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None, handler_cancellation=True),
            shutdown_timeout=0.1,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        assert self._runner is not None
        self.cut_streams()
        await self._session.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append((request.method, request.path_qs))
        body = await request.read()
        fault = next((each for each in self._faults if each.meets(request)), None)
        action: Action | None = Cut(after=False) if self.refusing else None
        if fault is not None and action is None:
            fault.hits += 1
            action = fault.action
        match action:
            case Status(code=code, body=text, headers=headers):
                return web.Response(status=code, body=text, headers=headers)
            case Cut(after=False):
                return self._cut(request)
            case Stall(seconds=seconds):
                await asyncio.sleep(seconds)
        with suppress(aiohttp.ClientError, ConnectionError):
            async with self._forwarded(request, body) as answer:
                if isinstance(action, Cut):
                    await answer.read()
                    return self._cut(request)
                return await self._pass_on(request, answer)
        return self._cut(request)

    def _cut(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502)  # goes nowhere

    @asynccontextmanager
    async def _forwarded(
        self, request: web.BaseRequest, body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in HOP_HEADERS
        }
        async with self._session.request(
            request.method,
            self._upstream + request.path_qs,
            data=body or None,
            headers=headers,
            ssl=self._tls if self._tls is not None else True,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            try:
                yield answer
            finally:  # left midway: no waiting for TLS to say goodbye
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()

    async def _pass_on(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in answer.headers.items()
            if name.lower() not in ANSWER_WITHOUT
        }
        response = web.StreamResponse(status=answer.status, headers=headers)
        stream = _Stream(request=request)
        stream.flowing.set()
        is_watch = "watch=true" in request.query_string
        if is_watch:
            self._streams.add(stream)
        try:
            await response.prepare(request)
            stream.response = response
            async for chunk in answer.content.iter_any():
                await stream.flowing.wait()
                await response.write(chunk)
            await response.write_eof()
        finally:
            self._streams.discard(stream)
        return response
