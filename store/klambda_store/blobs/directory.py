"""Blobs in a directory: `<root>/blobs/<namespace>/<2 hex>/<sha256>`, uploads in `<root>/incoming`.

Durability: the bytes are written to a file in `incoming`, fsynced, renamed to their digest, and the
directories are fsynced. A kill at any moment leaves either no blob or the whole one; what is left
in `incoming` is swept at the next start. One process owns the root: a lock file says so, because
the sweep would otherwise destroy another's uploads.
All file work runs in threads; memory per upload or download is one piece of at most `PIECE` bytes
and what aiohttp buffers.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from klambda_store.blobs.port import (
    MAX_BLOB,
    BlobInfo,
    DigestMismatch,
    Download,
    NoSpace,
    Stored,
    TooLarge,
    Upload,
)

PIECE = 256 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class InUse(Exception):
    """Another process owns the directory."""


class DirectoryBlobs:
    """The adapter. `open()` locks and sweeps; `close()` gives the lock back."""

    def __init__(self, root: Path, *, max_blob: int = MAX_BLOB) -> None:
        self._blobs = root / "blobs"
        self._incoming = root / "incoming"
        self._lock_path = root / "lock"
        self._max_blob = max_blob
        self._lock: int | None = None
        self._settling = threading.Lock()
        """A blob is not removed at the moment in which an upload finds that it is there."""

    def open(self) -> int:
        """Take the directory into possession; returns how many broken-off uploads were swept."""
        self._blobs.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise InUse(f"{self._lock_path} is held by another process") from error
        self._lock = lock
        leftovers = list(self._incoming.iterdir())
        for path in leftovers:
            path.unlink()
        return len(leftovers)

    def close(self) -> None:
        """Release the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def free_bytes(self) -> float:
        """Bytes that may still be written to the volume."""
        stat = os.statvfs(self._blobs)
        return float(stat.f_bavail * stat.f_frsize)

    @asynccontextmanager
    async def upload(self, namespace: str) -> AsyncIterator[Upload]:
        """See the port."""
        path = self._incoming / uuid.uuid4().hex
        upload = await asyncio.to_thread(
            _FileUpload, path, self._blobs / namespace, self._max_blob, self._settling
        )
        try:
            yield upload
        finally:
            upload.abandon()

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
    def __init__(self, path: Path, home: Path, limit: int, settling: threading.Lock) -> None:
        self._path = path
        self._home = home
        self._limit = limit
        self._settling = settling
        self._hash = hashlib.sha256()
        self._size = 0
        with _full_volume():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o600)

    async def write(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise TooLarge(f"a blob has at most {self._limit} bytes")
        await asyncio.to_thread(self._write, piece)

    def _write(self, piece: bytes) -> None:
        self._hash.update(piece)
        rest = memoryview(piece)
        with _full_volume():
            while rest:
                rest = rest[os.write(self._file, rest) :]

    async def commit(self, expected: str | None = None) -> Stored:
        digest = self._hash.hexdigest()
        if expected is not None and expected != digest:
            raise DigestMismatch(f"the bytes have SHA-256 {digest}, not {expected}")
        created = await asyncio.to_thread(self._settle, digest)
        return Stored(sha256=digest, size=self._size, created=created)

    def _settle(self, digest: str) -> bool:
        target = self._home / digest[:2] / digest
        # An upload of what is there renews its age: the sweeper spares what is in fresh use.
        with self._settling, suppress(FileNotFoundError):
            os.utime(target)
            return False
        with _full_volume():
            os.fsync(self._file)
            for folder in (self._home, target.parent):
                if not folder.is_dir():
                    folder.mkdir(exist_ok=True)
                    _fsync_directory(folder.parent)
            self._path.rename(target)
            _fsync_directory(target.parent)
        return True

    def abandon(self) -> None:
        """Close; remove the file unless it has become a blob."""
        os.close(self._file)
        self._path.unlink(missing_ok=True)


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


@contextmanager
def _full_volume() -> Iterator[None]:
    """Tell a full volume from other trouble."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace("the store's volume is full") from error
        raise


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
