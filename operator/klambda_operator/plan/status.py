"""The operator's share of a status: built whole, written only when it differs. Pure."""

from collections.abc import Sequence
from datetime import datetime

from klambda_core.conditions import Fact, Transition, find, merge, transitions
from klambda_core.crd import Condition
from klambda_core.crd.base import ObjectMeta
from klambda_core.kinds import Kind
from klambda_operator import reasons
from klambda_operator.model import Action, Broken, Json, Plan, WriteStatus

_TOLD = (
    reasons.READY,
    reasons.RUNTIME_SUBSTITUTED,
    reasons.NAME_TAKEN,
    reasons.CONCURRENCY_OVERCOMMITTED,
    reasons.PROVISIONED_TWICE,
)
"""Conditions whose transitions become events; the others only explain Ready."""


def write_status(
    kind: Kind,
    metadata: ObjectMeta,
    *,
    observed: Json,
    members: Json,
    facts: Sequence[Fact],
    now: datetime,
    conditions: Sequence[Condition],
) -> tuple[list[Action], list[Transition]]:
    """The action that brings the status there (none when it is there) and what to tell.

    `observed`: the status as read; `members`: the operator's members beside conditions.
    """
    merged = merge(conditions, facts, generation=metadata.generation, now=now)
    wanted = {
        "observedGeneration": metadata.generation,
        **{key: value for key, value in members.items() if value is not None},
    }
    same = all(observed.get(key) == wanted.get(key) for key in {*members, *wanted})
    if same and all(find(conditions, each.type) == each for each in merged):
        return [], []
    status = wanted | {"conditions": [condition.to_json() for condition in merged]}
    action = WriteStatus(
        kind=kind,
        name=metadata.name,
        resource_version=metadata.resource_version,
        status=status,
    )
    return [action], [t for t in transitions(conditions, merged) if _worth_telling(t)]


def plan_broken(broken: Broken, now: datetime) -> Plan:
    """An object that cannot be read: say so, keep what serves."""
    kept = {
        key: broken.status[key]
        for key in ("functionName", "published", "url", "active", "failed", "versions")
        if key in broken.status
    }
    conditions = [
        Condition.model_validate(c)
        for c in broken.status.get("conditions", [])
        if c.get("type") == reasons.READY
    ]
    actions, told = write_status(
        broken.kind,
        broken.metadata,
        observed=dict(broken.status),
        members=kept,
        facts=[
            Fact(
                type=reasons.READY,
                status="False",
                reason=reasons.INVALID_OBJECT,
                message=reasons.invalid_object(broken.message),
            )
        ],
        now=now,
        conditions=conditions,
    )
    return Plan(actions=actions, transitions=told, subject=broken)


def _worth_telling(transition: Transition) -> bool:
    condition = transition.condition
    if condition.type not in _TOLD or condition.status == "Unknown":
        return False
    # A fact that never was is no news.
    return (
        transition.before is not None
        or condition.type == reasons.READY
        or (condition.status == "True")
    )
