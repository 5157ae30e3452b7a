"""What the HTTP side needs of whatever keeps the blobs.

Two adapters: a directory (`directory`), and a bucket of an S3-compatible service (`s3`). An adapter
promises: a blob is there whole or not at all, once `commit` has returned it survives a power cut,
and two uploads of the same bytes do not disturb each other (tests/integration/store holds both to
it).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

MAX_BLOB = 300 * 1024 * 1024
"""Lambda unzips at most 250 MB; a zip of incompressible files is a little larger."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class BlobError(Exception):
    """Why something could not be done with a blob."""


class TooLarge(BlobError):
    """More than `MAX_BLOB` bytes."""


class DigestMismatch(BlobError):
    """The bytes are not what the digest says."""


class NoSpace(BlobError):
    """The volume is full."""


class Unavailable(BlobError):
    """Where the blobs are kept does not answer, or refuses us: try again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The outcome of an upload; `created` is false when the blob was there already."""

    sha256: str
    size: int
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobInfo:
    """One blob; `modified` is when it was last uploaded, in whole seconds of Unix time."""

    sha256: str
    size: int
    modified: int


class Upload(Protocol):
    """An upload in progress."""

    async def write(self, piece: bytes) -> None:
        """Take the next bytes; raises `TooLarge`, `NoSpace`."""

    async def commit(self, expected: str | None = None) -> Stored:
        """Make the blob durable under its digest.

        Raises `DigestMismatch`, `NoSpace`, `Unavailable`; then there is no blob.
        """


class Download(Protocol):
    """An open blob: what is being read stays readable even when it is deleted meanwhile."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `stop`, in pieces. Raises `Unavailable`."""


class Blobs(Protocol):
    """The blobs of all namespaces. What is awaited raises `Unavailable`."""

    def open(self) -> int:
        """Take the local directory into possession; how many broken-off uploads were swept."""

    def close(self) -> None:
        """Release it."""

    def free_bytes(self) -> float:
        """Bytes that may still be written to the local volume."""

    def away(self) -> bool:
        """Whether the last thing asked of them raised `Unavailable`."""

    def upload(self, namespace: str) -> AbstractAsyncContextManager[Upload]:
        """Begin an upload; leaving the context without `commit` leaves nothing behind."""

    def download(self, namespace: str, sha256: str) -> AbstractAsyncContextManager[Download | None]:
        """Open a blob, None when it is not there."""

    async def size(self, namespace: str, sha256: str) -> int | None:
        """A blob's size, None when it is not there."""

    async def delete(self, namespace: str, sha256: str, *, unmodified: int | None = None) -> bool:
        """Remove a blob; true when it is not there afterwards.

        It stays when it was uploaded after ``unmodified`` (Unix seconds).
        """

    async def namespaces(self) -> list[str]:
        """The namespaces that have had blobs, by name."""

    async def list(self, namespace: str) -> list[BlobInfo]:
        """All blobs of a namespace, by digest."""


def is_digest(text: str) -> bool:
    """Whether the text is a SHA-256 in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def is_namespace(text: str) -> bool:
    """Whether the text is a Kubernetes namespace's name (a DNS label)."""
    return _NAMESPACE.fullmatch(text) is not None
