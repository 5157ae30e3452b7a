"""What a sweep may no longer delete: blobs that somebody was told are there since it looked.

Theory. A sweep lists blobs, then reads what names them, then deletes; meanwhile an object may come
to name one that is due. Whoever brings such an object into use asks for the blob first (or uploads
it), so the answer is a promise: a deletion tells by which look it goes, and is refused when the
blob was asked for or uploaded after that look. So either the deletion is first, and the blob is
said to be missing, or the promise is, and it stays.
Place: around the adapter, which compares times besides: those also know what another process put
there. Invariants: asking and deleting one blob take turns; what is remembered is bounded, and does
not outlive the process: a look of an earlier one, or of before a clearing, is good for nothing.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from klambda_store.blobs.port import BlobInfo, Blobs, Download, Stored, Upload

REMEMBERED = 100_000
"""Promises, some 20 MB of them."""
_TURNS = 256

Key = tuple[str, str]


class Promises:
    """Which blobs were promised after which look."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._begin()

    def _begin(self) -> None:
        self._era = uuid.uuid4().hex
        self._looks = 0
        self._made: dict[Key, int] = {}

    def look(self) -> str:
        """A name for this moment."""
        self._looks += 1
        return f"{self._era}.{self._looks}"

    def make(self, key: Key) -> None:
        """From now on it is there."""
        if len(self._made) >= self._most and key not in self._made:
            self._begin()
        self._made[key] = self._looks

    def made_since(self, key: Key, look: str) -> bool:
        """Whether one was, or may have been, made after a look."""
        era, _, number = look.partition(".")
        if era != self._era or not (number.isascii() and number.isdecimal()):
            return True
        return self._made.get(key, -1) >= int(number)


class PromisedBlobs:
    """Blobs, and the promises made of them. For one event loop."""

    def __init__(self, blobs: Blobs, promises: Promises | None = None) -> None:
        self._blobs = blobs
        self._promises = promises or Promises()
        self._turns = tuple(asyncio.Lock() for _ in range(_TURNS))

    def upload(self, namespace: str) -> AbstractAsyncContextManager[Upload]:
        """See the port; once committed it is promised."""
        return self._upload(namespace)

    @asynccontextmanager
    async def _upload(self, namespace: str) -> AsyncIterator[Upload]:
        async with self._blobs.upload(namespace) as upload:
            yield _Promising(self, upload, namespace)

    async def commit(self, upload: Upload, namespace: str, expected: str | None) -> Stored:
        """Commit an upload. The promise comes first: no deletion may come between."""
        if expected is None:
            stored = await upload.commit()
            self._promises.make((namespace, stored.sha256))
            return stored
        async with self._turn(expected):
            self._promises.make((namespace, expected))
            return await upload.commit(expected)

    def download(self, namespace: str, sha256: str) -> AbstractAsyncContextManager[Download | None]:
        """See the port."""
        return self._blobs.download(namespace, sha256)

    async def size(self, namespace: str, sha256: str) -> int | None:
        """See the port; the answer is a promise."""
        async with self._turn(sha256):
            size = await self._blobs.size(namespace, sha256)
            if size is not None:
                self._promises.make((namespace, sha256))
        return size

    async def delete(
        self, namespace: str, sha256: str, *, unmodified: int | None = None, look: str | None = None
    ) -> bool:
        """See the port; it stays, too, when it was promised after ``look``."""
        async with self._turn(sha256):
            if look is not None and self._promises.made_since((namespace, sha256), look):
                return False
            return await self._blobs.delete(namespace, sha256, unmodified=unmodified)

    async def namespaces(self) -> list[str]:
        """See the port."""
        return await self._blobs.namespaces()

    async def list(self, namespace: str) -> tuple[list[BlobInfo], str]:
        """See the port; and what to call the moment before."""
        look = self._promises.look()
        return await self._blobs.list(namespace), look

    def _turn(self, sha256: str) -> asyncio.Lock:
        return self._turns[int(sha256[:2], 16)]


class _Promising:
    def __init__(self, blobs: PromisedBlobs, upload: Upload, namespace: str) -> None:
        self._blobs = blobs
        self._upload = upload
        self._namespace = namespace

    async def write(self, piece: bytes) -> None:
        await self._upload.write(piece)

    async def commit(self, expected: str | None = None) -> Stored:
        return await self._blobs.commit(self._upload, self._namespace, expected)
