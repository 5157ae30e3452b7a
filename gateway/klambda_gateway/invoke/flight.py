"""The attempts that are under way, and giving up those that nobody answers.

Place: ``invoke.service`` enters each, and takes it out when its instance is done with it; a task
sweeps each second, so that no request pays for a timer. Not here: what became of them.
"""

from __future__ import annotations

from typing import Final

from klambda_gateway.instances.call import Call
from klambda_gateway.invoke.story import Sender
from klambda_obs import logs

INIT_LIMIT_S: Final = 10.0
"""Lambda's limit of the INIT phase (aws-contract f); it may come twice before a run."""
RUN_SLACK_S: Final = 20.0
"""Beyond what a run may take, an instance that says nothing is given up (contract §1)."""

_log = logs.get("klambda.gateway.invoke")


def run_limit(timeout: int) -> float:
    """Return how many seconds after ``accepted`` an instance is given up."""
    return timeout + 2 * INIT_LIMIT_S + RUN_SLACK_S


class Flight:
    """Calls by their attempt."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._calls: dict[str, Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def enter(self, call: Call) -> None:
        """Take a call in."""
        self._calls[call.id] = call

    def leave(self, call: Call) -> None:
        """Note that its instance is done with it."""
        del self._calls[call.id]

    def sweep(self, now: float) -> None:
        """Give up what has not been accepted, or not been answered, for too long."""
        for call in list(self._calls.values()):
            if call.accepted_at is None:
                if now >= call.deadline + RUN_SLACK_S:
                    self._sender.drop(call.record)
                elif now >= call.deadline:
                    self._sender.cancel(call)
            elif now >= call.accepted_at + call.run_limit:
                _log.warning("instance-silent", uid=call.record.uid)
                self._sender.drop(call.record)
