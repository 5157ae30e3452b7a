"""How many instances of each account run what other gateways sent, counted as they tell: pure.

Place: the registry notes each record after each piece of evidence; an account's concurrency limit
asks (``admission.unreserved``), with each request, so nothing here is counted when asked.
Invariant: a record counts once. One that holds an attempt of ours behind another gateway's run
still counts until it tells more: two invocations were let in. Not here: our own runs (permits).
"""

from __future__ import annotations

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record


class Abroad:
    """The counts."""

    def __init__(self) -> None:
        self._noted: set[str] = set()
        """Uids of the instances that count."""
        self._running: dict[str, int] = {}
        """By account."""
        self._of: dict[DeploymentKey, int] = {}

    def note(self, record: Record) -> None:
        """Count a record by what is known of it now."""
        now = record.abroad
        if now is (record.uid in self._noted):
            return
        if now:
            self._noted.add(record.uid)
        else:
            self._noted.remove(record.uid)
        step = 1 if now else -1
        account = record.key.namespace
        self._running[account] = self._running.get(account, 0) + step
        _change(self._of, record.key, step)

    def running(self, account: str) -> int:
        """Count those of all its functions."""
        return self._running.get(account, 0)

    def of(self, key: DeploymentKey) -> int:
        """Count a Deployment's."""
        return self._of.get(key, 0)


def _change(counts: dict[DeploymentKey, int], key: DeploymentKey, step: int) -> None:
    """Change a count; a Deployment without one is forgotten."""
    value = counts.get(key, 0) + step
    if value:
        counts[key] = value
    else:
        del counts[key]
