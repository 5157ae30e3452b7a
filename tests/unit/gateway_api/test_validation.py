"""Framework validation: AWS's sentences from the model. Source of the cases: aws-contract a.2."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_core.errors import LambdaError
from klambda_gateway.api.model import MODEL
from klambda_gateway.api.reading import Parts, read
from klambda_gateway.api.validation import check, java_text, problems_of
from tests.unit.gateway_api.fakes import ROLE

AT = "failed to satisfy constraint: "
CREATE = {"FunctionName": "f", "Role": ROLE, "Code": {}}


def problems(shape: str, **members: Any) -> list[str]:
    return list(problems_of(shape, members))


@pytest.mark.parametrize(
    ("members", "wanted"),
    [
        ({"Timeout": 901}, "Value '901' at 'timeout' " + AT
         + "Member must have value less than or equal to 900"),
        ({"Timeout": 0}, "Value '0' at 'timeout' " + AT
         + "Member must have value greater than or equal to 1"),
        ({"MemorySize": 32769}, "Value '32769' at 'memorySize' " + AT
         + "Member must have value less than or equal to 32768"),
        ({"Role": "x"}, "Value 'x' at 'role' " + AT
         + "Member must satisfy regular expression pattern: "
         + r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"),
        ({"Description": "d" * 257}, f"Value '{'d' * 257}' at 'description' " + AT
         + "Member must have length less than or equal to 256"),
        ({"Architectures": ["riscv"]}, "Value '[riscv]' at 'architectures' " + AT
         + "Member must satisfy constraint: [Member must satisfy enum value set: "
         + "[x86_64, arm64], Member must not be null]"),
        ({"Architectures": []}, "Value '[]' at 'architectures' " + AT
         + "Member must have length greater than or equal to 1"),
        ({"SnapStart": {"ApplyOn": "Always"}}, "Value 'Always' at 'snapStart.applyOn' " + AT
         + "Member must satisfy enum value set: [PublishedVersions, None]"),
        ({"EphemeralStorage": {}}, "Value null at 'ephemeralStorage.size' " + AT
         + "Member must not be null"),
        ({"VpcConfig": {"SubnetIds": [str(n) for n in range(17)]}},
         f"Value '[{', '.join(str(n) for n in range(17))}]' at 'vpcConfig.subnetIds' " + AT
         + "Member must have length less than or equal to 16"),
        # recorded in trek10inc/serverless-secrets#39 and aws-amplify/amplify-backend#2290
        ({"Environment": {"Variables": {"a": "secret"}}},
         "Value at 'environment.variables' " + AT
         + "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: "
         + "[a-zA-Z]([a-zA-Z0-9_])+]"),
        ({"Environment": {"Variables": {"AA": None}}},
         "Value at 'environment.variables' " + AT
         + "Map value must satisfy constraint: [Member must not be null]"),
        ({"FileSystemConfigs": [{"Arn": "a" * 201, "LocalMountPath": "/mnt/a"}]},
         "at 'fileSystemConfigs.1.member.arn' " + AT),
    ],
)  # fmt: skip
def test_sentences(members: dict[str, Any], wanted: str) -> None:
    assert any(wanted in found for found in problems("CreateFunctionRequest", **CREATE | members))


def test_all_problems_are_told_together() -> None:
    with pytest.raises(LambdaError) as caught:
        check("CreateFunctionRequest", {"FunctionName": "f", "Timeout": 0})
    text = caught.value.message or ""
    assert text.startswith("3 validation errors detected: Value null at 'role' failed")
    assert text.count("; ") == 2
    assert caught.value.members() == {"message": text}


def test_weights() -> None:
    found = problems(
        "CreateAliasRequest", FunctionName="f", Name="a", FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"x": 2.0}},
    )  # fmt: skip
    where = "Value '{x=2.0}' at 'routingConfig.additionalVersionWeights' " + AT
    assert found == [
        where + "Map keys must satisfy constraint: [Member must have length less than or equal to "
        "1024, Member must have length greater than or equal to 1, Member must satisfy regular "
        "expression pattern: [0-9]+, Member must not be null]",
        where + "Map value must satisfy constraint: [Member must have value less than or equal to "
        "1.0, Member must have value greater than or equal to 0.0, Member must not be null]",
    ]


def test_names_of_the_get_family_may_have_170_characters() -> None:
    assert problems("GetFunctionRequest", FunctionName="f" * 170) == []
    assert "less than or equal to 170" in problems("GetFunctionRequest", FunctionName="f" * 171)[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), ({"a": [1, 2.5]}, "{a=[1, 2.5]}"), ("x", "x")],
)
def test_java_text(value: Any, text: str) -> None:
    assert java_text(value) == text


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[]", b'"x"', b"\xff", b'{"Timeout": "3"}', b'{"Timeout": 1.5}',
        b'{"Timeout": true}',
        b'{"Timeout": {}}', b'{"Layers": "x"}', b'{"Environment": []}', b'{"Role": 1}',
        b'{"Role": "\\ud800"}', b'{"Timeout": 99999999999}', b'{"Publish": "yes"}',
        b'{"Code": {"ZipFile": "no base64!"}}', b'{"Code": {"ZipFile": 1}}',
        b"[" * 100000, b'{"Timeout": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_not_the_protocol_is_a_serialization_error(body: bytes) -> None:
    parts = Parts(uri={}, query=b"", headers={}, body=body)
    with pytest.raises(LambdaError) as caught:
        read(MODEL.operations["CreateFunction"], parts)
    assert (caught.value.status, caught.value.error.name) == (400, "SerializationException")


def test_null_is_absent_and_unknown_members_are_ignored() -> None:
    parts = Parts(uri={}, query=b"", headers={}, body=b'{"Timeout": null, "New": 1, "Role": "r"}')
    assert read(MODEL.operations["CreateFunction"], parts) == {"Role": "r"}


def test_patterns_stay_fast_on_hostile_values() -> None:
    for shape in MODEL.shapes.values():
        if shape.regex is not None:
            for text in ("a" * 5000, "arn:aws:" * 600, "a-" * 2500 + "!", "/" * 5000):
                shape.regex.fullmatch(text)
