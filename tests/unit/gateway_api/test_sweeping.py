"""What may go: blobs without a name for a day, tombstones without a use."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from klambda_core.crd import LayerVersion
from klambda_gateway.clock import never_back, steady
from klambda_gateway.code.sweeping import Idle, References, StoredBlob, due, removable

A, B, C = "a" * 64, "b" * 64, "c" * 64
DAY = 86_400.0
NOW = 10 * DAY
ARN = "arn:aws:lambda:us-east-1:123456789012:layer:deps:{}"


def references(*bodies: dict[str, Any]) -> References:
    found = References()
    for body in bodies:
        metadata = {"namespace": "n", "name": "x"} | body.get("metadata", {})
        found.add(body | {"metadata": metadata})
    return found


@pytest.mark.parametrize(
    "body",
    [
        {"spec": {"code": {"blob": {"sha256": A, "size": 1}}}},
        {"spec": {"code": {"url": "https://x", "sha256": A}}},
        {"status": {"code": {"sha256": A}}},
        {"status": {"layers": [{"arn": ARN.format(1), "sha256": A}]}},
        {"spec": {"snapshot": {"layers": [{"sha256": A}]}}},
        {"spec": {"of": {"a": {"later": {"release": [[{"sha256": A}]]}}}}},
        {"metadata": {"annotations": {"klambda.io/assignment": json.dumps(
            {"code": {"sha256": A}, "layers": []})}}},
        {"metadata": {"annotations": {"klambda.io/assignment": json.dumps(
            {"code": {"sha256": B}, "layers": [{"sha256": A}]})}}},
    ],
)  # fmt: skip
def test_whatever_names_a_blob_keeps_it(body: dict[str, Any]) -> None:
    assert ("n", A) in references(body).digests


def test_what_names_nothing() -> None:
    found = references(
        {"spec": {"description": A, "environment": {"variables": {"sha": A}}, "n": 1, "x": None}},
        {"spec": {"code": {"sha256": "short"}}},
        {"metadata": {"annotations": {"klambda.io/assignment": "no json"}}},
    )
    assert found == References()


def blob(sha256: str, modified: float = 0, namespace: str = "n") -> StoredBlob:
    return StoredBlob(namespace=namespace, sha256=sha256, modified=int(modified))


def test_a_blob_waits_its_age_from_the_first_look() -> None:
    named = references({"status": {"code": {"sha256": B}}})
    blobs = [blob(A), blob(B), blob(B, namespace="other")]
    going, since = due(blobs, named, {}, now=NOW, age=DAY)
    assert not going
    idle = Idle(since=NOW, modified=0)
    assert since == {("n", A): idle, ("other", B): idle}
    going, since = due(blobs, named, since, now=NOW + DAY - 1, age=DAY)
    assert not going
    going, since = due(blobs, named, since, now=NOW + DAY, age=DAY)
    assert going == [blob(A), blob(B, namespace="other")]
    assert since == {}


def test_a_blob_that_is_named_again_or_uploaded_again_waits_anew() -> None:
    _, since = due([blob(A)], References(), {}, now=NOW, age=DAY)
    named = references({"status": {"code": {"sha256": A}}})
    _, since = due([blob(A)], named, since, now=NOW + 1, age=DAY)
    assert since == {}
    _, since = due([blob(A)], References(), {}, now=NOW, age=DAY)
    fresh = blob(A, NOW + DAY)
    going, since = due([fresh], References(), since, now=NOW + DAY + 1, age=DAY)
    assert going == []
    assert due([fresh], References(), since, now=NOW + 2 * DAY, age=DAY)[0] == []
    assert due([fresh], References(), since, now=NOW + 2 * DAY + 1, age=DAY)[0] == [fresh]


def layer(version: int, *, deleted: bool = True, **metadata: str) -> tuple[LayerVersion, str]:
    body = {
        "metadata": {"name": f"deps-{version}", "namespace": "n", "uid": "u"} | metadata,
        "spec": {"layerName": "deps", "version": version, "content": {}, "deleted": deleted},
    }
    return LayerVersion.read(body), ARN.format(version)


def test_tombstones() -> None:
    users = references({"spec": {"layers": [ARN.format(3)]}})
    layers = [
        layer(1),
        layer(2, deleted=False),
        layer(3),
        layer(4, deletionTimestamp="2026-11-21T12:00:00Z"),
        layer(5),
    ]
    assert [each.spec.version for each in removable(layers, users)] == [1]
    assert [each.spec.version for each in removable(layers[:3], References())] == [1]


def test_nobody_can_put_the_sweepers_clock_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    clock = steady()
    monkeypatch.setattr(time, "time", lambda: NOW + 30 * DAY)
    monkeypatch.setattr(time, "monotonic", lambda: 160.0)
    assert clock() == NOW + 60


def test_nobody_can_put_the_clock_of_tickets_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    clock = never_back()
    monkeypatch.setattr(time, "monotonic", lambda: 160.0)
    monkeypatch.setattr(time, "time", lambda: NOW - DAY)
    assert clock() == NOW + 60
    monkeypatch.setattr(time, "time", lambda: NOW + DAY)
    assert clock() == NOW + DAY, "it may have been wrong before"


@pytest.mark.parametrize("hours", [-48, 48])
def test_a_stores_clock_decides_nothing(hours: int) -> None:
    """The day is counted from the first look that found the blob as it is."""
    named, off = References(), hours * 3600
    first, again = blob(A, NOW + off), blob(A, NOW + off + DAY)
    _, known = due([first], named, {}, now=NOW, age=DAY)
    assert due([first], named, known, now=NOW + DAY - 1, age=DAY)[0] == []
    assert due([first], named, known, now=NOW + DAY, age=DAY)[0] == [first]
    going, known = due([again], named, known, now=NOW + DAY, age=DAY)
    assert going == [], "it was uploaded just now"
    assert due([again], named, known, now=NOW + 2 * DAY - 1, age=DAY)[0] == []
    assert due([again], named, known, now=NOW + 2 * DAY, age=DAY)[0] == [again]
