"""A zip on its way into the store: small ones in memory, larger ones in a file without a name.

Place: made where bytes come in (a request's body, a bucket, an address), read by ``zips`` and sent
by ``blobs``. Invariants: written once, then read as often as wanted; memory is one piece whatever
the size; the digest is known when the last byte is. Whoever makes one closes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import tempfile
from collections.abc import AsyncIterator
from types import TracebackType
from typing import IO, Final, Self

from klambda_core.code import CodeRef
from klambda_core.limits import MIB

IN_MEMORY: Final = MIB
PIECE: Final = 256 * 1024


class Upload:
    """Bytes that are written first and read afterwards."""

    def __init__(self) -> None:
        self._file: IO[bytes] = io.BytesIO()
        self._hash = hashlib.sha256()
        self._size = 0

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Of bytes that are at hand."""
        made = cls()
        made.write(data)
        return made

    def __len__(self) -> int:
        return self._size

    def __str__(self) -> str:
        return f"java.nio.HeapByteBuffer[pos=0 lim={self._size} cap={self._size}]"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Append."""
        if self._size <= IN_MEMORY < self._size + len(data):
            small, self._file = self._file, tempfile.TemporaryFile()  # noqa: SIM115 - see close
            small.seek(0)
            self._file.write(small.read())
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    @property
    def ref(self) -> CodeRef:
        """Digest and size of what was written."""
        return CodeRef(sha256=self._hash.hexdigest(), size=self._size)

    def file(self) -> IO[bytes]:
        """The bytes from their beginning, seekable; one reader at a time."""
        self._file.seek(0)
        return self._file

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes from their beginning, read beside the loop."""
        file = self.file()
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
