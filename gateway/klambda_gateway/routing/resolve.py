"""Name and qualifier to what runs: a pure function of one entry and one random draw.

Place: ``invoke.service`` calls it on the table's entry, and again when a re-read brought news or
the target moved. Invariants: pure; the draw is the caller's; errors are values.
"""

from __future__ import annotations

from klambda_gateway.routing.facts import LATEST, Shares
from klambda_gateway.routing.table import Entry
from klambda_gateway.routing.target import Problem as Problem
from klambda_gateway.routing.target import Target as Target


def resolve(entry: Entry | None, qualifier: str | None, draw: float) -> Target | Problem:
    """Find the target; ``draw`` in [0, 1) chooses among an alias's versions."""
    if entry is None:
        return "unknown"
    version = qualifier or LATEST
    route = entry.routes.get(version)
    if route is not None:
        drawn = pick(route, draw)
        if drawn is None:
            return "unknown"
        version = drawn
    return entry.targets.get(version, "unknown")


def pick(route: Shares, draw: float) -> str | None:
    """Choose a version by weight."""
    passed = 0.0
    for version, weight in route:
        passed += weight
        if draw < passed:
            return version
    return route[-1][0] if route else None
