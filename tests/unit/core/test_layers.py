"""Rules on a function's layers, and what each contains. Texts: aws-contract a.4."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_core import layers
from klambda_core.arn import LayerTarget, Malformed, parse_layer
from klambda_core.code import CodeRef, Unresolved, source_digest
from klambda_core.crd import LayerVersion, ResolvedLayer, Version
from klambda_core.digest import function_digest, snapshot_digest
from klambda_core.layers import Trouble
from klambda_core.limits import UNZIPPED_MAX
from klambda_core.names import layer_version_name
from klambda_core.snapshot import NewVersion, publish
from tests.unit.core.objects import SHA, function

ARN = "arn:aws:lambda:us-east-1:123456789012:layer:deps:1"
OTHER = "arn:aws:lambda:us-east-1:123456789012:layer:more:7"
RESOLVED = {"arn": ARN, "sha256": SHA, "size": 5, "unzipped": 9}
REGION_TEXT = (
    "Layers are not in the same region as the function. "
    "Layers are expected to be in region us-east-1."
)
TWINS = (
    "Two different versions of the same layer are not allowed to be referenced in the same "
    "function. {} and {} are versions of the same layer."
)
FILES = {"files": {"python/a.py": "x"}}


def layer(content: dict[str, Any], status: dict[str, Any] | None = None, **spec: Any) -> Any:
    return LayerVersion.read(
        {
            "metadata": {"name": "deps-1", "namespace": "default", "uid": "u", "generation": 1},
            "spec": {"layerName": "deps", "version": 1, "content": content, **spec},
            "status": status or {},
        }
    )


def condition(kind: str, status: str, reason: str, message: str, generation: int = 1) -> Any:
    return {
        "type": kind, "status": status, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": "2026-11-21T12:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arns", "message"),
    [
        ([], None),
        ([ARN, OTHER], None),
        ([f"{OTHER}{n}" for n in range(6)], "Cannot reference more than 5 layers."),
        (["nonsense!"], "Layer version nonsense! does not exist."),
        ([ARN.removesuffix(":1")], f"Layer version {ARN.removesuffix(':1')} does not exist."),
        (
            [ARN.replace("us-east-1", "eu-west-1")],
            REGION_TEXT,
        ),
        (
            [ARN, f"{ARN}2"],
            TWINS.format(ARN, f"{ARN}2"),
        ),
        (
            [ARN, ARN],
            TWINS.format(ARN, ARN),
        ),
        ([ARN, ARN.replace("123456789012", "210987654321")], None),
    ],
)
def test_the_list(arns: list[str], message: str | None) -> None:
    found = layers.check_list(arns, "us-east-1")
    assert (found.message if found else None) == message


def test_code_and_layers_together() -> None:
    half = UNZIPPED_MAX // 2
    code = CodeRef(sha256=SHA, size=1, unzipped=half)
    one = ResolvedLayer(arn=ARN, sha256=SHA, size=1, unzipped=half)
    assert layers.check_size(code, [one]) is None
    assert layers.check_size(None, [one]) is None
    assert layers.check_size(CodeRef(sha256=SHA, size=1), [one, one]) is None
    found = layers.check_size(code, [one, one.model_copy(update={"unzipped": 1})])
    assert found is not None
    assert not found.passing
    assert found.message == (
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        "The actual size is 262144001 bytes."
    )
    alone = layers.check_size(code, [one, one, one.model_copy(update={"unzipped": 1})])
    assert alone is not None
    assert alone.message == "Layers consume more than the available size of 262144000 bytes"


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (None, False),
        ([{"sid": "a", "principal": "210987654321"}], True),
        ([{"sid": "a", "principal": "arn:aws:iam::210987654321:root"}], True),
        ([{"sid": "a", "principal": "*"}], True),
        ([{"sid": "a", "principal": "*", "organizationId": "o-0123456789"}], False),
        ([{"sid": "a", "principal": "111111111111"}], False),
    ],
)
def test_who_may_use_it(policy: Any, allowed: bool) -> None:
    assert layers.allows(layer(FILES, policy=policy).spec.policy, "210987654321") is allowed


def test_what_it_contains() -> None:
    blob = layer({"blob": {"sha256": SHA, "size": 5, "unzipped": 9}})
    assert layers.take(blob, ARN) == ResolvedLayer.model_validate(RESOLVED)
    source = source_digest(layer(FILES).spec.content)
    content = {"sha256": SHA, "size": 5, "unzipped": 9, "source": source}
    assert layers.take(layer(FILES, {"content": content}), ARN) == layers.take(blob, ARN)
    refused = layer(FILES, {"conditions": [condition("Ready", "False", "InvalidCode", "Bad.")]})
    for item, final, message in (
        (layer({}), True, "There is no content."),
        (layer(FILES), False, "The content is being fetched."),
        (layer(FILES, {"content": {**content, "source": "of another"}}), False, "The content is "),
        (refused, True, "Bad."),
    ):
        found = layers.content_of(item)
        assert isinstance(found, Unresolved)
        assert found.final is final
        assert found.message.startswith(message)
        taken = layers.take(item, ARN)
        assert isinstance(taken, Trouble)
        assert taken.passing


def test_arns() -> None:
    place = {"region": "us-east-1", "account": "123456789012"}
    assert layers.arn_of(layer(FILES), **place) == ARN
    mirrored = "arn:aws:lambda:us-east-1:017000801446:layer:deps:1"
    assert layers.arn_of(layer(FILES, arn=mirrored), **place) == mirrored
    assert parse_layer(ARN) == LayerTarget(
        name="deps", version=1, region="us-east-1", account="123456789012"
    )
    assert parse_layer("deps") == LayerTarget(name="deps")
    assert parse_layer(ARN.removesuffix(":1")) == LayerTarget(
        name="deps", region="us-east-1", account="123456789012"
    )
    for text in ("", "a b", "arn:aws:lambda:us-east-1:1:layer:deps:1", f"{ARN}:2", f"{ARN}x"):
        assert parse_layer(text) == Malformed(text=text)


def test_names_are_short_and_differ() -> None:
    assert layer_version_name("deps", 3) == "deps-3"
    long = layer_version_name("My_Layer" * 17, 999_999)
    assert len(long) <= 63
    assert long != layer_version_name("My-Layer" * 17, 999_999)


class TestOfAFunction:
    def test_resolved_in_order(self) -> None:
        status = {"layers": [{**RESOLVED, "arn": OTHER}, RESOLVED]}
        found = layers.resolved_layers(function(layers=[ARN, OTHER], status=status))
        assert not isinstance(found, Unresolved)
        assert [each.arn for each in found] == [ARN, OTHER]
        assert layers.resolved_layers(function()) == []

    def test_not_resolved(self) -> None:
        found = layers.resolved_layers(function(layers=[ARN]))
        assert isinstance(found, Unresolved)
        assert (found.reason, found.final) == ("LayersPending", False)

    @pytest.mark.parametrize(("generation", "final"), [(1, True), (2, False)])
    def test_refused(self, generation: int, final: bool) -> None:
        told = condition("LayersResolved", "False", "LayerMissing", "It does not exist.")
        item = function(layers=[ARN], status={"conditions": [told]}, generation=generation)
        found = layers.resolved_layers(item)
        assert isinstance(found, Unresolved)
        assert found.final is final

    def test_the_refusal_of_layers_that_were_taken_out_does_not_count(self) -> None:
        told = condition("LayersResolved", "False", "LayerMissing", "It does not exist.")
        assert layers.resolved_layers(function(status={"conditions": [told]})) == []

    def test_a_version_freezes_them_and_has_the_same_digest(self) -> None:
        item = function(layers=[ARN], status={"layers": [RESOLVED]})
        made = publish(item, [])
        assert isinstance(made, NewVersion)
        assert made.manifest["spec"]["snapshot"]["layers"] == [RESOLVED]
        version = Version.read({"metadata": {"name": "area-v1"}, "spec": made.manifest["spec"]})
        assert snapshot_digest(version.spec.snapshot) == function_digest(item)
        assert function_digest(item) != function_digest(function())
        assert isinstance(publish(function(layers=[ARN]), []), Unresolved)
