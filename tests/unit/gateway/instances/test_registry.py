"""The registry: records live as long as their pod or connection, waiters are served at once."""

from __future__ import annotations

import dataclasses

from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry

KEY = DeploymentKey("default", "area-latest-1")
POD = PodFacts(namespace="default", name="p", uid="u", deployment=KEY.name)


class Waiter:
    patient = False

    since = 0.0

    def __init__(self, attempt: str, *, gone: bool = False) -> None:
        self.attempt = attempt
        self.gone = gone
        self.record: Record | None = None

    def grant(self, record: Record) -> None:
        if self.gone:
            record.abandon(self.attempt)
        else:
            self.record = record

    def dismiss(self, reason: Exception) -> None:
        raise AssertionError(reason)


def registry() -> tuple[Registry, list[DeploymentKey], list[DeploymentKey]]:
    short: list[DeploymentKey] = []
    arrived: list[DeploymentKey] = []
    made = Registry(clock=lambda: 1.0, on_short=short.append, on_arrival=arrived.append)
    return made, short, arrived


def test_a_record_lives_while_its_pod_or_its_connection_does() -> None:
    made, _, _ = registry()
    record = made.link("u", KEY, boot="b", state="idle")
    made.see_pod(POD)
    made.unlink(record)
    assert made.records == {"u": record}
    made.lose_pod(POD)
    assert made.records == {}
    assert list(made) == []


def test_a_pod_that_was_deleted_before_it_was_seen_leaves_nothing() -> None:
    made, _, _ = registry()
    made.unlink(made.link("u", KEY, boot="b", state="idle"))
    assert made.records == {}
    assert list(made) == []


def test_a_pod_that_goes_while_connected_is_no_capacity_and_goes_with_its_connection() -> None:
    made, _, _ = registry()
    record = made.see_pod(POD)
    made.link("u", KEY, boot="b", state="idle")
    made.lose_pod(POD)
    assert made.pool(KEY).take("a") is None
    made.unlink(record)
    assert made.records == {}


def test_an_instance_counts_as_arrived_once_and_only_when_it_can_be_used() -> None:
    made, _, arrived = registry()
    made.see_pod(POD)
    record = made.link("u", KEY, boot="b", state="unassigned")
    assert arrived == []
    record.assigning()
    made.touch(record)
    assert arrived == [KEY]
    made.unlink(record)
    made.link("u", KEY, boot="b", state="idle")
    made.touch(record)
    assert arrived == [KEY], "dialling again is no new start"


def test_who_waits_is_served_and_what_is_missing_is_said() -> None:
    made, short, _ = registry()
    first, second = Waiter("1"), Waiter("2")
    made.pool(KEY).wait(first)
    made.pool(KEY).wait(second)
    record = made.link("u", KEY, boot="b", state="idle")
    assert first.record is record
    assert second.record is None
    assert short == [KEY]
    record.ended("1", 2.0)
    made.touch(record)
    assert second.record is record


def test_an_instance_granted_to_somebody_who_has_gone_goes_to_the_next() -> None:
    made, _, _ = registry()
    gone, there = Waiter("1", gone=True), Waiter("2")
    made.pool(KEY).wait(gone)
    made.pool(KEY).wait(there)
    record = made.link("u", KEY, boot="b", state="idle")
    assert there.record is record
    made.see_pod(dataclasses.replace(POD, restarts=1))
    assert record.spoilt
