"""Blobs in a bucket of an S3-compatible service: `<prefix><namespace>/<2 hex>/<sha256>`.

Theory. An object of S3 is there whole or not at all, once PUT is answered it is durable, and its
time is that of the last PUT: what the port promises. A PUT needs the body's length and, so that the
service checks it, its SHA-256, so an upload goes to a file first (`incoming`, like the directory's)
and from there in one request: nothing half-written is ever in the bucket, and nothing to sweep.
Keys are laid out as the directory is, so that any S3 client can copy one into the other.
Invariants: one store per prefix (uploads and deletions of one blob take turns in this process);
memory per upload or download is a piece and what aiohttp buffers. An object that was opened is
read to its end; where the connection breaks, reading goes on behind the last piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from klambda_store.blobs.bucket import Body, Bucket
from klambda_store.blobs.incoming import Arriving, Incoming
from klambda_store.blobs.port import (
    MAX_BLOB,
    BlobInfo,
    Download,
    Stored,
    Unavailable,
    Upload,
    is_digest,
    is_namespace,
)

PIECE = 256 * 1024
BREAKS_MAX = 3
"""How often one download is taken up again."""
_TURNS = 256


class S3Blobs:
    """The adapter; `root` is where uploads wait until they are whole: a folder of its own."""

    def __init__(
        self, root: Path, bucket: Bucket, *, prefix: str = "", max_blob: int = MAX_BLOB
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._incoming = Incoming(root, max_blob=max_blob)
        self._turns = tuple(asyncio.Lock() for _ in range(_TURNS))

    def open(self) -> int:
        """See the port."""
        return self._incoming.open()

    def close(self) -> None:
        """See the port."""
        self._incoming.close()

    def free_bytes(self) -> float:
        """See the port: those of the volume that uploads go through."""
        return self._incoming.free_bytes()

    def away(self) -> bool:
        """See the port."""
        return self._bucket.away

    @asynccontextmanager
    async def upload(self, namespace: str) -> AsyncIterator[Upload]:
        """See the port."""
        async with self._incoming.receive() as arriving:
            yield _S3Upload(self, arriving, namespace)

    async def put(self, namespace: str, arriving: Arriving, digest: str) -> bool:
        """Put what has arrived; whether it was not there before."""
        key = self._key(namespace, digest)
        async with self._turn(digest):
            # Also when it is there: that renews its age, and the sweeper spares it.
            created = await self._bucket.head(key) is None
            body = Body(path=arriving.path, size=arriving.size, sha256=digest)
            await self._bucket.put(key, body)
        return created

    @asynccontextmanager
    async def download(self, namespace: str, sha256: str) -> AsyncIterator[Download | None]:
        """See the port."""
        key = self._key(namespace, sha256)
        response = await self._bucket.get(key)
        if response is None:
            yield None
            return
        download = _S3Download(self._bucket, key, response)
        try:
            yield download
        finally:
            download.close()

    async def size(self, namespace: str, sha256: str) -> int | None:
        """See the port."""
        head = await self._bucket.head(self._key(namespace, sha256))
        if head is None:
            await self._bucket.exists()
            return None
        return head.size

    async def delete(self, namespace: str, sha256: str, *, unmodified: int | None = None) -> bool:
        """See the port."""
        key = self._key(namespace, sha256)
        async with self._turn(sha256):
            if unmodified is not None:
                head = await self._bucket.head(key)
                if head is not None and int(head.modified.timestamp()) > unmodified:
                    return False
            await self._bucket.delete(key)
        return True

    async def namespaces(self) -> list[str]:
        """See the port."""
        return sorted([n async for n in self._bucket.folders(self._prefix) if is_namespace(n)])

    async def list(self, namespace: str) -> list[BlobInfo]:
        """See the port. What is no blob of ours is left out."""
        found = []
        async for entry in self._bucket.entries(f"{self._prefix}{namespace}/"):
            digest = entry.key.rpartition("/")[2]
            if is_digest(digest) and entry.key == self._key(namespace, digest):
                modified = int(entry.modified.timestamp())
                found.append(BlobInfo(sha256=digest, size=entry.size, modified=modified))
        return sorted(found, key=lambda blob: blob.sha256)

    def _key(self, namespace: str, sha256: str) -> str:
        return f"{self._prefix}{namespace}/{sha256[:2]}/{sha256}"

    def _turn(self, sha256: str) -> asyncio.Lock:
        return self._turns[int(sha256[:2], 16)]


class _S3Upload:
    def __init__(self, blobs: S3Blobs, arriving: Arriving, namespace: str) -> None:
        self._blobs = blobs
        self._arriving = arriving
        self._namespace = namespace

    async def write(self, piece: bytes) -> None:
        await self._arriving.write(piece)

    async def commit(self, expected: str | None = None) -> Stored:
        digest = self._arriving.digest(expected)
        created = await self._blobs.put(self._namespace, self._arriving, digest)
        return Stored(sha256=digest, size=self._arriving.size, created=created)


class _S3Download:
    def __init__(self, bucket: Bucket, key: str, response: aiohttp.ClientResponse) -> None:
        self._bucket = bucket
        self._key = key
        self._response: aiohttp.ClientResponse | None = response
        self._at = 0
        if response.content_length is None:
            response.close()
            raise Unavailable("the S3 service does not say how long an object is")
        self._size = response.content_length

    @property
    def size(self) -> int:
        return self._size

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        breaks = 0
        while start < stop:
            response = await self._from(start)
            try:
                async for piece in response.content.iter_chunked(PIECE):
                    wanted = piece[: stop - start]
                    start += len(wanted)
                    self._at += len(piece)
                    yield wanted
                    if start == stop:
                        return
                said = "an object is shorter than it was"
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                said = f"{type(error).__name__} {error}"
            self.close()
            breaks += 1
            if breaks > BREAKS_MAX:
                raise Unavailable(f"the S3 service broke off: {said}")

    async def _from(self, start: int) -> aiohttp.ClientResponse:
        """The answer whose next byte is this one."""
        if self._response is None or self._at != start:
            self.close()
            self._response = await self._bucket.get(self._key, start)
            if self._response is None:
                raise Unavailable("an object is gone")
            self._at = start
        return self._response

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
