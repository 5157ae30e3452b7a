"""What a client may cost while it sends or takes: bytes of a head, seconds of silence.

    connected ─► head (64 KiB, 60 s) ─► body (silent for 35 s, 15 min) ─► answered ─► idle
                   ▼ 431, 408              ▼ closed                         ▼ taking nothing for
                                                                              35 s, 15 min: cut

Place: between uvicorn's protocol and ours; ``wire.server`` calls ``sweep`` of every connection each
few seconds, so that no request pays for a timer. Invariants: a connection whose bytes we ourselves
hold back is not silent; who pauses in an answer that is still being made has as long as the longest
run, since the function waits with him under its own time limit.
Not here: how much of a body is kept (``api.intake``), idle connections (``protocol``), how a
refusal is said (``parting``).
"""

from __future__ import annotations

import enum
from typing import Any, Final

from klambda_core import errors, limits
from klambda_gateway.wire.parting import Parting

HEAD_MAX: Final = 64 * limits.KIB
"""Bytes of a request's line and headers: what AWS's load balancers take."""
HEAD_S: Final = 60.0
BODY_S: Final = 900.0
SILENCE_S: Final = 35.0
"""A little more than ``api.intake`` waits, who can say it better."""
SWEEP_S: Final = 5.0
PARTING_S: Final = 5.0
"""How long is read on behind a refusal."""


class Phase(enum.Enum):
    """What a connection waits for from its client."""

    HEAD = enum.auto()
    BODY = enum.auto()
    NOTHING = enum.auto()


LIMITS_S: Final = {Phase.HEAD: HEAD_S, Phase.BODY: BODY_S}


class Patient(Parting):
    """One connection, with limits to what it may keep us waiting for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heard = self.loop.time()
        self._head_bytes = 0
        """Bytes since a whole head or a piece of a body came: of a head, of trailers."""
        self._head_slack = 0
        """Bytes before them that may belong to them."""
        self._waiting: tuple[Phase, float] | None = None
        """Since when a sweep has found it waiting for the same."""
        self._unread = 0
        """Bytes of answers that the last sweep found not taken."""
        self._took = self._behind = self._heard
        """When the client last took some, and since when it has been behind."""

    def phase(self) -> Phase:
        """Return what it waits for."""
        if self.pipeline:
            return Phase.NOTHING  # somebody before it is being answered
        if self.body_is_open():
            return Phase.BODY
        return Phase.NOTHING if self._under_way() or self.is_idle() else Phase.HEAD

    def is_idle(self) -> bool:
        """Tell whether nothing has come since the last answer."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._heard = self.loop.time()
        if self._last_word is not None:
            self._discard(len(data))
        else:
            self.take(data)

    def take(self, data: bytes) -> None:
        """Read what came."""
        raise NotImplementedError

    def head_grows(self, size: int) -> bool:
        """Tell whether a head that ends in the next bytes may be too large."""
        return self._head_bytes + self._head_slack + size > HEAD_MAX

    def head_came(self, size: int, *, got: bool) -> None:
        """Take note of bytes; ``got``: a head was complete in them, a request, or some of a body.

        No more of a head, or of a body's trailers, is read than is sensible.
        """
        if got:
            self._head_bytes, self._head_slack = 0, size
            return
        self._head_bytes += size
        if self._head_bytes > HEAD_MAX:
            self._refuse(errors.head_too_large(HEAD_MAX))

    def resume_writing(self) -> None:
        """Note that the client takes what was held back."""
        self._took = self.loop.time()
        super().resume_writing()

    def sweep(self, now: float) -> None:
        """Give up a client who keeps us waiting for too long."""
        if self._takes_nothing(now):
            self.transport.abort()
            return
        if self._last_word is not None:
            if self._parted is not None and now - self._parted > PARTING_S:
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
