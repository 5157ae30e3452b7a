"""Digests: what makes new instances, what does not, and that stored objects keep theirs."""

from dataclasses import replace
from typing import Any

import pytest

from klambda_core import digest
from klambda_core.crd import Version
from klambda_core.snapshot import NewVersion, publish
from tests.unit.core.objects import function, resolved

BASE = digest.function_digest(function())
PLATFORM = digest.Platform(image="i@sha256:1", region="us-east-1", account="123456789012")


def test_the_digest_of_a_stored_object_never_changes() -> None:
    # Changing this value restarts every instance of every installation at its next upgrade.
    assert BASE == "0716616b85e88293346e4d8a5e4a17598bd846974883f8f83d9f1b873ff41e8a"


@pytest.mark.parametrize(
    "spec",
    [
        {"runtime": "nodejs22.x"},
        {"handler": "other.handler"},
        {"timeout": 4},
        {"memorySize": 256},
        {"description": "text"},
        {"role": "arn:aws:iam::123456789012:role/r"},
        {"architectures": ["arm64"]},
        {"environment": {"variables": {"KEY": "v"}}},
        {"environment": {"valueFrom": {"KEY": {"secretKeyRef": {"name": "s", "key": "k"}}}}},
        {"ephemeralStorage": {"size": 1024}},
        {"tracingConfig": {"mode": "Active"}},
        {"loggingConfig": {"logFormat": "JSON"}},
        {"deadLetterConfig": {"targetArn": "arn:aws:sqs:us-east-1:123456789012:q"}},
        {"layers": ["arn:aws:lambda:us-east-1:123456789012:layer:l:1"]},
        {"pod": {"nodeSelector": {"disk": "ssd"}}},
        {"code": {"blob": {"sha256": "b" * 64, "size": 12}}},
    ],
)
def test_configuration_and_code_change_it(spec: dict[str, Any]) -> None:
    assert digest.function_digest(function(**spec)) != BASE


@pytest.mark.parametrize(
    "spec",
    [
        {"tags": {"k": "v"}},
        {"policy": [{"sid": "s", "action": "lambda:InvokeFunction", "principal": "*"}]},
        {"url": {"authType": "NONE"}},
        {"reservedConcurrentExecutions": 3},
        {"eventInvokeConfig": {"maximumRetryAttempts": 0}},
        {"scaling": {"idleSeconds": 5}},
        {"publish": {"id": "1"}},
        {"autoPublish": True},
        {"recursiveLoop": "Allow"},
    ],
)
def test_what_stands_beside_a_function_does_not(spec: dict[str, Any]) -> None:
    assert digest.function_digest(function(**spec)) == BASE


@pytest.mark.parametrize(
    "spec",
    [
        {"timeout": 3},
        {"memorySize": 128},
        {"ephemeralStorage": {"size": 512}},
        {"environment": {}},
        {"environment": {"variables": {}}},
        {"vpcConfig": {}},
        {"vpcConfig": {"subnetIds": []}},
        {"layers": []},
        {"pod": {}},
        {"loggingConfig": {"logFormat": "Text"}},
        {"code": {"blob": {"sha256": "a" * 64, "size": 13}}},
    ],
)
def test_defaults_and_empty_members_are_the_same_as_nothing(spec: dict[str, Any]) -> None:
    assert digest.function_digest(function(**spec)) == BASE


def test_unresolved_code_counts_by_its_source() -> None:
    one = function(code={"files": {"a.py": "1"}})
    other = function(code={"files": {"a.py": "2"}})
    assert digest.function_digest(one) != digest.function_digest(other)


def test_a_version_has_the_digest_of_its_function() -> None:
    source = resolved({"files": {"a.py": "1"}}, timeout=9, pod={"cpu": "2"})
    made = publish(source, [])
    assert isinstance(made, NewVersion)
    version = Version.read(made.manifest)
    assert digest.snapshot_digest(version.spec.snapshot) == digest.function_digest(source)


def test_layers_count_with_their_content() -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:layer:l:1"
    layer = {"arn": arn, "sha256": "d" * 64, "size": 1}
    unresolved = function(layers=[arn])
    known = function(layers=[arn], status={"layers": [layer]})
    assert digest.function_digest(unresolved) != digest.function_digest(known)


def test_the_platform_is_part_of_the_revision_only() -> None:
    found = {
        digest.revision(BASE, PLATFORM),
        digest.revision("other", PLATFORM),
        digest.revision(BASE, replace(PLATFORM, image="i@sha256:2")),
        digest.revision(BASE, replace(PLATFORM, account="2" * 12)),
        digest.revision(BASE, replace(PLATFORM, region="eu-west-1")),
        digest.revision(BASE, replace(PLATFORM, contract=digest.CONTRACT + 1)),
    }
    assert len(found) == 6
