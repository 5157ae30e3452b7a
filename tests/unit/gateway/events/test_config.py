"""What objects say about events: each qualifier its own, the dead-letter queue by version."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_gateway.events.config import deliveries, rules, situation
from klambda_gateway.events.policy import Rules, Situation
from klambda_gateway.routing.facts import alias_facts, function_facts, version_facts
from klambda_gateway.routing.table import Entry

SQS, SNS = "arn:aws:sqs:us-east-1:1:q", "arn:aws:sns:us-east-1:1:t"


def meta(name: str) -> dict[str, Any]:
    return {"namespace": "default", "name": name, "uid": f"uid-{name}"}


def entry(**function: Any) -> Entry:
    spec = {
        "deadLetterConfig": {"targetArn": "dlq-latest"},
        "eventInvokeConfig": {
            "maximumRetryAttempts": 0,
            "maximumEventAgeInSeconds": 60,
            "destinationConfig": {"onSuccess": {"destination": SQS}},
        },
        **function,
    }
    version = {
        "functionRef": "f",
        "version": 1,
        "snapshot": {"deadLetterConfig": {"targetArn": "dlq-1"}},
    }
    alias = {
        "functionRef": "f",
        "name": "live",
        "functionVersion": "1",
        "eventInvokeConfig": {"destinationConfig": {"onFailure": {"destination": SNS}}},
    }
    found = function_facts({"metadata": meta("f"), "spec": spec})
    one = version_facts({"metadata": meta("f-v1"), "spec": version})
    live = alias_facts({"metadata": meta("f-live"), "spec": alias})
    assert found is not None
    assert one is not None
    assert live is not None
    return Entry(function=found, versions={"1": one}, aliases={"live": live})


@pytest.mark.parametrize(
    ("qualifier", "expected"),
    [
        (None, Rules(retries=0, max_age=60)),
        ("$LATEST", Rules(retries=0, max_age=60)),
        ("live", Rules(retries=2, max_age=21_600)),
        ("1", Rules()),
        ("gone", Rules()),
    ],
)
def test_rules_by_qualifier(qualifier: str | None, expected: Rules) -> None:
    assert rules(entry(), qualifier) == expected


@pytest.mark.parametrize(
    ("qualifier", "version", "condition", "told"),
    [
        (None, "$LATEST", "Success", [("on-success", SQS)]),
        (None, "$LATEST", "RetriesExhausted", [("dead-letter", "dlq-latest")]),
        ("live", "1", "RetriesExhausted", [("on-failure", SNS), ("dead-letter", "dlq-1")]),
        ("live", None, "ZeroReservedConcurrency", [("on-failure", SNS), ("dead-letter", "dlq-1")]),
        ("live", "1", "Success", []),
        ("1", None, "EventAgeExceeded", [("dead-letter", "dlq-1")]),
        ("gone", None, "EventAgeExceeded", []),
        (None, "9", "RetriesExhausted", []),
    ],
)
def test_who_is_told(
    qualifier: str | None, version: str | None, condition: str, told: list[tuple[str, str]]
) -> None:
    found = deliveries(entry(), qualifier, version, condition)
    assert [(each.kind, each.target) for each in found] == told
    assert deliveries(None, qualifier, version, condition) == ()


def test_the_situation() -> None:
    assert situation(None, "uid-f", looping=False) == Situation(standing="unknown")
    assert situation(entry(), "uid-g", looping=True) == Situation(standing="recreated")
    assert situation(entry(), "uid-f", looping=True) == Situation(looping=True)
    assert situation(entry(asyncPaused=True), "uid-f", looping=False) == Situation(paused=True)
    assert situation(entry(asyncPaused="x"), "uid-f", looping=False) == Situation()
    allowed = entry(recursiveLoop="Allow", reservedConcurrentExecutions=0)
    assert situation(allowed, "uid-f", looping=True) == Situation(reserved=0)
