"""The Deployments of `$LATEST` or a version: make the wanted one, switch, clear the old. Pure.

Order: create or repair → status (the switch) → delete. A Deployment that no longer serves stays
until it is empty and, after a switch, until every gateway has certainly seen the switch: a request
may still be on its way to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from klambda_core.clock import kube_timestamp, parse_timestamp
from klambda_core.conditions import Fact, Truth
from klambda_core.crd import Active, Failed
from klambda_core.kinds import DEPLOYMENT
from klambda_operator import reasons
from klambda_operator.assess import Blocked, Subject, Target, assess, drifted, strangers
from klambda_operator.model import (
    Action,
    CreateDeployment,
    Delete,
    Deployment,
    Json,
    RepairDeployment,
    World,
)
from klambda_operator.render.deployment import birth, render

SWITCH_GRACE = timedelta(seconds=10)
"""Alias and code shifts reach all gateways within 1 s; ten times that is certain."""

RECENT = 4
"""So many old ones wait for that; one update after the other must not pile up Deployments."""

CONFLICT_RETRY_S = 60.0
DELETION_RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the revision comes to: actions before and after the status write, and the status."""

    before: Sequence[Action] = ()
    after: Sequence[Action] = ()
    facts: Sequence[Fact] = ()
    active: Active | None = None
    failed: Failed | None = None
    requeue_after: float | None = None
    upgrade: bool = False
    pending: bool = False
    """The gateway is at work on code or layers, and will say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What becomes of the wanted Deployment."""

    actions: list[Action] = field(default_factory=list)
    trouble: Blocked | None = None
    requeue_after: float | None = None


def plan_revision(
    subject: Subject,
    deployments: Sequence[Deployment],
    world: World,
    *,
    now: datetime,
    refusal: str | None = None,
    obstacle: Blocked | None = None,
) -> Outcome:
    """`refusal`: the API server's to the Deployment; `obstacle`: the owner's own trouble."""
    target = obstacle or assess(subject, world)
    if isinstance(target, Blocked):
        blocked = _blocked(subject, target, deployments, now=now)
        return replace(blocked, pending=target.passing)
    if refusal is not None:
        message = reasons.apply_failed(refusal)
        trouble = _deployment_trouble(
            reasons.APPLY_FAILED, message, reasons.CODE_INVALID_CONFIGURATION
        )
        return _blocked(
            subject, trouble, deployments, now=now, target=target, requeue=CONFLICT_RETRY_S
        )
    step = _make(subject, target, deployments, world)
    if step.trouble is not None:
        return _blocked(
            subject, step.trouble, deployments, now=now, target=target, requeue=step.requeue_after
        )
    active = _switched(subject.active, target, now)
    after, wait = _clear_away(subject, deployments, {target.deployment}, active, now)
    return Outcome(
        before=step.actions,
        after=after,
        facts=_facts(target=target),
        active=active,
        requeue_after=wait,
        upgrade=_is_upgrade(subject.active, target),
    )


def _make(
    subject: Subject, target: Target, deployments: Sequence[Deployment], world: World
) -> _Step:
    manifest = render(subject, target, world)
    found = next((d for d in deployments if d.name == target.deployment), None)
    if found is None:
        return _Step(actions=[CreateDeployment(manifest=birth(manifest))])
    if found.owner is None or found.owner.uid != subject.uid:
        message = reasons.name_conflict(found.name)
        trouble = _deployment_trouble(reasons.NAME_CONFLICT, message, reasons.CODE_INTERNAL)
        return _Step(trouble=trouble, requeue_after=CONFLICT_RETRY_S)
    if found.deleting:
        message = "The Deployment is being deleted and will be made again."
        trouble = _deployment_trouble(reasons.BEING_DELETED, message, passing=True)
        return _Step(trouble=trouble, requeue_after=DELETION_RETRY_S)
    if drifted(found.content, manifest):
        return _Step(actions=[_repair(found, manifest)])
    return _Step()


def _repair(found: Deployment, manifest: Json) -> RepairDeployment:
    """A merge patch replaces lists whole and leaves `replicas` to the gateway."""
    patch = {
        "metadata": {
            "resourceVersion": found.resource_version,
            "labels": manifest["metadata"]["labels"],
            "annotations": manifest["metadata"]["annotations"],
        },
        "spec": dict(manifest["spec"]),
    }
    template = manifest["spec"]["template"]
    gone = dict.fromkeys(strangers(found.content, manifest))
    patch["spec"]["template"] = template | {"spec": template["spec"] | gone}
    return RepairDeployment(name=found.name, patch=patch)


def _switched(active: Active | None, target: Target, now: datetime) -> Active:
    if (
        active is not None
        and active.revision == target.revision
        and active.deployment == target.deployment
        and active.config_digest == target.config_digest
    ):
        return active
    return Active(
        config_digest=target.config_digest,
        revision=target.revision,
        deployment=target.deployment,
        since=kube_timestamp(now),
    )


def _is_upgrade(active: Active | None, target: Target) -> bool:
    return (
        active is not None
        and active.config_digest == target.config_digest
        and active.revision != target.revision
    )


def _clear_away(
    subject: Subject,
    deployments: Sequence[Deployment],
    wanted: set[str],
    active: Active | None,
    now: datetime,
) -> tuple[list[Action], float | None]:
    kept = wanted | ({active.deployment} if active else set())
    old = [
        d
        for d in deployments
        if d.owner is not None
        and d.owner.uid == subject.uid
        and d.name not in kept
        and d.empty
        and not d.deleting
    ]
    if not old:
        return [], None
    since = parse_timestamp(active.since) if active and active.since else None
    wait = (since + SWITCH_GRACE - now).total_seconds() if since else 0.0
    if wait > 0:
        old.sort(key=lambda d: (d.created, d.name))
        return [_delete(d) for d in old[:-RECENT]], wait
    return [_delete(d) for d in old], None


def _delete(deployment: Deployment) -> Delete:
    return Delete(
        kind=DEPLOYMENT,
        name=deployment.name,
        uid=deployment.uid,
        resource_version=deployment.resource_version,
    )


def delete_ownerless(
    deployments: Sequence[Deployment], owner_kind: str, owner_name: str, living_uid: str | None
) -> list[Action]:
    """Deployments of vanished namesakes: at once, whatever they hold (their owner is no more)."""
    return [
        Delete(kind=DEPLOYMENT, name=d.name, uid=d.uid)
        for d in deployments
        if d.owner is not None
        and (d.owner.kind, d.owner.name) == (owner_kind, owner_name)
        and d.owner.uid != living_uid
        and not d.deleting
    ]


def _blocked(
    subject: Subject,
    trouble: Blocked,
    deployments: Sequence[Deployment],
    *,
    now: datetime,
    target: Target | None = None,
    requeue: float | None = None,
) -> Outcome:
    """What serves goes on serving; `failed` tells Lambda's API that this change will not come."""
    failed = None
    if trouble.code is not None:
        failed = Failed(
            config_digest=subject.config_digest, reason_code=trouble.code, message=trouble.message
        )
    wanted = {target.deployment} if target else set()
    after, wait = _clear_away(subject, deployments, wanted, subject.active, now)
    waits = [seconds for seconds in (requeue, wait) if seconds is not None]
    return Outcome(
        after=after,
        facts=_facts(target=target, trouble=trouble),
        active=subject.active,
        failed=failed,
        requeue_after=min(waits, default=None),
    )


def _deployment_trouble(
    reason: str, message: str, code: str | None = None, *, passing: bool = False
) -> Blocked:
    return Blocked(
        condition=reasons.DEPLOYMENT_APPLIED,
        reason=reason,
        message=message,
        code=code,
        passing=passing,
    )


def _facts(*, target: Target | None, trouble: Blocked | None = None) -> list[Fact]:
    """All conditions of a revision, Ready first, so that each is set on first sight."""
    steps = (reasons.IMAGE_RESOLVED, reasons.DEPLOYMENT_APPLIED)
    facts = [
        Fact(type=reasons.READY, status="True", reason=reasons.OK)
        if trouble is None
        else Fact(
            type=reasons.READY,
            status="Unknown" if trouble.passing else "False",
            reason=trouble.reason,
            message=trouble.message,
        )
    ]
    status: Truth = "True" if trouble is None or trouble.condition in steps else "Unknown"
    for step in steps:
        if trouble is not None and trouble.condition == step:
            facts.append(
                Fact(type=step, status="False", reason=trouble.reason, message=trouble.message)
            )
            status = "Unknown"
        else:
            reason = reasons.OK if status == "True" else reasons.BLOCKED
            facts.append(Fact(type=step, status=status, reason=reason))
    return [*facts, *_substitution(target)]


def _substitution(target: Target | None) -> list[Fact]:
    if target is None:
        return []
    if not target.substituted:
        return [
            Fact(type=reasons.RUNTIME_SUBSTITUTED, status="False", reason=reasons.NOT_SUBSTITUTED)
        ]
    return [
        Fact(
            type=reasons.RUNTIME_SUBSTITUTED,
            status="True",
            reason=reasons.SUBSTITUTED,
            message=reasons.substituted(target.runtime),
        )
    ]
