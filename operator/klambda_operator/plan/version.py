"""The plan for a Version: its owner and its revision. Pure."""

from datetime import datetime

from klambda_core.crd import Version
from klambda_core.kinds import VERSION
from klambda_operator import reasons
from klambda_operator.assess import Blocked, subject_of_version
from klambda_operator.model import Action, Broken, Plan, VersionSnapshot
from klambda_operator.plan.ownership import adopt, belongs
from klambda_operator.plan.revision import delete_ownerless, plan_revision
from klambda_operator.plan.status import plan_broken, write_status


def plan_version(snapshot: VersionSnapshot, now: datetime) -> Plan:
    """What to do about a Version."""
    version = snapshot.version
    if isinstance(version, Broken):
        return plan_broken(version, now)
    uid = version.uid if version else None
    orphans = delete_ownerless(snapshot.deployments, VERSION.kind, snapshot.key.name, uid)
    if version is None or version.deleting:
        return Plan(actions=orphans)
    if not belongs(version, snapshot.function_uid):
        return Plan(actions=orphans)  # of a vanished namesake: its function's plan deletes it
    adoption: list[Action] = [
        *adopt(VERSION, version, version.spec.function_ref, snapshot.function_uid)
    ]
    if adoption:
        # The adoption changes the resourceVersion: the rest is planned from what it returns.
        return Plan(actions=[*orphans, *adoption], subject=version, requeue_after=0.0)
    return _serve(snapshot, version, orphans, now)


def _serve(
    snapshot: VersionSnapshot, version: Version, orphans: list[Action], now: datetime
) -> Plan:
    """The version's revision, and what to say about it."""
    outcome = plan_revision(
        subject_of_version(version),
        snapshot.deployments,
        snapshot.world,
        now=now,
        refusal=snapshot.refusal,
        obstacle=_missing(version) if snapshot.function_uid is None else None,
    )
    status, told = write_status(
        VERSION,
        version.metadata,
        observed=version.status.to_json(),
        members={
            "active": outcome.active.to_json() if outcome.active else None,
            "failed": outcome.failed.to_json() if outcome.failed else None,
        },
        facts=outcome.facts,
        now=now,
        conditions=version.status.conditions,
    )
    return Plan(
        actions=[*orphans, *outcome.before, *status, *outcome.after],
        transitions=told,
        subject=version,
        requeue_after=outcome.requeue_after,
        upgrade=outcome.upgrade,
    )


def _missing(version: Version) -> Blocked:
    return Blocked(
        condition=None,
        reason=reasons.FUNCTION_MISSING,
        message=reasons.function_missing(version.spec.function_ref),
    )
