"""How many instances of each account run what other gateways sent, counted as they tell: pure.

Place: the registry notes each record after each piece of evidence; an account's concurrency limit
asks (``admission.accounts``), with each request, so nothing here is counted when asked.
Invariant: a record counts once. One that holds an attempt of ours behind another gateway's run
still counts until it tells more: two invocations were let in. Not here: our own runs (permits).
"""

from __future__ import annotations

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record, Slot


class Abroad:
    """The counts."""

    def __init__(self) -> None:
        self._noted: dict[str, bool] = {}
        """By instance: whether its answer has left."""
        self._running: dict[str, int] = {}
        self._completing: dict[str, int] = {}
        """By account."""
        self._of: dict[DeploymentKey, int] = {}
        self._completing_of: dict[DeploymentKey, int] = {}

    def note(self, record: Record) -> None:
        """Count a record by what is known of it now."""
        before = self._noted.get(record.uid)
        now = record.slot is Slot.COMPLETING if record.abroad else None
        if before is now:
            return
        key = record.key
        if before is not None:
            self._add(key, -1, completing=before)
            del self._noted[record.uid]
        if now is not None:
            self._add(key, 1, completing=now)
            self._noted[record.uid] = now

    def running(self, account: str) -> int:
        """Count those of all its functions."""
        return self._running.get(account, 0)

    def completing(self, account: str) -> int:
        """Of those: the answer has left, the runtime is not back."""
        return self._completing.get(account, 0)

    def of(self, key: DeploymentKey) -> tuple[int, int]:
        """Count a Deployment's: those that run, and of them those that complete."""
        return self._of.get(key, 0), self._completing_of.get(key, 0)

    def _add(self, key: DeploymentKey, step: int, *, completing: bool) -> None:
        account = key.namespace
        self._running[account] = self._running.get(account, 0) + step
        _change(self._of, key, step)
        if completing:
            self._completing[account] = self._completing.get(account, 0) + step
            _change(self._completing_of, key, step)


def _change(counts: dict[DeploymentKey, int], key: DeploymentKey, step: int) -> None:
    """Change a count; a Deployment without one is forgotten."""
    value = counts.get(key, 0) + step
    if value:
        counts[key] = value
    else:
        del counts[key]
