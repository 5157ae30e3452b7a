"""metav1 conditions: facts of this moment merged into what was observed. Pure.

`lastTransitionTime` moves only when the status changes, so that telling the same facts again is no
write; events are made from transitions (a change of status or reason) and from nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from klambda_core.clock import kube_timestamp
from klambda_core.crd.status import Condition

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A condition without its history."""

    type: str
    status: Truth
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A condition that changed its status or reason; `before` is None when it is new."""

    condition: Condition
    before: Condition | None


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of a type."""
    return next((c for c in conditions if c.type == kind), None)


def is_true(conditions: Iterable[Condition], kind: str) -> bool:
    """Whether a condition is known and True."""
    found = find(conditions, kind)
    return found is not None and found.status == "True"


def merge(
    observed: Sequence[Condition], facts: Iterable[Fact], *, generation: int, now: datetime
) -> list[Condition]:
    """The facts as conditions, in their order, with times kept from what was observed."""
    return [_dated(find(observed, fact.type), fact, generation, now) for fact in facts]


def transitions(observed: Sequence[Condition], new: Iterable[Condition]) -> list[Transition]:
    """What changed, for events."""
    changes = []
    for condition in new:
        before = find(observed, condition.type)
        if before is None or (before.status, before.reason) != (condition.status, condition.reason):
            changes.append(Transition(condition=condition, before=before))
    return changes


def _dated(before: Condition | None, fact: Fact, generation: int, now: datetime) -> Condition:
    kept = before is not None and before.status == fact.status
    since = before.last_transition_time if before is not None and kept else kube_timestamp(now)
    return Condition(
        type=fact.type,
        status=fact.status,
        reason=fact.reason,
        message=fact.message,
        observed_generation=generation,
        last_transition_time=since,
    )
