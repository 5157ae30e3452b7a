"""One request to the API server, sent, perhaps sent again, and its failures named.

What is repeated and what is not:
- nothing was sent (connection refused), or 429 (the server did nothing): every verb, a few times;
- the connection broke after sending (a server restart): what the caller calls ``repeatable``;
- everything else is then not repeated: `Unreachable` with `maybe_applied` comes out, and the caller
  looks before it calls the write failed.
A 401 re-reads the token file and is tried once more. Every call has a time limit.
Place: under `api.Api`, which makes the calls. Not here: verbs, paths, objects.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp

from klambda_kube.config import ClusterConfig
from klambda_kube.errors import ApiError, Throttled, Unreachable, parse_error

Observer = Callable[[str, str, int, float], None]
"""Called per attempt with verb, plural, HTTP status (0: no answer) and seconds."""

CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 15.0
ATTEMPTS = 4
BACKOFF_S = 0.1
MAX_WAIT_S = 5.0
"""A longer Retry-After is passed on as `Throttled` instead of waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    verb: str
    method: str
    plural: str
    path: str
    query: Mapping[str, str]
    body: bytes | None = None
    content_type: str = "application/json"
    repeatable: bool = False
    """Doing it twice is doing it once."""
    timeout: float = REQUEST_TIMEOUT_S
    """Seconds; 0: none."""


class Transport:
    """Connections to one API server."""

    def __init__(self, config: ClusterConfig, observe: Observer) -> None:
        self._config = config
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections, watches included."""
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)  # what was aborted closes its socket in the loop's next turn

    async def json(self, call: Call) -> dict[str, Any]:
        """Send a request, repeat it where that is safe, and return its answer."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self.answer(call) as response:
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

    def _wait(self, call: Call, error: ApiError | Unreachable, attempt: int) -> float | None:
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
    async def answer(
        self, call: Call, sock_read: float | None = None
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

    def _headers(self, call: Call) -> dict[str, str]:
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
