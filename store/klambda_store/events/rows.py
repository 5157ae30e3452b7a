"""From reports to the parameters of the statements: what both adapters do before their database.

Pure. The order of parameters is that of ``sql.RETRY`` and ``sql.SETTLE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from klambda_core.events import LEASE_S, Postponement, QueueStats, Settlement
from klambda_core.eventwire import pending_text
from klambda_store.events import sql
from klambda_store.events.port import Retention

Values = list[tuple[Any, ...]]


def retry_values(item: Postponement, now: float) -> tuple[Any, ...]:
    """Parameters of RETRY: a held event keeps its lease for another term."""
    return (
        item.id,
        item.lease,
        item.lease if item.hold else None,
        item.condition,
        item.error,
        pending_text(item.pending),
        item.attempts,
        *sql.outcome_values(item.response),
        now + (LEASE_S if item.hold else max(0.0, item.delay)),
        item.backoffs,
        "queued" if item.condition is None else "delivering",
    )


def settle_values(
    items: Sequence[Settlement], retention: Retention, now: float
) -> tuple[Values, Values]:
    """Parameters of SETTLE, and of FORGET for what is not kept at all.

    The event of a success is of no more use; that of a failure is kept for inspection.
    """
    kept: Values = []
    forgotten: Values = []
    for item in items:
        lasting = retention.of(item.state)
        if lasting <= 0:
            forgotten.append((item.id, item.lease))
            continue
        kept.append(
            (
                item.id,
                item.lease,
                item.state,
                item.condition,
                item.error,
                pending_text(item.pending),
                item.attempts,
                *sql.outcome_values(item.response),
                now,
                now + lasting,
                0 if item.state == "succeeded" else 1,
                b"",
            )
        )
    return kept, forgotten


def stats_of(row: Sequence[Any], now: float) -> QueueStats:
    """A row of namespace, function, uid, depth, oldest arrival."""
    return QueueStats(
        namespace=row[0],
        function=row[1],
        function_uid=row[2],
        depth=row[3],
        oldest_age=max(0.0, now - row[4]),
    )
