"""A streamed attempt on its way: pieces from its link to whoever reads them, with back-pressure.

Place: made by ``invoke.service`` for a caller who wants the answer as it comes; fed by the link
like any other ``Call``. Its outcome is the ``Opening``; then ``pieces`` gives the bytes, and grants
credit for what the reader has taken. The link itself is never held up: a slow reader slows init,
init the function, and nothing else.
Invariants: ``pieces`` ends when the answer does (``ending`` is set then) or raises ``Lost``; after
``abandon`` what still comes is dropped. Not here: the order of frames (``instances.streamed``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from klambda_gateway.instances.attempt import Phase
from klambda_gateway.instances.call import Call, Outcome
from klambda_gateway.instances.frames import Frame
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.streamed import WINDOW, Ending, StreamedAttempt

GRANT_FROM: Final = WINDOW // 4
"""Bytes taken before init hears of it: small pieces do not cost a frame each."""


class Lost(Exception):
    """The instance is gone in the middle of its answer."""


class StreamedCall(Call):
    """One attempt, its record, its opening and its pieces."""

    __slots__ = ("_abandoned", "_broken", "_grant", "_news", "_owed", "_pieces", "_streamed")

    def __init__(
        self,
        attempt: StreamedAttempt,
        record: Record,
        *,
        grant: Callable[[StreamedCall, int], None],
        deadline: float,
        run_limit: float,
        on_outcome: Callable[[Call, Outcome], None],
        on_over: Callable[[Call], None],
    ) -> None:
        """``grant`` sends credit; the rest is as for ``Call``."""
        super().__init__(
            attempt,
            record,
            deadline=deadline,
            run_limit=run_limit,
            on_outcome=on_outcome,
            on_over=on_over,
        )
        self._streamed = attempt
        self._grant = grant
        self._owed = 0
        self._pieces: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._broken = False
        self._abandoned = False

    @property
    def ending(self) -> Ending | None:
        """How it went; None before the last piece has come."""
        return self._streamed.ending

    def receive(self, frame: Frame, now: float) -> None:
        """Take a frame of this attempt. Raises ProtocolError."""
        attempt, ended = self._streamed, self.ending is not None
        super().receive(frame, now)
        if attempt.opening is None:
            return
        if not self.settled:
            self._settle(attempt.opening)
        pieces = attempt.take()
        if not self._abandoned:
            self._pieces.extend(pieces)
        if attempt.phase is Phase.ANSWERED:
            self.record.answered(now)
        if attempt.phase is Phase.OVER and self.ending is None:
            self._broken = True
        if pieces or self._broken or (self.ending is not None) > ended:
            self._news.set()

    def break_off(self, *, accepted: bool = True) -> None:
        """Give it up."""
        super().break_off(accepted=accepted)
        self._broken = True
        self._news.set()

    def pieces(self) -> Pieces:
        """Give the bytes as they come."""
        return Pieces(self)

    async def next(self) -> bytes | None:
        """Wait for the next piece; None: that was the last one. Raises Lost."""
        while not self._pieces:
            if self.ending is not None:
                return None
            if self._broken:
                raise Lost
            self._news.clear()
            await self._news.wait()
        return self._pieces.popleft()

    def abandon(self) -> None:
        """Drop what has come and what will come: the reader is gone."""
        self._abandoned = True
        self._pieces.clear()

    def taken(self, count: int) -> None:
        """Note that the reader is done with so many bytes; init may go on."""
        self._owed += count
        attempt = self._streamed
        if self._owed >= GRANT_FROM and attempt.controlled and attempt.phase is Phase.ANSWERING:
            attempt.grant(self._owed)
            self._grant(self, self._owed)
            self._owed = 0


class Pieces:
    """The pieces of one answer, one by one; asking for the next says that the last is done with."""

    def __init__(self, call: StreamedCall) -> None:
        self._call = call
        self._held = 0

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        """Wait for the next piece. Raises Lost."""
        held, self._held = self._held, 0
        if held:
            self._call.taken(held)
        piece = await self._call.next()
        if piece is None:
            raise StopAsyncIteration
        self._held = len(piece)
        return piece
