"""The plan for a Function: its name, `$LATEST`, and what a vanished namesake left behind. Pure."""

from collections.abc import Sequence
from datetime import datetime

from klambda_core.clock import parse_timestamp
from klambda_core.conditions import Fact, Transition, find
from klambda_core.crd import Function
from klambda_core.kinds import FUNCTION
from klambda_operator import reasons
from klambda_operator.assess import Blocked, subject_of_function
from klambda_operator.model import Action, Broken, Delete, FunctionSnapshot, Plan, Rival
from klambda_operator.plan.concurrency import reservation_facts
from klambda_operator.plan.publication import Publication, plan_publication
from klambda_operator.plan.revision import Outcome, delete_ownerless, plan_revision
from klambda_operator.plan.status import plan_broken, write_status

CODE_PATIENCE_S = 10.0
"""So long a new function's status may stay empty while its code is taken into the store."""


def plan_function(snapshot: FunctionSnapshot, now: datetime) -> Plan:
    """What to do about a Function."""
    function = snapshot.function
    if isinstance(function, Broken):
        return plan_broken(function, now)
    orphans = _orphans(snapshot, function.uid if function else None)
    if function is None or function.deleting:
        return Plan(actions=orphans)
    winner = older_rival(function.metadata.creation_timestamp, function.uid, snapshot.rivals)
    outcome = plan_revision(
        subject_of_function(function),
        snapshot.deployments,
        snapshot.world,
        now=now,
        refusal=snapshot.refusal,
        obstacle=_taken(function, winner) if winner else None,
    )
    if outcome.pending and (wait := _patience(function, now)) > 0:
        return Plan(actions=orphans, subject=function, requeue_after=wait)
    url = None
    if function.spec.url is not None and winner is None:
        url = snapshot.world.url(function.aws_name)
    publication = plan_publication(function, snapshot.versions)
    reserving = reservation_facts(function, snapshot.reservations, snapshot.world.concurrency)
    status, told = _status(function, outcome, publication, winner, url, reserving, now)
    # A written status may settle the function and is a new resourceVersion, on which the number is
    # claimed; nobody else will wake us, because our own writes are in memory already.
    again = winner is None and (publication.actions or (status and publication.open))
    published = [] if status or winner else publication.actions
    return Plan(
        actions=[*orphans, *outcome.before, *status, *outcome.after, *published],
        transitions=told,
        subject=function,
        requeue_after=0.0 if again else outcome.requeue_after,
        upgrade=outcome.upgrade,
    )


def older_rival(created: str, uid: str, rivals: Sequence[Rival]) -> Rival | None:
    """The oldest of several that claim one name wins; None when that is the object itself."""
    oldest = min(rivals, key=lambda r: (r.created, r.uid), default=None)
    if oldest is None or (created, uid) <= (oldest.created, oldest.uid):
        return None
    return oldest


def _patience(function: Function, now: datetime) -> float:
    """Seconds in which nothing is said of a new function, because its code is about to be there.

    Two writers to one new status, the gateway that takes the code in and we, cost each other a
    conflict, and the API server two server-side applies more; 500 at once felt it.
    """
    if find(function.status.conditions, reasons.READY) is not None:
        return 0.0
    created = parse_timestamp(function.metadata.creation_timestamp)
    age = (now - created).total_seconds() if created is not None else CODE_PATIENCE_S
    # A clock that differs from the API server's must not make anyone wait for long.
    return CODE_PATIENCE_S - age if age >= 0 else 0.0


def _taken(function: Function, winner: Rival) -> Blocked:
    return Blocked(
        condition=None,
        reason=reasons.NAME_TAKEN,
        message=reasons.name_taken(function.aws_name, winner.name),
        code=reasons.CODE_INVALID_CONFIGURATION,
    )


def _status(
    function: Function,
    outcome: Outcome,
    publication: Publication,
    winner: Rival | None,
    url: str | None,
    reserving: Sequence[Fact],
    now: datetime,
) -> tuple[list[Action], list[Transition]]:
    name = Fact(type=reasons.NAME_TAKEN, status="False", reason=reasons.NAME_FREE)
    if winner is not None:
        name = Fact(
            type=reasons.NAME_TAKEN,
            status="True",
            reason=reasons.NAME_TAKEN,
            message=reasons.name_taken(function.aws_name, winner.name),
        )
    return write_status(
        FUNCTION,
        function.metadata,
        observed=function.status.to_json(),
        members={
            "functionName": function.aws_name,
            "published": publication.published.to_json() if publication.published else None,
            "url": url,
            "active": outcome.active.to_json() if outcome.active else None,
            "failed": outcome.failed.to_json() if outcome.failed else None,
        },
        facts=[*outcome.facts, name, *reserving],
        now=now,
        conditions=function.status.conditions,
    )


def _orphans(snapshot: FunctionSnapshot, living_uid: str | None) -> list[Action]:
    """Children of a vanished uid: the cluster's collector is too slow for delete-and-create."""
    name = snapshot.key.name
    children: list[Action] = [
        Delete(kind=child.kind, name=child.name, uid=child.uid)
        for child in snapshot.children
        if child.owner is not None
        and (child.owner.kind, child.owner.name) == (FUNCTION.kind, name)
        and child.owner.uid != living_uid
        and not child.deleting
    ]
    return children + delete_ownerless(snapshot.deployments, FUNCTION.kind, name, living_uid)
