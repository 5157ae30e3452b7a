"""The Kubernetes API client of every part: one aiohttp session, JSON in and out.

Place: under the reflector, the lease and everybody's reads and writes. Typed clients are 6 to 100
times slower on watches, so objects are plain dicts here and are projected by who needs them.

What is repeated and what is not:
- nothing was sent (connection refused), or 429 (the server did nothing): every verb, a few times;
- the connection broke after sending (a server restart): reads, `apply` (it states the whole intent,
  so doing it twice is doing it once) and `delete` with a uid (it cannot hit a successor);
- `create`, `merge_patch` and `delete` without a uid are then not repeated: `Unreachable` with
  `maybe_applied` comes out, and the caller looks before it calls the write failed.
A 401 re-reads the token file and is tried once more. Every call has a time limit.
Not here: caching (reflector), retries of conflicts (the caller must think again).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp

from klambda_core.kinds import Kind
from klambda_kube.config import ClusterConfig
from klambda_kube.errors import ApiError, Gone, Throttled, Unreachable, parse_error

Object = dict[str, Any]
"""A Kubernetes object as it stands on the wire."""

Observer = Callable[[str, str, int, float], None]
"""Called per attempt with verb, plural, HTTP status (0: no answer) and seconds."""

Propagation = Literal["Background", "Foreground", "Orphan"]

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 15.0
LIST_TIMEOUT_S = 60.0
"""The API server's own default for non-watch requests."""

WATCH_SECONDS = 300
"""After that the server ends a watch cleanly; spreads reconnects and renews tokens."""

INACTIVITY_S = 70.0
"""Bookmarks come about once a minute; a stream that is silent for longer is dead."""

ATTEMPTS = 4
BACKOFF_S = 0.1
MAX_WAIT_S = 5.0
"""A longer Retry-After is passed on as `Throttled` instead of waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListResult:
    """All objects of a list and the version at which the list was taken."""

    items: list[Object]
    resource_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    verb: str
    method: str
    plural: str
    path: str
    query: Mapping[str, str]
    body: bytes | None = None
    content_type: str = "application/json"
    repeatable: bool = False
    timeout: float = REQUEST_TIMEOUT_S


class Api:
    """Calls to one API server. Create it anywhere, use it in one event loop, `close()` it there."""

    def __init__(self, config: ClusterConfig, *, observe: Observer = lambda *_: None) -> None:
        self._config = config
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, watches included."""
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # what was aborted closes its socket in the loop's next turn

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """One object, read from etcd."""
        return await self._json(_Call(
            verb="get", method="GET", plural=kind.plural, path=kind.path(namespace, name),
            query={}, repeatable=True,
        ))  # fmt: skip

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> ListResult:
        """All objects, in chunks of `limit`; items carry no apiVersion and kind, as Kubernetes' do.

        When the snapshot behind the chunks expires midway, the list is taken again in one piece.
        """
        for size in (limit, 0):
            items: list[Object] = []
            version = ""
            try:
                async for page in self.pages(
                    kind,
                    namespace,
                    label_selector=label_selector,
                    field_selector=field_selector,
                    limit=size,
                ):
                    items += page.items
                    version = page.resource_version
            except Gone:
                if size == 0:
                    raise
                continue
            return ListResult(items=items, resource_version=version)
        raise AssertionError("unreachable")

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> AsyncGenerator[ListResult, None]:
        """The chunks of a list, all of one snapshot. Raises `Gone` when the snapshot expires."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        if limit:
            query["limit"] = str(limit)
        while True:
            answer = await self._json(_Call(
                verb="list", method="GET", plural=kind.plural, path=kind.path(namespace),
                query=query, repeatable=True, timeout=LIST_TIMEOUT_S,
            ))  # fmt: skip
            metadata = answer.get("metadata") or {}
            yield ListResult(
                items=answer.get("items") or [],
                resource_version=metadata.get("resourceVersion", ""),
            )
            if not (token := metadata.get("continue")):
                return
            query = {**query, "continue": token}

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> Object:
        """POST a new object. Not repeated after a broken connection."""
        return await self._json(_Call(
            verb="create", method="POST", plural=kind.plural, path=kind.path(namespace),
            query=_query(fieldManager=field_manager), body=_typed(kind, body),
        ))  # fmt: skip

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> Object:
        """JSON merge patch (RFC 7396) of exactly the members given.

        Put `metadata.resourceVersion` into the patch to make it conditional. Not repeated after a
        broken connection.
        """
        return await self._json(_Call(
            verb="patch", method="PATCH", plural=kind.plural,
            path=_path(kind, namespace, name, subresource),
            query=_query(fieldManager=field_manager), body=_dump(patch),
            content_type="application/merge-patch+json",
        ))  # fmt: skip

    async def apply(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
        force: bool = True,
    ) -> Object:
        """Server-side apply of the manager's whole intent; creates the object when it is absent."""
        query = _query(fieldManager=field_manager, force="true" if force else "false")
        return await self._json(_Call(
            verb="apply", method="PATCH", plural=kind.plural,
            path=_path(kind, namespace, name, subresource), query=query,
            body=_typed(kind, body), content_type="application/apply-patch+yaml", repeatable=True,
        ))  # fmt: skip

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation = "Background",
    ) -> None:
        """Delete one object; `uid` and `resource_version` are preconditions (`Conflict` otherwise).

        With a uid the call is repeated after a broken connection: `NotFound` may then mean that the
        first one did it, which to every caller is the same.
        """
        preconditions = _query(uid=uid or "", resourceVersion=resource_version or "")
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        options["propagationPolicy"] = propagation
        if preconditions:
            options["preconditions"] = preconditions
        await self._json(_Call(
            verb="delete", method="DELETE", plural=kind.plural,
            path=kind.path(namespace, name), query={}, body=_dump(options),
            repeatable=uid is not None,
        ))  # fmt: skip

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        seconds: int = WATCH_SECONDS,
        inactivity: float = INACTIVITY_S,
    ) -> AsyncGenerator[bytes, None]:
        """The events after `resource_version`, one JSON line each, bookmarks included.

        Ends when the server ends it. `Unreachable` when it breaks or is silent for `inactivity`
        seconds, `Gone` when the version is too old (which may also come as an ERROR event).
        """
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        query |= {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        query["resourceVersion"] = resource_version
        call = _Call(
            verb="watch", method="GET", plural=kind.plural, path=kind.path(namespace),
            query=query, timeout=0,
        )  # fmt: skip
        rest = b""
        async with self._answer(call, sock_read=inactivity) as response:
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield line

    async def _json(self, call: _Call) -> Object:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._answer(call) as response:
                    document = json.loads(await response.read())
            except (ApiError, Unreachable) as error:
                wait = self._wait(call, error, attempt)
                if wait is None or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(wait)
            except ValueError as error:
                raise ApiError(HTTPStatus.OK, "NotJSON", f"{call.path}: {error}") from error
            else:
                return document if isinstance(document, dict) else {}
        raise AssertionError("unreachable")

    def _wait(self, call: _Call, error: ApiError | Unreachable, attempt: int) -> float | None:
        """Seconds until the next try; None when there must be none."""
        backoff: float = BACKOFF_S * 3 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311
        if isinstance(error, Unreachable):
            return backoff if call.repeatable or not error.maybe_applied else None
        if error.status == HTTPStatus.UNAUTHORIZED:
            self._config.token.expire()
            return backoff if attempt == 1 else None
        advised = error.retry_after
        if advised is not None and advised <= MAX_WAIT_S:
            # Only 429 promises that nothing was done; 500/503/504 with advice are for reads.
            safe = isinstance(error, Throttled) or call.repeatable
            return advised if safe else None
        return None

    @asynccontextmanager
    async def _answer(
        self, call: _Call, sock_read: float | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request once; yields a successful answer, maps every failure."""
        began = time.monotonic()
        status = 0
        try:
            async with self._opened().request(
                call.method,
                self._config.server + call.path,
                params=dict(call.query),
                data=call.body,
                headers=self._headers(call),
                ssl=self._config.tls if self._config.tls is not None else True,
                timeout=aiohttp.ClientTimeout(
                    total=call.timeout or None,
                    sock_connect=CONNECT_TIMEOUT_S,
                    sock_read=sock_read,
                ),
            ) as response:
                status = response.status
                if status >= HTTPStatus.BAD_REQUEST:
                    after = response.headers.get("Retry-After")
                    raise parse_error(status, await response.read(), after)
                try:
                    yield response
                finally:
                    _drop_unread(response)
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{call.path}: {error}", maybe_applied=False) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(f"{call.path}: {error}", maybe_applied=False) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"{call.verb} {call.path}: {type(error).__name__} {error}"
            raise Unreachable(message, maybe_applied=True) from error
        finally:
            self._observe(call.verb, call.plural, status, time.monotonic() - began)

    def _headers(self, call: _Call) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        if token := self._config.token.current():
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # No limit: each watch holds a connection, and a limit would queue writes behind them.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                headers={"User-Agent": "klambda"},
                trust_env=False,
            )
            # aiohttp repeats GET and DELETE by itself, unseen; what is repeated is decided here.
            self._session._retry_connection = False
        return self._session


def _drop_unread(response: aiohttp.ClientResponse) -> None:
    """Close a connection that was left midway at once, without waiting for TLS to say goodbye."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


def _path(kind: Kind, namespace: str | None, name: str, subresource: str = "") -> str:
    path = kind.path(namespace, name)
    return f"{path}/{subresource}" if subresource else path


def _query(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _typed(kind: Kind, body: Mapping[str, Any]) -> bytes:
    return _dump({"apiVersion": kind.api_version, "kind": kind.kind, **body})


def _dump(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
