"""One bucket of an S3-compatible service: objects put, read, looked at, deleted and listed.

Place: `s3` keeps blobs with it. Invariants: nothing is in memory but pieces; requests that fail for
a passing reason are made again, a few times; what a body's SHA-256 is, the service is told, so that
it keeps no other bytes; whatever the service does, what comes out is an answer, `NoSpace` or
`Unavailable`, whose text says what the service said. Not here: how requests are signed
(`klambda_core.s3`), what the objects are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import aiohttp
from yarl import URL

from klambda_core.s3 import (
    EMPTY_SHA256,
    Entry,
    Listing,
    Place,
    error_of,
    listing_of,
    signed_request,
)
from klambda_kube.trust import Trust
from klambda_obs import logs
from klambda_store.blobs.port import NoSpace, Unavailable

CONNECT_S = 5.0
SILENCE_S = 20.0
"""Below the 30 s for which the gateway lets the store be silent."""
ATTEMPTS = 3
BACKOFF_S = 0.2
PAGE = 1000
ERROR_MAX = 16 * 1024
LISTING_MAX = 4 * 1024 * 1024
"""A page of 1000 keys is some 400 KB."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_FULL = frozenset({507})

_log = logs.get("klambda.store.bucket")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known of an object without reading it."""

    size: int
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What is put: a file, read anew at each attempt."""

    path: Path
    size: int
    sha256: str


def session(trust: Trust = True) -> aiohttp.ClientSession:
    """Connections to the service; for one event loop."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trust),
        timeout=timeout,
        auto_decompress=False,
        trust_env=False,
    )


class Bucket:
    """The client. It does not close the session."""

    def __init__(
        self,
        place: Place,
        http: aiohttp.ClientSession,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._place = place
        self._http = http
        self._now = now
        self.away = False
        """Whether the last exchange failed."""

    async def put(self, key: str, body: Body) -> None:
        """Store an object, whole or not at all. Raises `NoSpace`, `Unavailable`."""
        (await self._exchange("PUT", key, body=body)).release()

    async def get(self, key: str, start: int = 0) -> aiohttp.ClientResponse | None:
        """An object from `start` on, None when there is none. Close the answer."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        response = await self._exchange("GET", key, headers=headers)
        if response.status != HTTPStatus.NOT_FOUND:
            return response
        await self._absent(response)
        return None

    async def head(self, key: str) -> Head | None:
        """What an object is like, None when there is none."""
        response = await self._exchange("HEAD", key)
        response.release()
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        try:
            return Head(
                size=int(response.headers["Content-Length"]),
                modified=parsedate_to_datetime(response.headers["Last-Modified"]),
            )
        except (KeyError, ValueError) as error:
            raise self._trouble("HEAD", key, "an answer without size or time") from error

    async def exists(self) -> None:
        """Raise `Unavailable` unless the bucket is there: HEAD of an object does not tell."""
        response = await self._exchange("HEAD", "")
        response.release()
        if response.status == HTTPStatus.NOT_FOUND:
            raise self._trouble("HEAD", "", f"there is no bucket {self._place.bucket}")

    async def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        response = await self._exchange("DELETE", key)
        if response.status == HTTPStatus.NOT_FOUND:
            await self._absent(response)
        response.release()

    async def entries(self, prefix: str) -> AsyncIterator[Entry]:
        """All objects whose keys begin so."""
        async for page in self._pages({"prefix": prefix}):
            for entry in page.entries:
                yield entry

    async def folders(self, prefix: str) -> AsyncIterator[str]:
        """What follows the prefix in keys, up to the next slash."""
        async for page in self._pages({"prefix": prefix, "delimiter": "/"}):
            for found in page.prefixes:
                yield found.removeprefix(prefix).removesuffix("/")

    async def _pages(self, query: Mapping[str, str]) -> AsyncIterator[Listing]:
        token: str | None = None
        while True:
            members = {"list-type": "2", "max-keys": str(PAGE), **query}
            if token is not None:
                members["continuation-token"] = token
            page = await self._page(members)
            yield page
            token = page.next
            if token is None:
                return

    async def _page(self, query: Mapping[str, str]) -> Listing:
        response = await self._exchange("GET", "", query=query)
        try:
            text = await _text(response, LISTING_MAX)
            return listing_of(text)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._trouble("GET", "", f"no listing: {_word(error)}") from error
        finally:
            response.close()

    async def _absent(self, response: aiohttp.ClientResponse) -> None:
        """Tell an object that is not there from a bucket that is not."""
        text = await _text(response, ERROR_MAX)
        response.release()
        code, message = error_of(text) or ("NoSuchKey", "")
        if code != "NoSuchKey":
            raise self._trouble("GET", "", f"404 {code}: {message}")

    async def _exchange(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> aiohttp.ClientResponse:
        """An answer of 2xx or 404, which the caller must release."""
        said = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(BACKOFF_S * 2 ** (attempt - 1))
            try:
                response = await self._attempt(method, key, query or {}, headers or {}, body)
            except _Refused as refused:
                said = str(refused)
                if refused.status in _FULL:
                    raise NoSpace(f"the S3 service is full: {said}") from refused
                if refused.status not in _PASSING:
                    break
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                said = _word(error)
                if isinstance(error, aiohttp.SocketTimeoutError):
                    break  # whoever waits for us would not wait for another
            else:
                self.away = False
                return response
        raise self._trouble(method, key, said)

    async def _attempt(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Body | None,
    ) -> aiohttp.ClientResponse:
        sha256 = EMPTY_SHA256 if body is None else body.sha256
        url, signed = signed_request(
            method, self._place, key, query, now=self._now(), payload_sha256=sha256
        )
        given = {**headers, **signed}
        if body is not None:
            given |= {"Content-Type": "application/octet-stream", "Content-Length": str(body.size)}
        with await _opened(body) as file:
            response = await self._http.request(
                method, URL(url, encoded=True), headers=given, data=file, allow_redirects=False
            )
            if response.status < HTTPStatus.MULTIPLE_CHOICES or _answers(method, response.status):
                return response
            raise _Refused(response.status, await _said(response))

    def _trouble(self, method: str, key: str, said: str) -> Unavailable:
        if not self.away:
            _log.error("s3-unavailable", method=method, key=key, said=said)
        self.away = True
        return Unavailable(f"the S3 service did not do {method}: {said}")


class _Refused(Exception):
    """An answer that is none."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


async def _opened(body: Body | None) -> AbstractContextManager[BinaryIO | None]:
    return nullcontext() if body is None else await asyncio.to_thread(body.path.open, "rb")


def _answers(method: str, status: int) -> bool:
    """Whether 404 answers the question."""
    return status == HTTPStatus.NOT_FOUND and method != "PUT"


async def _said(response: aiohttp.ClientResponse) -> str:
    text = await _text(response, ERROR_MAX)
    response.release()
    found = error_of(text)
    return f"{response.status} {found[0]}: {found[1]}" if found else str(response.status)


async def _text(response: aiohttp.ClientResponse, limit: int) -> str:
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise ValueError("it is too long")
    return b"".join(pieces).decode("utf-8", "replace")


def _word(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
