"""Where an alias's requests go when it points elsewhere now: a pure choice.

An alias with provisioned concurrency that is pointed to another version goes on with the old one
until the new one's instances are initialised, as on AWS: ``status.provisionedConcurrency.versions``
says which that is. The spec says where it points, and wins as soon as what it left cannot be
invoked any more (deleted), or nothing is provisioned.

Place: ``table`` makes the routes of each entry; ``scale.provisioned`` decides when to switch.
Invariants: a function of one entry alone, so that all gateways that have seen the same objects
choose alike. Not here: weights drawn (``resolve``).
"""

from __future__ import annotations

from collections.abc import Mapping

from klambda_gateway.routing.facts import AliasFacts, Shares
from klambda_gateway.routing.target import Problem, Target


def routes_of(
    aliases: Mapping[str, AliasFacts], targets: Mapping[str, Target | Problem]
) -> Mapping[str, Shares]:
    """Return where each alias's requests go."""
    return {name: _route(alias, targets) for name, alias in aliases.items()}


def _route(alias: AliasFacts, targets: Mapping[str, Target | Problem]) -> Shares:
    kept = alias.kept
    if alias.provisioned is None or kept is None or not kept.route:
        return alias.targets
    usable = all(isinstance(targets.get(version), Target) for version, _ in kept.route)
    return kept.route if usable else alias.targets
