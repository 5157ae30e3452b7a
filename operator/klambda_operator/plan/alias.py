"""The plan for an Alias: which versions it leads to, and whether they exist. Pure.

When a target is missing, `status.versions` stays as it was: an alias never moves to where nothing
answers.
"""

from collections.abc import Sequence
from datetime import datetime

from klambda_core.conditions import Fact
from klambda_core.crd import Alias, WeightedVersion
from klambda_core.kinds import ALIAS
from klambda_core.names import LATEST
from klambda_operator import reasons
from klambda_operator.model import Action, AliasSnapshot, Broken, Plan
from klambda_operator.plan.function import older_rival
from klambda_operator.plan.ownership import adopt, belongs
from klambda_operator.plan.status import plan_broken, write_status

_PRECISION = 12
"""Digits of a weight: 1 - 0.1 shall read 0.9."""


def plan_alias(snapshot: AliasSnapshot, now: datetime) -> Plan:
    """What to do about an Alias."""
    alias = snapshot.alias
    if isinstance(alias, Broken):
        return plan_broken(alias, now)
    if alias is None or alias.deleting or not belongs(alias, snapshot.function_uid):
        return Plan()
    adoption: list[Action] = [*adopt(ALIAS, alias, alias.spec.function_ref, snapshot.function_uid)]
    if adoption:
        return Plan(actions=adoption, subject=alias, requeue_after=0.0)
    targets = wanted_targets(alias, snapshot.usable)
    trouble = _trouble(alias, snapshot, targets)
    versions = alias.status.versions if trouble else targets
    actions, told = write_status(
        ALIAS,
        alias.metadata,
        observed=alias.status.to_json(),
        members={
            "versions": [v.to_json() for v in versions] if versions else None,
            "url": _url(snapshot, alias),
        },
        facts=[*_facts(trouble), *_provisioned(alias, targets, snapshot.provisioned)],
        now=now,
        conditions=alias.status.conditions,
    )
    return Plan(actions=actions, transitions=told, subject=alias)


def wanted_targets(alias: Alias, usable: frozenset[int]) -> list[WeightedVersion]:
    """Versions with shares, the main one first; empty when there is nothing to track.

    What is tracked is the newest version that can serve, not one that is still being made.
    """
    main = alias.spec.function_version
    if alias.spec.track is not None:
        main = str(max(usable)) if usable else None
    if main is None:
        return []
    routing = alias.spec.routing_config
    extra = dict((routing and routing.additional_version_weights) or {})
    extra.pop(main, None)
    rest = round(1.0 - sum(extra.values()), _PRECISION)
    return [
        WeightedVersion(version=main, weight=rest),
        *(WeightedVersion(version=name, weight=share) for name, share in sorted(extra.items())),
    ]


def _trouble(
    alias: Alias, snapshot: AliasSnapshot, targets: Sequence[WeightedVersion]
) -> tuple[str, str] | None:
    if snapshot.function_uid is None:
        return reasons.FUNCTION_MISSING, reasons.function_missing(alias.spec.function_ref)
    winner = older_rival(alias.metadata.creation_timestamp, alias.uid, snapshot.rivals)
    if winner is not None:
        return reasons.NAME_TAKEN, reasons.alias_taken(alias.spec.name, winner.name)
    if not targets:
        return reasons.NO_VERSION, "No version is published yet; publish one."
    existing = {LATEST, *(str(number) for number in snapshot.versions)}
    for target in targets:
        if target.version not in existing:
            return reasons.TARGET_MISSING, reasons.target_missing(target.version)
    return None


def _url(snapshot: AliasSnapshot, alias: Alias) -> str | None:
    """The address of its URL; only one of several rivals has it."""
    rival = older_rival(alias.metadata.creation_timestamp, alias.uid, snapshot.rivals)
    if alias.spec.url is None or snapshot.function_name is None or rival is not None:
        return None
    return snapshot.world.url(snapshot.function_name, alias.spec.name)


def _facts(trouble: tuple[str, str] | None) -> list[Fact]:
    kinds = (reasons.READY, reasons.TARGETS_EXIST)
    if trouble is None:
        return [Fact(type=kind, status="True", reason=reasons.OK) for kind in kinds]
    reason, message = trouble
    return [Fact(type=kind, status="False", reason=reason, message=message) for kind in kinds]


def _provisioned(
    alias: Alias, targets: Sequence[WeightedVersion], provisioned: frozenset[int]
) -> list[Fact]:
    """ProvisionedTwice of an alias that is provisioned: the API refuses what this tells."""
    if alias.spec.provisioned_concurrent_executions is None:
        return []
    kind = reasons.PROVISIONED_TWICE
    both = sorted(provisioned & {int(t.version) for t in targets if t.version != LATEST})
    if not both:
        return [Fact(type=kind, status="False", reason=reasons.OK)]
    message = reasons.provisioned_twice(both)
    return [Fact(type=kind, status="True", reason=reasons.VERSION_PROVISIONED, message=message)]
