"""Name and qualifier to what runs: a pure function of one entry and one random draw.

Place: ``invoke.service`` calls it on the table's entry, and again when a re-read brought news or
the target moved. Invariants: pure; the draw is the caller's; errors are values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import LATEST, AliasFacts, Serving
from klambda_gateway.routing.table import Entry

Problem = Literal["unknown", "pending", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What runs, and under which limits."""

    function: tuple[str, str]
    """Namespace and object name: what reserved concurrency is counted by."""
    deployment: DeploymentKey
    revision: str
    executed_version: str
    timeout: int
    """Seconds."""
    reserved: int | None


def resolve(entry: Entry | None, qualifier: str | None, draw: float) -> Target | Problem:
    """Find the target; ``draw`` in [0, 1) chooses among an alias's versions."""
    if entry is None:
        return "unknown"
    version = qualifier or LATEST
    alias = entry.aliases.get(version)
    if alias is not None:
        drawn = pick(alias, draw)
        if drawn is None:
            return "unknown"
        version = drawn
    if version == LATEST:
        function = entry.function
        return _target(entry, version, function.serving, function.timeout, failed=function.failed)
    published = entry.versions.get(version)
    if published is None:
        return "unknown"
    return _target(entry, version, published.serving, published.timeout, failed=published.failed)


def pick(alias: AliasFacts, draw: float) -> str | None:
    """Choose a version by weight."""
    passed = 0.0
    for version, weight in alias.targets:
        passed += weight
        if draw < passed:
            return version
    return alias.targets[-1][0] if alias.targets else None


def _target(
    entry: Entry, version: str, serving: Serving | None, timeout: int, *, failed: bool
) -> Target | Problem:
    if serving is None:
        return "failed" if failed else "pending"
    function = entry.function
    return Target(
        function=(function.namespace, function.name),
        deployment=DeploymentKey(function.namespace, serving.deployment),
        revision=serving.revision,
        executed_version=version,
        timeout=timeout,
        reserved=function.reserved,
    )
