"""Blobs in a directory: `<root>/blobs/<namespace>/<2 hex>/<sha256>`, uploads in `<root>/incoming`.

Durability: the bytes are written to a file in `incoming`, fsynced, renamed to their digest, and the
directories are fsynced. A kill at any moment leaves either no blob or the whole one; what is left
in `incoming` is swept at the next start.
All file work runs in threads; memory per upload or download is one piece of at most `PIECE` bytes
and what aiohttp buffers.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from klambda_store.blobs.incoming import Arriving, Incoming, full_volume
from klambda_store.blobs.port import MAX_BLOB, BlobInfo, Download, Stored, Upload

PIECE = 256 * 1024


class DirectoryBlobs:
    """The adapter."""

    def __init__(self, root: Path, *, max_blob: int = MAX_BLOB) -> None:
        self._blobs = root / "blobs"
        self._incoming = Incoming(root, max_blob=max_blob)
        self._settling = threading.Lock()
        """A blob is not removed at the moment in which an upload finds that it is there."""

    def open(self) -> int:
        """See the port."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        return self._incoming.open()

    def close(self) -> None:
        """See the port."""
        self._incoming.close()

    def free_bytes(self) -> float:
        """See the port."""
        return self._incoming.free_bytes()

    def away(self) -> bool:
        """See the port."""
        return False

    @asynccontextmanager
    async def upload(self, namespace: str) -> AsyncIterator[Upload]:
        """See the port."""
        async with self._incoming.receive() as arriving:
            yield _FileUpload(arriving, self._blobs / namespace, self._settling)

    @asynccontextmanager
    async def download(self, namespace: str, sha256: str) -> AsyncIterator[Download | None]:
        """See the port."""
        try:
            download = await asyncio.to_thread(_FileDownload, self._path(namespace, sha256))
        except FileNotFoundError:
            yield None
            return
        try:
            yield download
        finally:
            download.close()

    async def size(self, namespace: str, sha256: str) -> int | None:
        """See the port."""
        try:
            return (await asyncio.to_thread(self._path(namespace, sha256).stat)).st_size
        except FileNotFoundError:
            return None

    async def delete(self, namespace: str, sha256: str, *, unmodified: int | None = None) -> bool:
        """See the port."""
        path = self._path(namespace, sha256)
        return await asyncio.to_thread(self._remove, path, unmodified)

    def _remove(self, path: Path, unmodified: int | None) -> bool:
        with self._settling, suppress(FileNotFoundError):
            if unmodified is not None and int(path.stat().st_mtime) > unmodified:
                return False
            path.unlink()
        return True

    async def namespaces(self) -> list[str]:
        """See the port."""
        return await asyncio.to_thread(lambda: sorted(p.name for p in self._blobs.iterdir()))

    async def list(self, namespace: str) -> list[BlobInfo]:
        """See the port."""
        return await asyncio.to_thread(_scan, self._blobs / namespace)

    def _path(self, namespace: str, sha256: str) -> Path:
        return self._blobs / namespace / sha256[:2] / sha256


class _FileUpload:
    def __init__(self, arriving: Arriving, home: Path, settling: threading.Lock) -> None:
        self._arriving = arriving
        self._home = home
        self._settling = settling

    async def write(self, piece: bytes) -> None:
        await self._arriving.write(piece)

    async def commit(self, expected: str | None = None) -> Stored:
        digest = self._arriving.digest(expected)
        created = await asyncio.to_thread(self._settle, digest)
        return Stored(sha256=digest, size=self._arriving.size, created=created)

    def _settle(self, digest: str) -> bool:
        target = self._home / digest[:2] / digest
        # An upload of what is there renews its age: the sweeper spares what is in fresh use.
        with self._settling, suppress(FileNotFoundError):
            os.utime(target)
            return False
        with full_volume():
            self._arriving.sync()
            for folder in (self._home, target.parent):
                if not folder.is_dir():
                    folder.mkdir(exist_ok=True)
                    _fsync_directory(folder.parent)
            self._arriving.path.rename(target)
            _fsync_directory(target.parent)
        return True


class _FileDownload:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._file).st_size

    @property
    def size(self) -> int:
        return self._size

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        while start < stop:
            piece = await asyncio.to_thread(os.pread, self._file, min(PIECE, stop - start), start)
            if not piece:
                raise OSError(errno.EIO, "the blob is shorter than it was")
            start += len(piece)
            yield piece

    def close(self) -> None:
        os.close(self._file)


def _scan(home: Path) -> list[BlobInfo]:
    found: list[BlobInfo] = []
    for path in home.glob("??/*"):
        with suppress(FileNotFoundError):  # deleted meanwhile
            stat = path.stat()
            found.append(BlobInfo(sha256=path.name, size=stat.st_size, modified=int(stat.st_mtime)))
    return sorted(found, key=lambda blob: blob.sha256)


def _fsync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
