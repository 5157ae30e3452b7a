"""An attempt whose answer is passed on as it comes: a pure machine over its frames.

The phases are those of ``instances.attempt``. What differs: the answer is known to begin at
``head`` (``opening``), its pieces are taken away by ``take``, and ``ending`` says how it went when
the last one has come (with a log tail: at ``end``). A function that did not stream is the same with
a head that tells the size; one that failed before it began has no pieces, its error body is the
ending's ``details``.

Flow: init may be ahead of what the reader has taken by a window, plus less than a piece (contract
§1). Invariants: an instance that is further ahead broke the contract; so nothing here grows with
the length of a stream. Not here: waiting, granting (``instances.streaming``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from klambda_gateway.bulk import Body
from klambda_gateway.instances.attempt import ANSWER_LIMIT, Attempt
from klambda_gateway.instances.frames import PIECE, Frame, ProtocolError

STREAM_LIMIT: Final = 200 << 20
"""Bytes; init ends a longer stream (aws-contract b.2)."""
WINDOW: Final = 256 << 10
"""How far init may be ahead of the reader: at 1 ms from piece to credit it is 250 MB/s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """The answer begins."""

    content_type: str | None
    function_error: str | None
    """It failed before its first byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an answer went, after its last piece."""

    function_error: str | None = None
    details: str | None = None
    """The error body, when the function failed."""
    log_tail: bytes | None = None


class StreamedAttempt(Attempt):
    """The machine."""

    longest = STREAM_LIMIT

    __slots__ = ("_ending", "_granted", "controlled", "ending", "opening")

    def __init__(self, attempt_id: str, *, log_tail: bool) -> None:
        super().__init__(attempt_id, log_tail=log_tail)
        self.opening: Opening | None = None
        self.ending: Ending | None = None
        self.controlled = False
        """init waits for credit."""
        self._ending = Ending()
        self._granted = WINDOW

    def take(self) -> list[bytes]:
        """Return the pieces that have come since the last time."""
        if self.function_error is not None:
            return []
        pieces, self._pieces = self._pieces, []
        return [bytes(piece) for piece in pieces]

    def grant(self, count: int) -> None:
        """Note that init may send so many bytes more."""
        self._granted += count

    def _head(self, frame: Frame) -> None:
        self.controlled = frame.header.get("credit") is True
        self.opening = Opening(
            content_type=frame.header.get("contentType"),
            function_error=frame.header.get("functionError"),
        )
        super()._head(frame)

    def _take(self, body: Body, header: Mapping[str, Any]) -> None:
        super()._take(body, header)
        if self._size is None:  # init before credit existed streams no more than it could buffer
            allowed = self._granted + PIECE if self.controlled else ANSWER_LIMIT
            if self._received > allowed:
                raise ProtocolError("a stream ahead of its credit")

    def _complete(self, header: Mapping[str, Any]) -> None:
        if self.function_error is None:
            self._ending = Ending(
                function_error=header.get("functionError"), details=header.get("errorDetails")
            )
        else:
            body = b"".join(self._pieces).decode("utf-8", "replace")
            self._ending = Ending(function_error=self.function_error, details=body)
            self._pieces.clear()

    def _settle(self, log_tail: bytes | None) -> None:
        self.ending = replace(self._ending, log_tail=log_tail)
