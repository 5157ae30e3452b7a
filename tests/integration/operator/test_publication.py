"""Publishing by YAML on a real API server: numbers survive the operator's own status writes."""

from __future__ import annotations

import time
from typing import Any

from klambda_core.clock import parse_timestamp
from klambda_core.kinds import ALIAS, FUNCTION, VERSION
from tests.integration.operator.rig import Hands, condition_of, wait

OTHER_CODE = {"blob": {"sha256": "b" * 64, "size": 12}}


def done(hands: Hands, wish: str, number: int) -> dict[str, Any]:
    """The function once a wish is done by a version."""

    def probe() -> dict[str, Any] | None:
        body = hands.get(FUNCTION, "area") or {}
        wanted = {"id": wish, "version": number}
        return body if body.get("status", {}).get("published") == wanted else None

    return wait(probe, f"{wish} is version {number}")


def leads_to(hands: Hands, number: int) -> None:
    def probe() -> bool:
        status = (hands.get(ALIAS, "area-new") or {}).get("status", {})
        return [each["version"] for each in status.get("versions", [])] == [str(number)]

    wait(probe, f"the alias leads to {number}")


def test_every_id_publishes_once_and_an_alias_follows(hands: Hands) -> None:
    hands.create(
        ALIAS, "area-new", {"functionRef": "area", "name": "new", "track": "LatestPublished"}
    )
    hands.function(publish={"id": "one", "description": "first"})
    body = done(hands, "one", 1)
    assert body["status"]["lastVersion"] == 1
    version = hands.get(VERSION, "area-v1")
    assert version is not None
    assert version["spec"]["description"] == "first"
    assert version["metadata"]["ownerReferences"][0]["uid"] == body["metadata"]["uid"]
    leads_to(hands, 1)
    hands.patch(FUNCTION, "area", {"spec": {"code": OTHER_CODE, "publish": {"id": "two"}}})
    assert done(hands, "two", 2)["status"]["lastVersion"] == 2
    leads_to(hands, 2)
    hands.patch(FUNCTION, "area", {"spec": {"publish": {"id": "three"}}})
    assert done(hands, "three", 2)["status"]["lastVersion"] == 2, "nothing changed"
    hands.delete(VERSION, "area-v2")
    leads_to(hands, 1)
    hands.patch(FUNCTION, "area", {"spec": {"publish": {"id": "four"}}})
    assert done(hands, "four", 3)["status"]["lastVersion"] == 3, "numbers are never used again"


def test_auto_publish_follows_every_change(hands: Hands) -> None:
    hands.function(autoPublish=True)
    wait(lambda: hands.get(VERSION, "area-v1"), "version 1")
    hands.patch(FUNCTION, "area", {"spec": {"tags": {"a": "b"}}})
    hands.patch(FUNCTION, "area", {"spec": {"timeout": 9}})
    wait(lambda: hands.get(VERSION, "area-v2"), "version 2")
    hands.ready()
    assert len(hands.list(VERSION)) == 2, "tags are no change"


def test_reservations_beyond_the_limit_are_told(hands: Hands) -> None:
    older = hands.function("older", reservedConcurrentExecutions=850)
    born = parse_timestamp(older["metadata"]["creationTimestamp"])
    assert born is not None
    hands.condition("ConcurrencyOvercommitted", "False", "older")
    wait(lambda: time.time() > born.timestamp() + 1.1, "Kubernetes tells ages in whole seconds")
    hands.function("zyounger", reservedConcurrentExecutions=100)
    body = hands.condition("ConcurrencyOvercommitted", "True", "zyounger")
    found = condition_of(body, "ConcurrencyOvercommitted")
    assert found["reason"] == "ReservedByOthers"
    hands.patch(FUNCTION, "older", {"spec": {"reservedConcurrentExecutions": 1}})
    hands.condition("ConcurrencyOvercommitted", "False", "zyounger")
