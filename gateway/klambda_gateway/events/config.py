"""What a function's objects say about its asynchronous events.

Place: ``story`` asks with the routing table's entry, at each attempt anew: a changed configuration,
a moved alias, a deleted function count from then on. Invariants: pure; each qualifier has its own
configuration and what it leaves out is Lambda's default (aws-contract c); the dead-letter queue is
part of the version that ran, or would run.
"""

from __future__ import annotations

from typing import Final

from klambda_core.events import Delivery
from klambda_gateway.events.policy import SUCCESS, Rules, Situation
from klambda_gateway.routing.facts import LATEST, EventFacts
from klambda_gateway.routing.table import Entry

NOTHING: Final = EventFacts()


def situation(entry: Entry | None, uid: str, *, looping: bool, certain: bool = True) -> Situation:
    """What the function of this uid is like; ``certain``: whether Kubernetes was asked."""
    if entry is None:
        return Situation(standing="unknown" if certain else "unsure")
    if entry.function.uid != uid:
        return Situation(standing="recreated")
    return Situation(
        paused=entry.function.events_paused,
        reserved=entry.function.reserved,
        looping=looping and not entry.function.loops_allowed,
    )


def rules(entry: Entry | None, qualifier: str | None) -> Rules:
    """How often and how long."""
    facts = event_facts(entry, qualifier)
    basis = Rules()
    return Rules(
        retries=basis.retries if facts.retries is None else facts.retries,
        max_age=basis.max_age if facts.max_age is None else facts.max_age,
    )


def deliveries(
    entry: Entry | None, qualifier: str | None, executed_version: str | None, condition: str
) -> tuple[Delivery, ...]:
    """Who is to be told of an outcome: both the dead-letter queue and the destination."""
    facts = event_facts(entry, qualifier)
    if condition == SUCCESS:
        target = facts.on_success
        return (Delivery(kind="on-success", target=target),) if target else ()
    found = []
    if facts.on_failure:
        found.append(Delivery(kind="on-failure", target=facts.on_failure))
    if queue := dead_letter(entry, qualifier, executed_version):
        found.append(Delivery(kind="dead-letter", target=queue))
    return tuple(found)


def event_facts(entry: Entry | None, qualifier: str | None) -> EventFacts:
    """The configuration of a qualifier."""
    if entry is None:
        return NOTHING
    if qualifier in (None, LATEST):
        return entry.function.events or NOTHING
    holder = entry.aliases.get(str(qualifier)) or entry.versions.get(str(qualifier))
    return (holder.events if holder is not None else None) or NOTHING


def dead_letter(
    entry: Entry | None, qualifier: str | None, executed_version: str | None
) -> str | None:
    """The dead-letter queue's ARN."""
    if entry is None:
        return None
    version = executed_version or qualifier or LATEST
    alias = entry.aliases.get(version)
    if alias is not None and alias.targets:
        version = alias.targets[0][0]
    if version == LATEST:
        return entry.function.dead_letter
    published = entry.versions.get(version)
    return published.dead_letter if published is not None else None
