"""The models: strict, camelCase, absent instead of null, unknown members ignored."""

from typing import Any

import pytest
from pydantic import ValidationError

from klambda_core.crd import MODELS, Alias, Function
from klambda_core.kinds import (
    ALIAS,
    CODE_SIGNING_CONFIG,
    DEPLOYMENT,
    EVENT_SOURCE_MAPPING,
    FUNCTION,
    LAYER_VERSION,
    POD,
    VERSION,
)
from tests.unit.core.objects import function, function_body


def test_defaults_are_lambdas() -> None:
    spec = function().spec
    assert (spec.timeout, spec.memory_size, spec.package_type) == (3, 128, "Zip")
    assert spec.architectures == ["x86_64"]
    assert spec.ephemeral_storage.size == 512
    assert spec.tracing_config.mode == "PassThrough"
    assert spec.snap_start.apply_on == "None"
    assert spec.logging_config.log_format == "Text"
    assert spec.description == ""


def test_what_is_absent_stays_absent() -> None:
    written = function().to_json()["spec"]
    assert None not in written.values()
    assert not written.keys() & {"role", "environment", "layers", "vpcConfig", "tags", "url"}


def test_an_empty_environment_is_not_an_absent_one() -> None:
    assert function(environment={"variables": {}}).to_json()["spec"]["environment"] == {
        "variables": {}
    }


def test_unknown_members_of_a_newer_schema_are_ignored() -> None:
    assert Function.read(function_body(fromTheFuture=1)).spec.timeout == 3


@pytest.mark.parametrize(
    "spec",
    [
        {"timeout": "3"},
        {"timeout": 901},
        {"memorySize": 127},
        {"architectures": []},
        {"architectures": ["arm64", "x86_64"]},
        {"handler": "a b"},
        {"functionName": "a b"},
        {"packageType": "Tar"},
        {"layers": ["not-an-arn"]},
    ],
)
def test_what_the_schema_forbids_the_model_forbids(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Function.read(function_body(**spec))


def test_the_aws_name_is_the_objects_unless_given() -> None:
    assert function("area").aws_name == "area"
    assert function("area", functionName="myArea").aws_name == "myArea"


def test_deletion_and_owner() -> None:
    body = function_body()
    body["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1"},
        {"apiVersion": "v1", "kind": "B", "name": "b", "uid": "2", "controller": True},
    ]
    found = Function.read(body)
    assert found.deleting
    assert found.controller_uid() == "2"
    assert not function().deleting
    assert function().controller_uid() is None


def test_weights_may_be_whole_numbers() -> None:
    alias = Alias.read(
        {
            "metadata": {"name": "a"},
            "spec": {
                "functionRef": "f",
                "name": "live",
                "functionVersion": "1",
                "routingConfig": {"additionalVersionWeights": {"2": 1}},
            },
        }
    )
    assert alias.spec.routing_config is not None
    assert alias.spec.routing_config.additional_version_weights == {"2": 1.0}


def test_paths_of_kinds() -> None:
    assert FUNCTION.path() == "/apis/klambda.io/v1alpha1/functions"
    assert VERSION.path("ns") == "/apis/klambda.io/v1alpha1/namespaces/ns/versions"
    assert ALIAS.path("ns", "a").endswith("/namespaces/ns/aliases/a")
    assert POD.path("ns", "p") == "/api/v1/namespaces/ns/pods/p"
    assert (POD.api_version, DEPLOYMENT.api_version) == ("v1", "apps/v1")


def test_every_model_has_its_definition() -> None:
    assert [model.DEFINITION.kind for model in MODELS] == [
        FUNCTION,
        VERSION,
        ALIAS,
        LAYER_VERSION,
        EVENT_SOURCE_MAPPING,
        CODE_SIGNING_CONFIG,
    ]
