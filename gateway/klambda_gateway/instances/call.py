"""An attempt on its way: the machine, and who waits for its outcome.

Place: made by ``invoke.service``, fed by the link that carries it. Two moments are told apart:
``outcome`` (the client can be answered) and ``over`` (the instance is free again, the invocation no
longer counts as concurrent). Invariants: ``outcome`` is set exactly once; a cancelled waiter
changes nothing for the instance. Not here: choosing instances, retrying.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from klambda_gateway.instances.attempt import Answer, Attempt, Phase, Refusal
from klambda_gateway.instances.frames import Frame
from klambda_gateway.instances.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The instance is gone, or broke the contract, before the answer was whole."""

    accepted: bool
    """It had begun to run, or may have: never send the request again."""


Outcome = Answer | Refusal | Broken


class Call:
    """One attempt, its record and its outcome."""

    __slots__ = (
        "_on_over",
        "_over",
        "accepted_at",
        "attempt",
        "boot",
        "deadline",
        "on_settled",
        "outcome",
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
        on_over: Callable[[Call], None] = lambda _: None,
    ) -> None:
        """``deadline``: loop time by which it must be accepted; ``run_limit``: seconds after."""
        self.attempt = attempt
        self.record = record
        self.boot = record.boot
        self.deadline = deadline
        self.run_limit = run_limit
        self.accepted_at: float | None = None
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        """For the one who waits; cancelled when nobody does any more."""
        self.settled = False
        self.on_settled: Callable[[], None] | None = None
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
        if attempt.phase is Phase.ACCEPTED:
            record.accepted()
            self.accepted_at = now
        elif attempt.refusal is not None:
            record.refused(attempt.id, attempt.refusal.reason)
            self._settle(attempt.refusal)
        elif attempt.answer is not None:
            if not self.settled:
                record.answered(now)
            self._settle(attempt.answer)
        if attempt.phase is Phase.OVER:
            record.ended(attempt.id, now)
            self._settle(Broken(accepted=True))
        if attempt.over:
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
        if not self.outcome.done():
            self.outcome.set_result(outcome)
        if self.on_settled is not None:
            self.on_settled()

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._on_over(self)
