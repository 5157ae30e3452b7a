"""The body of a request, taken in with bounded memory.

Place: between ASGI and ``dispatch``. Small bodies are bytes. Of operations that bring packages, a
large one is never held: it is hashed as it arrives and its packages go to files (``extraction``).
Of all others, at most an event's size is kept. A large aws-chunked one is held, one at a time:
no client of Lambda's sends it. What is beyond every limit is read and thrown away,
within bounds: an answer in the middle of an upload would reach most clients as a broken connection.
Texts: aws-contract a.4. Not here: HTTP, who the client is.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from klambda_core import errors, limits
from klambda_core.errors import LambdaError
from klambda_gateway.api.extraction import Extraction, LargeString, TooMuchText
from klambda_gateway.auth.claim import Signable

DISCARDED_MAX: Final = 4 * limits.CREATE_REQUEST_MAX
"""A longer body is cut off."""
IN_MEMORY: Final = limits.MIB
LARGE_AT_ONCE: Final = 40
"""Large bodies at a time, 2 GiB of files; the chart's volume has room for them."""
SILENCE_S: Final = 30.0
FRAMES_MAX: Final = limits.MIB
"""What aws-chunked framing may add to a body."""
PIECE: Final = 256 * limits.KIB
"""So much is worth a thread's while: hashing and decoding it takes 1 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What arrived; ``data`` is all of it, or (with ``strings``) the document around packages."""

    data: bytes
    sha256: str | None = None
    """Of what arrived, when that is not ``data``."""
    strings: Mapping[str, LargeString] = field(default_factory=dict)

    def close(self) -> None:
        """Give the packages' files back."""
        for string in self.strings.values():
            string.close()


class Intake:
    """Takes bodies in; large ones only so many at a time, because they are files."""

    def __init__(self, large: int = LARGE_AT_ONCE) -> None:
        self._turns = asyncio.Semaphore(large)
        self._framed = asyncio.Semaphore(1)

    @asynccontextmanager
    async def body(self, pieces: AsyncIterator[bytes], request: Signable) -> AsyncIterator[Body]:
        """The body of a request, as long as it is needed. Raises 400, 413."""
        head = await _head(pieces, request)
        if head.whole:
            yield Body(data=head.data)
            return
        if _is_framed(request):
            async with self._framed:
                yield Body(data=await _whole(head.data, pieces, request))
            return
        async with self._turns:
            body = await _large(head.data, pieces, request)
            try:
                yield body
            finally:
                body.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What can be held of a body."""

    data: bytes
    whole: bool


async def _head(pieces: AsyncIterator[bytes], request: Signable) -> _Head:
    brings = _brings_packages(request)
    most = limits.CREATE_REQUEST_MAX if brings else limits.PAYLOAD_SYNC_MAX
    if _is_framed(request):
        most += FRAMES_MAX
    head, size = bytearray(), 0
    async for piece in _lively(pieces):
        size += len(piece)
        head += piece
        if size > most or (brings and size > IN_MEMORY):
            break
    else:
        return _Head(data=bytes(head), whole=True)
    if not brings:
        del head
        raise _refusal(request, size + await _drained(pieces, size))
    return _Head(data=bytes(head), whole=False)


async def _large(head: bytes, pieces: AsyncIterator[bytes], request: Signable) -> Body:
    """A body that is too large to be held."""
    extraction, digest = Extraction("\\u0000" + secrets.token_hex(16)), hashlib.sha256()

    def work(chunk: bytes) -> None:
        digest.update(chunk)
        extraction.feed(chunk)

    size, pending = len(head), bytearray(head)
    del head
    try:
        async for piece in _lively(pieces):
            size += len(piece)
            if size > limits.CREATE_REQUEST_MAX:
                break
            pending += piece
            if len(pending) >= PIECE:
                await asyncio.to_thread(work, bytes(pending))
                pending.clear()
        if size <= limits.CREATE_REQUEST_MAX:
            await asyncio.to_thread(work, bytes(pending))
            strings = {_as_parsed(key): string for key, string in extraction.strings.items()}
            return Body(data=extraction.document, sha256=digest.hexdigest(), strings=strings)
    except TooMuchText:
        pass
    except BaseException:
        extraction.close()
        raise
    extraction.close()
    raise _refusal(request, size + await _drained(pieces, size))


async def _whole(head: bytes, pieces: AsyncIterator[bytes], request: Signable) -> bytes:
    """A large body in a frame that only its signature's check can take off."""
    held = bytearray(head)
    async for piece in _lively(pieces):
        held += piece
        if len(held) > limits.CREATE_REQUEST_MAX + FRAMES_MAX:
            held.clear()
            raise _refusal(request, await _drained(pieces, limits.CREATE_REQUEST_MAX))
    return bytes(held)


def _is_framed(request: Signable) -> bool:
    """Whether the body is aws-chunked (``auth.chunked``)."""
    return (request.header(b"x-amz-content-sha256") or "").startswith("STREAMING-")


async def _lively(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of a client that does not hold its turn without using it."""
    while True:
        try:
            async with asyncio.timeout(SILENCE_S):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise errors.serialization("The request's body stopped arriving.") from None
        yield piece


def _as_parsed(key: str) -> str:
    r"""A mark as ``json.loads`` returns it: its ``\u0000`` is one character then."""
    return key.replace("\\u0000", "\0", 1)


async def _drained(pieces: AsyncIterator[bytes], size: int) -> int:
    """Read on and throw away; how much it was."""
    more = 0
    async for piece in pieces:
        more += len(piece)
        if size + more > DISCARDED_MAX:
            break
    return more


def _brings_packages(request: Signable) -> bool:
    """Whether the operation may carry a zip: CreateFunction, UpdateFunctionCode, layers."""
    path = request.path.rstrip(b"/")
    return path.endswith((b"/functions", b"/code")) or (
        path.endswith(b"/versions") and b"/layers/" in path
    )


def _refusal(request: Signable, size: int) -> LambdaError:
    path = request.path.rstrip(b"/")
    if path.endswith(b"/invocations"):
        kind = request.header(b"x-amz-invocation-type") or "RequestResponse"
        most = limits.PAYLOAD_ASYNC_MAX if kind == "Event" else limits.PAYLOAD_SYNC_MAX
        return errors.payload_too_large(size, kind, most)
    operation = "CreateFunction"
    if path.endswith(b"/code"):
        operation = "UpdateFunctionCode"
    elif b"/layers/" in path:
        operation = "PublishLayerVersion"
    return errors.request_too_big(limits.CREATE_REQUEST_MAX, operation)
