"""A streamed answer on its way to HTTP: the head out of its first bytes, then the rest as it comes.

Theory. A stream of content type ``PRELUDE_TYPE`` begins with a JSON prelude and 8 NUL bytes
(``urls.response``); any other is the body of a 200 of the runtime's own content type. Until the
head is known, failing means 502; afterwards the status is out, and only cutting the connection
tells the client that the answer is not whole.

Place: ``urls.door`` begins it for URLs of invoke mode RESPONSE_STREAM, ``wire.urls`` sends it.
Invariants: a stream that was begun is closed by whoever sends it, one that is not begun here.
Source: aws-contract d.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from klambda_gateway.invoke.model import InvokeStream
from klambda_gateway.urls.response import (
    BYTES_TYPE,
    PRELUDE_END,
    PRELUDE_MAX,
    PRELUDE_TYPE,
    Head,
    Malformed,
    head_of,
)


class CutShort(Exception):
    """The answer ends in the middle."""


class Body:
    """The bytes of a streamed answer; iterating raises CutShort where the function failed."""

    def __init__(self, stream: InvokeStream, pieces: AsyncIterator[bytes], first: bytes) -> None:
        self._stream = stream
        self._pieces = pieces
        self._first = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give them as they come."""
        if self._first:
            yield self._first
        async for piece in self._pieces:
            if piece:
                yield piece
        if self._stream.ending.function_error is not None:
            raise CutShort

    def close(self) -> None:
        """Say that nobody reads on; idempotent."""
        self._stream.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedAnswer:
    """An answer whose body comes."""

    head: Head
    body: Body
    traced: bool = True


async def begin(stream: InvokeStream) -> StreamedAnswer | Malformed:
    """Read a stream's head. What is malformed is closed already."""
    try:
        answer = await _begin(stream)
    except BaseException:
        stream.close()
        raise
    if isinstance(answer, Malformed):
        stream.close()
    return answer


async def _begin(stream: InvokeStream) -> StreamedAnswer | Malformed:
    opening, pieces = stream.opening, stream.pieces()
    if opening.function_error is not None:
        return Malformed(why="the function failed")
    content_type = opening.content_type or BYTES_TYPE
    if content_type.partition(";")[0].strip().lower() != PRELUDE_TYPE:
        head = Head(headers=(("content-type", content_type),))
        return StreamedAnswer(head=head, body=Body(stream, pieces, b""))
    begun = b""
    async for piece in pieces:
        begun += piece
        prelude, end, rest = begun.partition(PRELUDE_END)
        if end:
            parsed = head_of(prelude)
            if isinstance(parsed, Malformed):
                return parsed
            return StreamedAnswer(head=parsed, body=Body(stream, pieces, rest))
        if len(begun) > PRELUDE_MAX:
            break
    return Malformed(why="the prelude has no end")
