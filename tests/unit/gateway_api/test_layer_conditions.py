"""What is said about a function's layers, and about what LayerVersions contain."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_core.crd import Function, LayerVersion, ResolvedLayer
from klambda_core.layers import Trouble, missing
from klambda_gateway.code import layers, sources
from klambda_gateway.code.sources import Lookup, Outcome, Package

SHA = "a" * 64
ARN = "arn:aws:lambda:us-east-1:123456789012:layer:deps:1"
OTHER = ARN.replace("deps", "more")


def entry(arn: str = ARN) -> dict[str, Any]:
    return {"arn": arn, "sha256": SHA, "size": 1}


def told(kind: str, status: str, reason: str, generation: int = 2) -> dict[str, Any]:
    return {
        "type": kind, "status": status, "reason": reason, "message": "m",
        "observedGeneration": generation, "lastTransitionTime": "2026-11-21T12:00:00Z",
    }  # fmt: skip


def function(wanted: list[str] | None, status: dict[str, Any]) -> Function:
    spec: dict[str, Any] = {"runtime": "python3.13", "handler": "a.b"}
    if wanted is not None:
        spec["layers"] = wanted
    metadata = {"name": "f", "namespace": "n", "generation": 2}
    return Function.read({"metadata": metadata, "spec": spec, "status": status})


def layer(content: dict[str, Any], status: dict[str, Any] | None = None) -> LayerVersion:
    spec = {"layerName": "deps", "version": 1, "content": content}
    metadata = {"name": "deps-1", "namespace": "n", "generation": 2}
    return LayerVersion.read({"metadata": metadata, "spec": spec, "status": status or {}})


TRUE = told("LayersResolved", "True", "Resolved", 1)


@pytest.mark.parametrize(
    ("wanted", "status", "expected"),
    [
        (None, {}, False),
        (None, {"conditions": [TRUE]}, True),
        (None, {"conditions": [TRUE], "layers": [entry()]}, False),
        ([ARN], {"conditions": [TRUE]}, False),
        ([ARN], {"conditions": [TRUE], "layers": [entry()]}, True),
        ([ARN, OTHER], {"conditions": [TRUE], "layers": [entry(OTHER), entry()]}, True),
        ([ARN], {"conditions": [told("LayersResolved", "False", "InvalidLayers")]}, True),
        ([ARN], {"conditions": [told("LayersResolved", "False", "InvalidLayers", 1)]}, False),
        ([ARN], {"conditions": [told("LayersResolved", "False", "LayersTooLarge")]}, True),
        ([ARN], {"conditions": [told("LayersResolved", "False", "LayerMissing")]}, False),
        ([ARN], {"conditions": [told("LayersResolved", "False", "LayerDenied")]}, False),
        ([ARN], {"conditions": [told("LayersResolved", "False", "LayersPending")]}, False),
    ],
)
def test_settled(wanted: list[str] | None, status: dict[str, Any], expected: bool) -> None:
    """What may change without the function is never settled."""
    assert layers.settled(function(wanted, status)) is expected


def test_facts() -> None:
    resolved = ResolvedLayer.model_validate(entry())
    found = layers.fact([resolved])
    assert (found.status, found.reason) == ("True", "Resolved")
    assert SHA[:12] in found.message
    assert (layers.fact([]).status, layers.fact([]).reason) == ("True", "NoLayers")
    found = layers.fact(missing(ARN))
    assert (found.status, found.reason) == ("False", "LayerMissing")
    assert found.message.endswith("Publish it, correct spec.layers, or take it out.")
    assert layers.fact(Trouble(reason="InvalidLayers", message="Too many.")).message == "Too many."


def test_content_of_a_layer() -> None:
    assert isinstance(sources.needed(layer({"files": {"python/a.py": "x"}})), Package)
    blob = {"blob": {"sha256": SHA, "size": 1}}
    assert sources.needed(layer(blob)) == Lookup(sha256=SHA)
    for item, reason, retry in (
        (sources.needed(layer({})), "NoContent", False),
        (sources.missing(layer(blob), SHA), "BlobMissing", True),
        (sources.name_taken(layer(blob), ARN, "older"), "NameTaken", True),
    ):
        assert isinstance(item, Outcome)
        assert (item.fact.type, item.fact.status, item.fact.reason) == ("Ready", "False", reason)
        assert item.retry is retry
        assert len(item.fact.message) > 20


@pytest.mark.parametrize(("reason", "expected"), [("InvalidCode", True), ("NameTaken", False)])
def test_settled_layers(reason: str, expected: bool) -> None:
    item = layer({"files": {}}, {"conditions": [told("Ready", "False", reason)]})
    assert sources.settled(item) is expected
