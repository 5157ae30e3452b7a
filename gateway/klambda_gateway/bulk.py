"""Large bodies as the pieces that connections brought: passed on, never put together on the way.

Theory. A 6 MB body that is joined, cut and joined again costs more for copies than for everything
else a gateway does for it. So what comes is kept as it came (views of what was read, where a frame
ends in the middle of it), and what goes is a list of buffers for one scattered write.

Place: made where bodies come in (``wire.incoming``, ``instances.frames``), taken apart where they
go out (``wire.protocol``, ``instances.link``). Invariants: a body up to ``JOINED`` is ``bytes``;
pieces are never changed. Not here: how much may be held (``invoke.service``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

JOINED: Final = 16 << 10
"""Bytes; up to here one copy costs less than handling pieces."""

Piece: TypeAlias = bytes | memoryview


class Bulk:
    """A large body."""

    __slots__ = ("_size", "pieces")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self._size = sum([len(piece) for piece in pieces])

    def __len__(self) -> int:
        return self._size


Body: TypeAlias = bytes | Bulk


def gathered(pieces: Sequence[Piece]) -> Body:
    """Return pieces as one body."""
    if len(pieces) == 1 and isinstance(pieces[0], bytes):
        return pieces[0]
    bulk = Bulk(pieces)
    return bulk if len(bulk) > JOINED else b"".join(pieces)


def whole(body: Body) -> bytes:
    """Return all of a body, for who must have it at once."""
    return body if isinstance(body, bytes) else b"".join(body.pieces)


def pieces_of(body: Body) -> Sequence[Piece]:
    """Return a body's pieces."""
    return (body,) if isinstance(body, bytes) else body.pieces


class Rest:
    """What is left of a body that is taken away bit by bit, uncopied."""

    __slots__ = ("_at", "_pieces", "left")

    def __init__(self, body: Body) -> None:
        self.left = len(body)
        self._pieces = [memoryview(piece) for piece in pieces_of(body)]
        self._at = 0

    def take(self, most: int) -> list[memoryview]:
        """Take so many bytes away, fewer at the end."""
        taken: list[memoryview] = []
        wanted = min(most, self.left)
        self.left -= wanted
        while wanted:
            piece = self._pieces[self._at]
            if len(piece) <= wanted:
                self._at += 1
            else:
                self._pieces[self._at] = piece[wanted:]
                piece = piece[:wanted]
            taken.append(piece)
            wanted -= len(piece)
        return taken
