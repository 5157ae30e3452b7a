"""Code signing configs by boto3. Sources: aws-contract h, botocore's model, aws-cdk#29474."""

from __future__ import annotations

import re
from typing import Any

import pytest

from klambda_core.kinds import CODE_SIGNING_CONFIG
from klambda_core.names import signing_config_id
from tests.unit.gateway_api.fakes import ACCOUNT, REGION, ROLE, World, make_zip
from tests.unit.gateway_api.test_operations_api import refusal

PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/abcdefghij"
PREFIX = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:"
PUBLISHERS = {"SigningProfileVersionArns": [PROFILE]}
NOBODY = PREFIX + "csc-" + "0" * 17


@pytest.fixture
def config(client: Any) -> str:
    """The ARN of a config that warns."""
    made = client.create_code_signing_config(AllowedPublishers=PUBLISHERS)
    arn: str = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    return arn


def test_its_life(world: World, client: Any) -> None:
    answer = client.create_code_signing_config(Description="d", AllowedPublishers=PUBLISHERS)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
    made = answer["CodeSigningConfig"]
    identity, arn = made.pop("CodeSigningConfigId"), made.pop("CodeSigningConfigArn")
    assert re.fullmatch("csc-[a-z0-9]{17}", identity)
    assert arn == PREFIX + identity
    assert made.pop("LastModified").endswith("+0000")
    assert made == {
        "Description": "d",
        "AllowedPublishers": PUBLISHERS,
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
    }
    name = {"CodeSigningConfigArn": arn}
    changed = client.update_code_signing_config(
        **name, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"}
    )["CodeSigningConfig"]
    assert changed["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}
    assert changed["Description"] == "d"
    assert client.get_code_signing_config(**name)["CodeSigningConfig"] == changed
    assert client.list_code_signing_configs()["CodeSigningConfigs"] == [changed]
    gone = client.delete_code_signing_config(**name)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert world.kube.all(CODE_SIGNING_CONFIG) == []


@pytest.mark.parametrize(
    "call",
    ["get_code_signing_config", "update_code_signing_config", "delete_code_signing_config",
     "list_functions_by_code_signing_config"],
)  # fmt: skip
def test_a_missing_config(world: World, client: Any, call: str) -> None:
    assert refusal(world, getattr(client, call), CodeSigningConfigArn=NOBODY) == (
        404, "ResourceNotFoundException",
        f"The Lambda code signing configuration {NOBODY} can not be found.",
    )  # fmt: skip
    assert world.error()["Type"] == "User"


def test_functions_that_use_it(world: World, client: Any, function: str, config: str) -> None:
    name, given = {"FunctionName": "area"}, {"CodeSigningConfigArn": config}
    answer = client.put_function_code_signing_config(**name, **given)
    assert (answer["CodeSigningConfigArn"], answer["FunctionName"]) == (config, "area")
    found = client.get_function_code_signing_config(**name)
    assert (found["CodeSigningConfigArn"], found["FunctionName"]) == (config, "area")
    users = client.list_functions_by_code_signing_config(**given)["FunctionArns"]
    assert users == [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"]
    assert refusal(world, client.delete_code_signing_config, **given)[:2] == (
        409, "ResourceConflictException",
    )  # fmt: skip
    for _ in range(2):
        client.delete_function_code_signing_config(**name)
    found = client.get_function_code_signing_config(**name)
    assert "CodeSigningConfigArn" not in found
    client.delete_code_signing_config(**given)


NOT_FOUND = (
    404,
    "CodeSigningConfigNotFoundException",
    (
        "The code signing configuration cannot be found. Check that the provided configuration is "
        f"not deleted: {NOBODY}."
    ),
)


def test_attaching_nothing(world: World, client: Any, function: str, config: str) -> None:
    put = client.put_function_code_signing_config
    assert refusal(world, put, FunctionName="area", CodeSigningConfigArn=NOBODY) == NOT_FOUND
    made = refusal(
        world, client.create_function, FunctionName="other", Runtime="python3.13", Handler="a.b",
        Role=ROLE, Code={"ZipFile": make_zip()}, CodeSigningConfigArn=NOBODY,
    )  # fmt: skip
    assert made == NOT_FOUND
    missing = refusal(world, put, FunctionName="nope", CodeSigningConfigArn=config)
    assert missing[2] == f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:nope"
    for call in (
        client.get_function_code_signing_config, client.delete_function_code_signing_config,
    ):  # fmt: skip
        assert refusal(world, call, FunctionName="nope")[1] == "ResourceNotFoundException"


def test_enforcing_refuses_what_cannot_be_verified(
    world: World, client: Any, function: str, config: str
) -> None:
    client.put_function_code_signing_config(FunctionName="area", CodeSigningConfigArn=config)
    client.update_function_code(FunctionName="area", ZipFile=make_zip("x = 1\n"))
    world.kube.settle()
    client.update_code_signing_config(
        CodeSigningConfigArn=config,
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    found = refusal(
        world, client.update_function_code, FunctionName="area", ZipFile=make_zip("x = 2\n")
    )
    assert found[:2] == (400, "CodeVerificationFailedException")
    assert found[2].startswith("Lambda cannot deploy the function.")
    assert world.error()["Type"] == "User"


def test_tags(client: Any, config: str) -> None:
    client.tag_resource(Resource=config, Tags={"a": "1"})
    assert client.list_tags(Resource=config)["Tags"] == {"a": "1"}


def test_ids_of_objects_made_by_kubectl() -> None:
    assert signing_config_id("csc-0123456789abcdefg") == "csc-0123456789abcdefg"
    derived = signing_config_id("trusted")
    assert re.fullmatch("csc-[0-9a-f]{17}", derived)
    assert signing_config_id("trusted") == derived


def test_a_config_of_kubectl_is_found_by_its_derived_id(world: World, client: Any) -> None:
    first = client.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"]
    objects = world.kube.objects
    key = next(key for key in objects if key[2] == first["CodeSigningConfigId"])
    obj = objects.pop(key)
    obj["metadata"]["name"] = "trusted"
    objects[(key[0], key[1], "trusted")] = obj
    arn = PREFIX + signing_config_id("trusted")
    found = client.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"]
    assert found["CodeSigningConfigArn"] == arn
