"""The gateway's client of the blob store: put, get, look, and URLs that others may fetch.

Place: code upload, code resolution and the data plane (inline code, fetch URLs) use it. Invariants:
every request carries a ticket made for its method and path (docs/runtime-contract.md, 4 and 5);
blobs are named by their digest, so putting twice is putting once and calls are repeated when the
connection breaks. Not here: what a zip contains.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from types import TracebackType
from typing import Self

import aiohttp

from klambda_core.code import CodeRef
from klambda_core.tickets import VALIDITY_S, ticket
from klambda_gateway.code.sweeping import StoredBlob

CONNECT_S = 5.0
SILENCE_S = 30.0
"""How long the store may be silent within one exchange."""
ATTEMPTS = 5
BACKOFF_S = 0.2
"""Waits 0.2, 0.4, 0.8, 1.6 s: a store that restarts is back by then, or a client may try again."""
CHUNK = 64 * 1024


class StoreError(Exception):
    """The store could not be reached, or refused; ``status`` 0 means no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"store: {status} {message}" if status else f"store: {message}")
        self.status = status


class BlobMissing(StoreError):
    """404: no such blob in this namespace."""


class Blobs:
    """Blobs of all namespaces in one store. Use in one event loop; ``close()`` it there."""

    def __init__(self, base_url: str, key: str, *, now: Callable[[], float] = time.time) -> None:
        self._base = base_url.rstrip("/")
        self._key = key
        self._now = now
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
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    def url(self, namespace: str, sha256: str, lifetime: int = VALIDITY_S) -> str:
        """Where an instance fetches the blob, for ``lifetime`` seconds from now."""
        return self._url("GET", _path(namespace, sha256), lifetime)

    async def put(self, namespace: str, data: bytes) -> CodeRef:
        """Store bytes under their own digest."""
        ref = CodeRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        await self._repeat("PUT", _path(namespace, ref.sha256), data)
        return ref

    async def put_pieces(
        self, namespace: str, ref: CodeRef, pieces: Callable[[], AsyncIterator[bytes]]
    ) -> None:
        """Store what ``pieces`` yields, each time it is called, under its digest."""
        path = _path(namespace, ref.sha256)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._request("PUT", path, pieces()) as response:
                    await _raise_for(response)
                    return
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                await _pause(attempt, error)

    async def put_stream(self, namespace: str, chunks: AsyncIterator[bytes]) -> CodeRef:
        """Store bytes whose digest the store finds out. Not repeated: a stream flows once."""
        try:
            async with self._request("POST", f"/v1/blobs/{namespace}", chunks) as response:
                await _raise_for(response)
                answer = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreError(0, f"{type(error).__name__} {error}") from error
        return CodeRef(sha256=answer["sha256"], size=answer["size"])

    async def get(self, namespace: str, sha256: str) -> bytes:
        """The blob's bytes. Raises BlobMissing."""
        return await self._repeat("GET", _path(namespace, sha256))

    async def get_stream(self, namespace: str, sha256: str) -> AsyncIterator[bytes]:
        """The blob in pieces. Raises BlobMissing before the first one."""
        try:
            async with self._request("GET", _path(namespace, sha256)) as response:
                await _raise_for(response)
                async for chunk in response.content.iter_chunked(CHUNK):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StoreError(0, f"{type(error).__name__} {error}") from error

    async def size(self, namespace: str, sha256: str) -> int | None:
        """The blob's size, None when it is not there."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._request("HEAD", _path(namespace, sha256)) as response:
                    if response.status == HTTPStatus.NOT_FOUND:
                        return None
                    await _raise_for(response)
                    return int(response.headers["Content-Length"])
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                await _pause(attempt, error)
        raise AssertionError("unreachable")

    async def exists(self, namespace: str, sha256: str) -> bool:
        """Whether the blob is there; if so, no sweep that has looked already deletes it."""
        return await self.size(namespace, sha256) is not None

    async def namespaces(self) -> list[str]:
        """The namespaces that have blobs."""
        answer = json.loads(await self._repeat("GET", "/v1/blobs/"))
        return list(answer["namespaces"])

    async def list(self, namespace: str) -> list[StoredBlob]:
        """All blobs of a namespace, as one look at them."""
        answer = json.loads(await self._repeat("GET", f"/v1/blobs/{namespace}"))
        return [
            StoredBlob(
                namespace=namespace,
                sha256=each["sha256"],
                modified=each["modified"],
                look=answer.get("look", ""),
            )
            for each in answer["blobs"]
        ]

    async def delete(self, blob: StoredBlob) -> bool:
        """Delete a blob unless it was uploaded or asked for since that look; whether it is gone."""
        query = f"&unmodified={blob.modified}&look={blob.look}"
        try:
            await self._repeat("DELETE", _path(blob.namespace, blob.sha256), query=query)
        except StoreError as error:
            if error.status == HTTPStatus.PRECONDITION_FAILED:
                return False
            raise
        return True

    async def _repeat(
        self, method: str, path: str, data: bytes | None = None, *, query: str = ""
    ) -> bytes:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                # A file-like body is sent in pieces; bytes would be written in one.
                body = None if data is None else io.BytesIO(data)
                async with self._request(method, path, body, query) as response:
                    await _raise_for(response)
                    return await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                await _pause(attempt, error)
        raise AssertionError("unreachable")

    def _request(
        self,
        method: str,
        path: str,
        data: io.BytesIO | AsyncIterator[bytes] | None = None,
        query: str = "",
    ) -> aiohttp.client._RequestContextManager:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S
                ),
                trust_env=False,
            )
        return self._session.request(method, self._url(method, path) + query, data=data)

    def _url(self, method: str, path: str, lifetime: int = VALIDITY_S) -> str:
        signed_as = "GET" if method == "HEAD" else method
        query = ticket(self._key, signed_as, path, now=self._now(), validity=lifetime)
        return f"{self._base}{path}?{query}"


def _path(namespace: str, sha256: str) -> str:
    return f"/v1/blobs/{namespace}/{sha256}"


async def _raise_for(response: aiohttp.ClientResponse) -> None:
    if response.status < HTTPStatus.BAD_REQUEST:
        return
    text = (await response.content.read(500)).decode("utf-8", "replace")
    kind = BlobMissing if response.status == HTTPStatus.NOT_FOUND else StoreError
    raise kind(response.status, text)


async def _pause(attempt: int, error: Exception) -> None:
    if attempt == ATTEMPTS:
        raise StoreError(0, f"{type(error).__name__} {error}") from error
    await asyncio.sleep(BACKOFF_S * 2 ** (attempt - 1))
