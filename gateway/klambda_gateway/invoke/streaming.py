"""The answer of a running function as its caller reads it.

Place: ``invoke.service`` returns one when the answer begins; the API and function URLs read it.
Invariants: ``pieces`` never raises (a lost instance is an ending, too: the head is out); the answer
is counted once, when it has ended; ``close`` before that cancels. Not here: frames, flow control
(``instances.streaming``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from klambda_gateway.bulk import whole
from klambda_gateway.instances.streamed import Ending, Opening
from klambda_gateway.instances.streaming import Lost, StreamedCall
from klambda_gateway.invoke.model import InvokeAnswer

FAILED_WHOLE: Final = Opening(content_type="application/json", function_error="Unhandled")


class LiveStream:
    """An answer that comes."""

    def __init__(
        self,
        call: StreamedCall,
        *,
        opening: Opening,
        executed_version: str,
        lost: Callable[[], Awaitable[Ending]],
        cancel: Callable[[StreamedCall], None],
        ended: Callable[[Ending], None],
    ) -> None:
        """``lost`` says what became of a lost instance, ``ended`` is told how it went."""
        self.executed_version = executed_version
        self.opening = opening
        self.ending = Ending()
        self._call = call
        self._lost = lost
        self._cancel = cancel
        self._ended = ended
        self._open = True

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the bytes as they come."""
        try:
            async for piece in self._call.pieces():
                yield piece
            self.ending = self._call.ending or self.ending
        except Lost:
            self.ending = await self._lost()
        if self._open:
            self._open = False
            self._ended(self.ending)

    def close(self) -> None:
        """Say that nobody reads on."""
        if self._open:
            self._open = False
            self._call.abandon()
            self._cancel(self._call)


class FailedStream:
    """An answer that is nothing but an error: the function took its instance with it."""

    opening = FAILED_WHOLE

    def __init__(self, answer: InvokeAnswer) -> None:
        self.executed_version = answer.executed_version
        self.ending = Ending(
            function_error=answer.function_error,
            details=whole(answer.payload).decode("utf-8", "replace"),
        )

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give nothing."""
        return
        yield b""

    def close(self) -> None:
        """Do nothing."""
