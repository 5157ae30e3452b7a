"""One attempt to run one request on one instance: a pure machine over its frames.

    SENT ─refused──────────────────────────────► REFUSED      nothing ran: safe elsewhere
      └─accepted─► ACCEPTED ─head─► ANSWERING ─…─► ANSWERED ─end─► OVER
                      └──────────── end without an answer ───────► OVER (a broken instance)

Place: ``instances.call`` feeds it what its connection brings. Invariants: every other order is a
ProtocolError; ``answer`` is set once, when the answer's bytes are complete (with a log tail: at
``end``); after ``accepted`` the request never goes elsewhere.
Not here: losing the connection (``instances.call``), choosing the instance (``instances.pool``),
answers that are passed on as they come (``instances.streamed``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Final, NamedTuple

from klambda_gateway.bulk import Body, Piece, gathered, pieces_of, whole
from klambda_gateway.instances.frames import Frame, FrameType, ProtocolError

ANSWER_LIMIT: Final = 6_291_556 + 65_536
"""A runtime may post 6 MiB + 100 bytes (init refuses more); the rest is room for error bodies."""


class Phase(Enum):
    """Where an attempt is."""

    SENT = auto()
    ACCEPTED = auto()
    ANSWERING = auto()
    ANSWERED = auto()
    REFUSED = auto()
    OVER = auto()


_STARTED: Final = (Phase.ANSWERED, Phase.ANSWERING, Phase.ACCEPTED)


class Answer(NamedTuple):
    """The function's answer."""

    payload: Body
    function_error: str | None
    log_tail: bytes | None
    content_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Nothing ran."""

    reason: str
    message: str | None = None


class Report(NamedTuple):
    """What ``end`` told of the run."""

    status: str
    duration_ms: float
    billed_ms: float
    init_ms: float | None


class Attempt:
    """The machine; ``receive`` takes the frames that carry this attempt's id."""

    longest: ClassVar[int] = ANSWER_LIMIT

    __slots__ = (
        "_log_tail",
        "_pieces",
        "_received",
        "_size",
        "answer",
        "cold",
        "content_type",
        "function_error",
        "id",
        "phase",
        "refusal",
        "report",
    )

    def __init__(self, attempt_id: str, *, log_tail: bool) -> None:
        self.id = attempt_id
        self.phase = Phase.SENT
        self.cold = False
        self.content_type: str | None = None
        self.function_error: str | None = None
        self.answer: Answer | None = None
        self.refusal: Refusal | None = None
        self.report: Report | None = None
        self._log_tail = log_tail
        self._pieces: list[Piece] = []
        self._received = 0
        self._size: int | None = None

    @property
    def over(self) -> bool:
        """Nothing more will come: the instance is done with it."""
        return self.phase is Phase.OVER or self.phase is Phase.REFUSED

    def receive(self, frame: Frame) -> None:
        """Advance. Raises ProtocolError on a frame that is not due."""
        kind, phase = frame.type, self.phase
        if kind is FrameType.ACCEPTED and phase is Phase.SENT:
            self.phase = Phase.ACCEPTED
            self.cold = frame.header["cold"]
        elif kind is FrameType.HEAD and phase is Phase.ACCEPTED:
            self._head(frame)
        elif kind is FrameType.DATA and phase is Phase.ANSWERING:
            self._take(frame.body, frame.header)
        elif kind is FrameType.END and phase in _STARTED:
            self._end(frame)
        elif kind is FrameType.REFUSED and phase is Phase.SENT:
            self.phase = Phase.REFUSED
            self.refusal = Refusal(
                reason=frame.header["reason"], message=frame.header.get("message")
            )
        else:
            raise ProtocolError(f"{kind.name} in phase {phase.name}")

    def _head(self, frame: Frame) -> None:
        mode = frame.header["mode"]
        size = frame.header.get("size")
        if mode == "buffered":
            if not isinstance(size, int) or not 0 <= size <= ANSWER_LIMIT:
                raise ProtocolError(f"head with size {size!r}")
            self._size = size
        elif mode != "streaming":
            raise ProtocolError(f"head with mode {mode!r}")
        self.content_type = frame.header.get("contentType")
        self.function_error = frame.header.get("functionError")
        self.phase = Phase.ANSWERING
        self._take(frame.body, {})

    def _take(self, body: Body, header: Mapping[str, Any]) -> None:
        self._received += len(body)
        if self._received > (self.longest if self._size is None else self._size):
            raise ProtocolError("an answer longer than announced or allowed")
        if body:
            self._pieces.extend(pieces_of(body))
        if self._received == self._size or (self._size is None and header.get("last") is True):
            self.phase = Phase.ANSWERED
            self._complete(header)
            if not self._log_tail:
                self._settle(None)

    def _complete(self, header: Mapping[str, Any]) -> None:
        """Note the header of the last piece."""

    def _end(self, frame: Frame) -> None:
        if self.phase is Phase.ANSWERED and self._log_tail:
            self._settle(whole(frame.body))
        header = frame.header
        self.phase = Phase.OVER
        self.report = Report(
            status=header["status"],
            duration_ms=header["durationMs"],
            billed_ms=header["billedMs"],
            init_ms=header.get("initMs"),
        )

    def _settle(self, log_tail: bytes | None) -> None:
        """Make the answer: everything that belongs to it is there."""
        self.answer = Answer(
            payload=gathered(self._pieces),
            function_error=self.function_error,
            log_tail=log_tail,
            content_type=self.content_type,
        )
