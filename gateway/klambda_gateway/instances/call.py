"""An attempt on its way: the machine, and who waits for its outcome.

Place: made by ``invoke.service``, fed by the link that carries it. Two moments are told apart:
``on_outcome`` (the client can be answered) and ``on_over`` (the instance is free again, the
invocation no longer counts as concurrent). Both are called back in the very turn of the loop that
brings them, so that a warm request costs no task and no future. Invariants: the outcome is told
exactly once, and before ``on_over``. Not here: choosing instances, retrying.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from klambda_gateway.instances.attempt import Answer, Attempt, Phase, Refusal
from klambda_gateway.instances.frames import Frame
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.streamed import Opening


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The instance is gone, or broke the contract, before the answer was whole."""

    accepted: bool
    """It had begun to run, or may have: never send the request again."""


Outcome = Answer | Opening | Refusal | Broken
_BROKEN: Final = Broken(accepted=True)


def _nobody(*_: object) -> None:
    """Tell nobody."""


class Call:
    """One attempt, its record and its outcome."""

    __slots__ = (
        "_on_outcome",
        "_on_over",
        "_over",
        "accepted_at",
        "attempt",
        "boot",
        "deadline",
        "on_settled",
        "record",
        "run_limit",
        "settled",
    )

    def __init__(
        self,
        attempt: Attempt,
        record: Record,
        *,
        deadline: float = float("inf"),
        run_limit: float = float("inf"),
        on_outcome: Callable[[Call, Outcome], None] = lambda *_: None,
        on_over: Callable[[Call], None] = lambda _: None,
    ) -> None:
        """``deadline``: loop time by which it must be accepted; ``run_limit``: seconds after."""
        self.attempt = attempt
        self.record = record
        self.boot = record.boot
        self.deadline = deadline
        self.run_limit = run_limit
        self.accepted_at: float | None = None
        self.settled = False
        self.on_settled: Callable[[], None] | None = None
        self._on_outcome = on_outcome
        self._on_over = on_over
        self._over = False

    @property
    def id(self) -> str:
        """The attempt's id."""
        return self.attempt.id

    @property
    def accepted(self) -> bool:
        """Whether the instance is known to have begun."""
        return self.attempt.phase is not Phase.SENT

    def receive(self, frame: Frame, now: float) -> None:
        """Take a frame of this attempt. Raises ProtocolError."""
        attempt, record = self.attempt, self.record
        attempt.receive(frame)
        phase = attempt.phase
        if phase is Phase.ACCEPTED:
            record.accepted(now)
            self.accepted_at = now
        elif attempt.refusal is not None:
            record.refused(attempt.id, attempt.refusal.reason)
            self._settle(attempt.refusal)
            self._finish()
        elif attempt.answer is not None and not self.settled:
            record.answered(now)
            self._settle(attempt.answer)
        if phase is Phase.OVER:
            record.ended(attempt.id, now)
            if not self.settled:
                self._settle(_BROKEN)
            self._finish()

    def withdraw(self) -> None:
        """Learn that the instance never had it: safe elsewhere."""
        self.record.abandon(self.id)
        self._settle(Refusal(reason="unknown"))
        self._finish()

    def break_off(self, *, accepted: bool = True) -> None:
        """Give it up."""
        self.record.abandon(self.id)
        self._settle(Broken(accepted=accepted))
        self._finish()

    def _settle(self, outcome: Outcome) -> None:
        if self.settled:
            return
        self.settled = True
        self._on_outcome(self, outcome)
        if self.on_settled is not None:
            self.on_settled()

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._on_over(self)
            # Who listened knows this call, too: bodies must not wait for the cycle collector.
            self._on_outcome, self._on_over = _nobody, _nobody
            self.on_settled = None
