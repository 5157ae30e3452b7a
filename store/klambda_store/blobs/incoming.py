"""Uploads on their way: files in `<root>/incoming`, counted and hashed as they grow.

Place: both adapters receive into it, because a blob's name is known only when all of it is there.
One process owns the root: a lock file says so, because the sweep at the start would otherwise
destroy another's uploads. All file work runs in threads. Not here: what becomes of a file.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from klambda_store.blobs.port import DigestMismatch, NoSpace, TooLarge

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class InUse(Exception):
    """Another process owns the directory."""


class Incoming:
    """The folder. `open()` locks and sweeps; `close()` gives the lock back."""

    def __init__(self, root: Path, *, max_blob: int) -> None:
        self._folder = root / "incoming"
        self._lock_path = root / "lock"
        self._max_blob = max_blob
        self._lock: int | None = None

    def open(self) -> int:
        """Take the directory into possession; returns how many broken-off uploads were swept."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise InUse(f"{self._lock_path} is held by another process") from error
        self._lock = lock
        leftovers = list(self._folder.iterdir())
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
        stat = os.statvfs(self._folder)
        return float(stat.f_bavail * stat.f_frsize)

    @asynccontextmanager
    async def receive(self) -> AsyncIterator[Arriving]:
        """A new file; it is removed at the end unless it was moved."""
        path = self._folder / uuid.uuid4().hex
        arriving = await asyncio.to_thread(Arriving, path, self._max_blob)
        try:
            yield arriving
        finally:
            arriving.abandon()


class Arriving:
    """One upload's file."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path = path
        self.size = 0
        self._limit = limit
        self._hash = hashlib.sha256()
        with full_volume():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o600)

    async def write(self, piece: bytes) -> None:
        """Append. Raises `TooLarge`, `NoSpace`."""
        self.size += len(piece)
        if self.size > self._limit:
            raise TooLarge(f"a blob has at most {self._limit} bytes")
        await asyncio.to_thread(self._write, piece)

    def _write(self, piece: bytes) -> None:
        self._hash.update(piece)
        rest = memoryview(piece)
        with full_volume():
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def digest(self, expected: str | None) -> str:
        """The SHA-256 of all that was written. Raises `DigestMismatch`."""
        digest = self._hash.hexdigest()
        if expected is not None and expected != digest:
            raise DigestMismatch(f"the bytes have SHA-256 {digest}, not {expected}")
        return digest

    def sync(self) -> None:
        """Have the bytes on the disk."""
        os.fsync(self._file)

    def abandon(self) -> None:
        """Close; remove the file if it still has its name."""
        os.close(self._file)
        self.path.unlink(missing_ok=True)


@contextmanager
def full_volume() -> Iterator[None]:
    """Tell a full volume from other trouble."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace("the store's volume is full") from error
        raise
