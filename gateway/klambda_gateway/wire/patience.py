"""What a client may cost while it sends or takes: bytes of a head, seconds of silence.

    connected ─► head (64 KiB, 60 s) ─► body (silent for 35 s, 15 min) ─► answered ─► idle
                   ▼ 431, 408              ▼ closed                         ▼ taking nothing for
                                                                              35 s, 15 min: cut

Place: between uvicorn's protocol and ours; ``wire.server`` calls ``sweep`` of every connection each
few seconds, so that no request pays for a timer. Invariants: a connection whose bytes we ourselves
hold back is not silent; what cannot be parsed is answered in JSON like every refusal; who pauses in
an answer that is still being made has as long as the longest run, since the function waits with him
under its own time limit.
Not here: how much of a body is kept (``api.intake``), idle connections (``protocol``).
"""

from __future__ import annotations

import enum
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from klambda_core import errors, limits
from klambda_core.errors import LambdaError

HEAD_MAX: Final = 64 * limits.KIB
"""Bytes of a request's line and headers: what AWS's load balancers take."""
HEAD_S: Final = 60.0
BODY_S: Final = 900.0
SILENCE_S: Final = 35.0
"""A little more than ``api.intake`` waits, who can say it better."""
SWEEP_S: Final = 5.0
PARTING_S: Final = 5.0
PARTING_MAX: Final = 4 * limits.MIB
"""How long, and how much, is read and thrown away behind a refusal: closing with bytes unread would
reset the connection, and the client might never see the answer."""


class Phase(enum.Enum):
    """What a connection waits for from its client."""

    HEAD = enum.auto()
    BODY = enum.auto()
    NOTHING = enum.auto()


LIMITS_S: Final = {Phase.HEAD: HEAD_S, Phase.BODY: BODY_S}


class Patient(HttpToolsProtocol):
    """One connection, with limits to what it may keep us waiting for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heard = self.loop.time()
        self._head_bytes = 0
        """Bytes of a head that is not complete."""
        self._waiting: tuple[Phase, float] | None = None
        """Since when a sweep has found it waiting for the same."""
        self._unread = 0
        """Bytes of answers that the last sweep found not taken."""
        self._took = self._behind = self._heard
        """When the client last took some, and since when it has been behind."""
        self._refused: float | None = None
        self._discarded = 0

    def phase(self) -> Phase:
        """Return what it waits for."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            return Phase.BODY if cycle.more_body else Phase.NOTHING
        return Phase.HEAD if self.timeout_keep_alive_task is None else Phase.NOTHING

    def data_received(self, data: bytes) -> None:
        """Take bytes; no more of a head than is sensible."""
        self._heard = self.loop.time()
        if self._refused is not None:
            self._discard(len(data))
            return
        super().data_received(data)
        if self.phase() is not Phase.HEAD:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_MAX:
            self._refuse(errors.head_too_large(HEAD_MAX))

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(errors.serialization(msg))

    def resume_writing(self) -> None:
        """Note that the client takes what was held back."""
        self._took = self.loop.time()
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """Give up a client who keeps us waiting for too long."""
        if self._takes_nothing(now):
            self.transport.abort()
            return
        if self._refused is not None:
            if now - self._refused > PARTING_S:
                self.transport.abort()
            return
        phase = self.phase()
        if phase is Phase.NOTHING or self.flow.read_paused:
            self._waiting = None
            return
        if self._waiting is None or self._waiting[0] is not phase:
            self._waiting = phase, now
        if now - self._heard > SILENCE_S or now - self._waiting[1] > LIMITS_S[phase]:
            self._give_up(phase)

    def _takes_nothing(self, now: float) -> bool:
        """Tell whether the client has left an answer in our hands for too long."""
        unread: int = self.transport.get_write_buffer_size()
        if not self._unread:
            self._behind = self._took = now
        elif unread < self._unread:
            self._took = now
        self._unread = unread
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            return now - self._took > BODY_S
        return now - self._took > SILENCE_S or now - self._behind > BODY_S

    def _give_up(self, phase: Phase) -> None:
        if phase is Phase.HEAD and self._head_bytes:
            self._refuse(errors.request_timed_out())
        else:
            self.transport.close()

    def _refuse(self, error: LambdaError) -> None:
        """Answer and say goodbye; what comes after is thrown away."""
        if self.transport.is_closing() or self._refused is not None:
            return
        self._refused = self.loop.time()
        body = error.body()
        lines = [STATUS_LINE[error.status]]
        headers = {**error.headers(), "Content-Length": str(len(body)), "Connection": "close"}
        lines += [f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items()]
        self.transport.write(b"".join((*lines, b"\r\n", body)))
        self.transport.write_eof()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > PARTING_MAX:
            self.transport.abort()
