"""What a version of a function runs on, put together when its objects change.

Place: ``table`` makes the targets of each entry, so that a request only looks one up; ``resolve``
chooses among them. Invariants: pure; a target never changes, its entry is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import LATEST, FunctionFacts, Serving, VersionFacts

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
    """The function's own limit: its reservation, or a lower ``maxReplicas``."""
    draws: bool = True
    """It reserves nothing: it draws on what the account's functions share."""


def targets_of(
    function: FunctionFacts, versions: Mapping[str, VersionFacts]
) -> Mapping[str, Target | Problem]:
    """Return what ``$LATEST`` and each published version stand for."""
    found = {LATEST: _target(function, LATEST, function, function.serving)}
    for number, version in versions.items():
        found[number] = _target(function, number, version, version.place)
    return found


def _target(
    function: FunctionFacts,
    version: str,
    runs: FunctionFacts | VersionFacts,
    serving: Serving | None,
) -> Target | Problem:
    if serving is None:
        return "failed" if runs.failed else "pending"
    return Target(
        function=(function.namespace, function.name),
        deployment=DeploymentKey(function.namespace, serving.deployment),
        revision=serving.revision,
        executed_version=version,
        timeout=runs.timeout,
        reserved=function.limit,
        draws=function.reserved is None,
    )
