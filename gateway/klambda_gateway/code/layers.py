"""What is to be said about a function's layers. Pure.

Theory. ``spec.layers`` names ARNs, ``status.layers`` holds what each was resolved to, the condition
LayersResolved says how that went. ``settled`` compares the three. A layer that is missing, not open
to this account or not ready may become usable without a change of the function: such an object is
never settled, it waits. Place: ``resolver`` asks; rules and texts: ``klambda_core.layers``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from klambda_core.conditions import Fact, find
from klambda_core.crd import Function, ResolvedLayer
from klambda_core.layers import CONDITION, Trouble

RESOLVED = "Resolved"
NONE = "NoLayers"
_ADVICE = "Publish it, correct spec.layers, or take it out."


def settled(function: Function) -> bool:
    """Whether the status already says what there is to say."""
    condition = find(function.status.conditions, CONDITION)
    if condition is None:
        return False
    if condition.status == "True":
        return set(known(function)) == set(function.spec.layers or ())
    current = condition.observed_generation == function.metadata.generation
    return current and not Trouble(reason=condition.reason, message="").passing


def known(function: Function) -> Mapping[str, ResolvedLayer]:
    """What was resolved before, by ARN; it is never resolved again."""
    return {layer.arn: layer for layer in function.status.layers or ()}


def fact(outcome: Sequence[ResolvedLayer] | Trouble) -> Fact:
    """The condition that tells of it."""
    if isinstance(outcome, Trouble):
        message = f"{outcome.message} {_ADVICE}" if outcome.passing else outcome.message
        return Fact(type=CONDITION, status="False", reason=outcome.reason, message=message)
    if not outcome:
        return Fact(type=CONDITION, status="True", reason=NONE)
    digests = ", ".join(layer.sha256[:12] for layer in outcome)
    return Fact(
        type=CONDITION,
        status="True",
        reason=RESOLVED,
        message=f"In the store, in order: {digests}.",
    )
