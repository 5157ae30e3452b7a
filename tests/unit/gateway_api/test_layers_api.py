"""Layers by boto3: versions, lists, policies, and functions that use them.

Sources: aws-contract a.3, a.4 ("Layers at create"), h; botocore's model for shapes and statuses.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from klambda_core import limits
from klambda_core.kinds import FUNCTION, LAYER_VERSION
from tests.unit.gateway_api.fakes import ACCOUNT, OTHER, REGION, ROLE, World, make_zip
from tests.unit.gateway_api.test_operations_api import refusal

LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:deps"
FOREIGN = f"arn:aws:lambda:{REGION}:{OTHER}:layer:shared:1"


def publish(client: Any, name: str = "deps", text: str = "x = 1\n", **more: Any) -> dict[str, Any]:
    content = {"ZipFile": make_zip(text)}
    answer: dict[str, Any] = client.publish_layer_version(LayerName=name, Content=content, **more)
    return answer


def create(client: Any, *arns: str, **more: Any) -> dict[str, Any]:
    members = {
        "FunctionName": "area", "Runtime": "python3.13", "Handler": "lambda_function.handler",
        "Role": ROLE, "Code": {"ZipFile": make_zip()}, "Layers": list(arns),
    }  # fmt: skip
    answer: dict[str, Any] = client.create_function(**members | more)
    return answer


def foreign(world: World, policy: list[dict[str, str]] | None = None) -> None:
    """A layer version of another account, with a policy."""
    data = make_zip("shared = 1\n")
    ref = asyncio.run(world.blobs.put("elsewhere", data))
    spec: dict[str, Any] = {
        "layerName": "shared",
        "version": 1,
        "content": {"blob": {"sha256": ref.sha256, "size": ref.size, "unzipped": 12}},
    }
    if policy is not None:
        spec["policy"] = policy
    manifest = {"metadata": {"name": "shared-1"}, "spec": spec}
    asyncio.run(world.kube.create(LAYER_VERSION, "elsewhere", manifest, field_manager="t"))


# --- versions -------------------------------------------------------------------------------------


def test_a_version_as_it_is_published_and_read(world: World, client: Any) -> None:
    data = make_zip("x = 1\n")
    made = publish(
        client,
        Description="d",
        CompatibleRuntimes=["python3.13"],
        CompatibleArchitectures=["x86_64"],
        LicenseInfo="MIT",
    )
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    content = made.pop("Content")
    assert content["CodeSize"] == len(data)
    assert content["CodeSha256"] == base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}\+0000", made.pop("CreatedDate"))
    assert made == {
        "LayerArn": LAYER,
        "LayerVersionArn": f"{LAYER}:1",
        "Description": "d",
        "Version": 1,
        "CompatibleRuntimes": ["python3.13"],
        "LicenseInfo": "MIT",
        "CompatibleArchitectures": ["x86_64"],
    }
    location = urlsplit(content["Location"])
    query = dict(part.split("=") for part in location.query.split("&"))
    assert world.services.links.open("GET", location.path, query) is not None
    for found in (
        client.get_layer_version(LayerName="deps", VersionNumber=1),
        client.get_layer_version(LayerName=LAYER, VersionNumber=1),
        client.get_layer_version_by_arn(Arn=f"{LAYER}:1"),
    ):
        assert found["Content"] == content
        assert {key: found[key] for key in made} == made


def test_what_is_not_given_is_absent(client: Any) -> None:
    made = publish(client)
    assert made["Description"] == ""
    assert not made.keys() & {"CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"}


def test_numbers_are_never_given_out_twice(client: Any) -> None:
    """Also not that of the highest, deleted version."""
    for number in (1, 2):
        assert publish(client)["Version"] == number
    client.delete_layer_version(LayerName="deps", VersionNumber=2)
    assert publish(client)["Version"] == 3
    assert publish(client, "other")["Version"] == 1


def test_a_number_that_somebody_else_took_is_passed_over(world: World, client: Any) -> None:
    stranger = {
        "metadata": {"name": "deps-1"},
        "spec": {"layerName": "unrelated", "version": 9, "content": {}},
    }
    asyncio.run(world.kube.create(LAYER_VERSION, "default", stranger, field_manager="t"))
    assert publish(client)["Version"] == 2


def test_delete_is_idempotent_and_hides(world: World, client: Any) -> None:
    publish(client)
    for number in (1, 1, 7):
        answer = client.delete_layer_version(LayerName="deps", VersionNumber=number)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.delete_layer_version(LayerName="nope", VersionNumber=1)
    gone = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
    at = {"LayerName": "deps", "VersionNumber": 1}
    assert refusal(world, client.get_layer_version, **at) == gone
    assert refusal(world, client.get_layer_version_by_arn, Arn=f"{LAYER}:1") == gone
    assert refusal(world, client.get_layer_version_policy, **at) == gone
    assert client.list_layer_versions(LayerName="deps")["LayerVersions"] == []
    assert client.list_layers()["Layers"] == []
    assert world.kube.all(LAYER_VERSION)[0]["spec"]["deleted"] is True


@pytest.mark.parametrize(
    ("operation", "members", "status", "code", "text"),
    [
        ("get_layer_version", {"VersionNumber": 0}, 400, "InvalidParameterValueException",
         "Layer Version Cannot be less than 1"),
        ("delete_layer_version", {"VersionNumber": -1}, 400, "InvalidParameterValueException",
         "Layer Version Cannot be less than 1"),
        ("get_layer_version", {"VersionNumber": 3}, 404, "ResourceNotFoundException",
         "The resource you requested does not exist."),
        ("get_layer_version", {"LayerName": "a b", "VersionNumber": 3}, 400, "ValidationException",
         ("1 validation error detected: Value 'a b' at 'layerName' failed to satisfy constraint: "
         "Member must satisfy regular expression pattern: ")),
        ("get_layer_version_by_arn", {"LayerName": None, "Arn": LAYER}, 400, "ValidationException",
         f"1 validation error detected: Value '{LAYER}' at 'arn' failed to satisfy constraint: "),
        ("publish_layer_version", {"Content": {}}, 400, "InvalidParameterValueException",
         "Please provide a source"),
        ("publish_layer_version", {"Content": {"ZipFile": b"no"}}, 400,
         "InvalidParameterValueException", "Could not unzip uploaded file."),
        ("publish_layer_version", {"Content": {"ZipFile": b""}, "CompatibleRuntimes": ["cobol"]},
         400, "ValidationException", ("1 validation error detected: Value '[cobol]' at "
         "'compatibleRuntimes' failed to satisfy constraint: Member must satisfy constraint: "
         "[Member must satisfy enum value set: [nodejs, ")),
        ("list_layer_versions", {"CompatibleRuntime": "cobol"}, 400, "ValidationException",
         ("1 validation error detected: Value 'cobol' at 'compatibleRuntime' failed to satisfy "
         "constraint: Member must satisfy enum value set: [nodejs, ")),
        ("list_layer_versions", {"MaxItems": 51}, 400, "ValidationException",
         ("1 validation error detected: Value '51' at 'maxItems' failed to satisfy constraint: "
         "Member must have value less than or equal to 50")),
        ("publish_layer_version", {"LayerName": LAYER.replace(ACCOUNT, OTHER),
         "Content": {"ZipFile": b""}}, 403, "AccessDeniedException", ""),
        ("get_layer_version", {"LayerName": LAYER.replace(REGION, "eu-west-1"),
         "VersionNumber": 1}, 404, "ResourceNotFoundException", "The resource you requested"),
    ],
)  # fmt: skip
def test_refusals(
    world: World,
    client: Any,
    operation: str,
    members: dict[str, Any],
    status: int,
    code: str,
    text: str,
) -> None:
    arguments = {k: v for k, v in ({"LayerName": "deps"} | members).items() if v is not None}
    found = refusal(world, getattr(client, operation), **arguments)
    assert found[:2] == (status, code)
    assert (found[2] or "").startswith(text)


# --- lists ----------------------------------------------------------------------------------------


def test_lists_are_newest_first_and_filtered(client: Any) -> None:
    publish(client, CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["x86_64"])
    publish(client, CompatibleRuntimes=["python3.13"], CompatibleArchitectures=["arm64"])
    publish(client)
    publish(client, "aaa", CompatibleRuntimes=["python3.12"])

    def versions(**members: Any) -> list[int]:
        answer = client.list_layer_versions(LayerName="deps", **members)
        return [each["Version"] for each in answer["LayerVersions"]]

    def layers(**members: Any) -> list[tuple[str, int]]:
        answer = client.list_layers(**members)
        return [
            (each["LayerName"], each["LatestMatchingVersion"]["Version"])
            for each in answer["Layers"]
        ]

    assert versions() == [3, 2, 1]
    assert versions(CompatibleRuntime="python3.12") == [1]
    assert versions(CompatibleArchitecture="arm64") == [2]
    assert versions(CompatibleRuntime="python3.12", CompatibleArchitecture="arm64") == []
    assert layers() == [("aaa", 1), ("deps", 3)]
    assert layers(CompatibleRuntime="python3.12") == [("aaa", 1), ("deps", 1)]
    assert layers(CompatibleArchitecture="arm64") == [("deps", 2)]
    pages = client.get_paginator("list_layer_versions").paginate(
        LayerName="deps", PaginationConfig={"PageSize": 2}
    )
    assert [[v["Version"] for v in page["LayerVersions"]] for page in pages] == [[3, 2], [1]]
    pages = client.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 1})
    assert [[v["LayerName"] for v in page["Layers"]] for page in pages] == [["aaa"], ["deps"]]
    listed = client.list_layers()["Layers"][1]
    assert listed["LayerArn"] == LAYER
    assert listed["LatestMatchingVersion"]["LayerVersionArn"] == f"{LAYER}:3"
    assert "Content" not in listed["LatestMatchingVersion"]


# --- policies -------------------------------------------------------------------------------------


def test_policies(world: World, client: Any) -> None:
    publish(client)
    at = {"LayerName": "deps", "VersionNumber": 1}
    none = (404, "ResourceNotFoundException", "No policy is associated with the given resource.")
    assert refusal(world, client.get_layer_version_policy, **at) == none
    assert refusal(world, client.remove_layer_version_permission, **at, StatementId="s") == none
    grant = at | {"Action": "lambda:GetLayerVersion"}
    made = client.add_layer_version_permission(**grant, StatementId="s", Principal=OTHER)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    statement = {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": "lambda:GetLayerVersion",
        "Resource": f"{LAYER}:1",
    }
    assert json.loads(made["Statement"]) == statement
    found = client.get_layer_version_policy(**at)
    assert found["RevisionId"] == made["RevisionId"]
    document = {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    assert json.loads(found["Policy"]) == document
    again = grant | {"StatementId": "s", "Principal": "*"}
    assert refusal(world, client.add_layer_version_permission, **again)[:2] == (
        409, "ResourceConflictException",
    )  # fmt: skip
    stale = again | {"StatementId": "t", "RevisionId": "0"}
    assert refusal(world, client.add_layer_version_permission, **stale) == (
        412,
        "PreconditionFailedException",
        (
            "The Revision Id provided does not match the latest Revision Id. Call the "
            "GetLayerPolicy API to retrieve the latest Revision Id"
        ),
    )
    everyone = client.add_layer_version_permission(
        **grant, StatementId="t", Principal="*", OrganizationId="o-0123456789",
        RevisionId=made["RevisionId"],
    )  # fmt: skip
    assert json.loads(everyone["Statement"])["Principal"] == "*"
    assert json.loads(everyone["Statement"])["Condition"] == {
        "StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}
    }
    assert refusal(world, client.remove_layer_version_permission, **at, StatementId="u") == (
        404, "ResourceNotFoundException", "Statement u is not found in resource policy.",
    )  # fmt: skip
    for sid in ("s", "t"):
        answer = client.remove_layer_version_permission(**at, StatementId=sid)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refusal(world, client.get_layer_version_policy, **at) == none


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"Action": "lambda:InvokeFunction"}, "ValidationException"),
        ({"Principal": "s3.amazonaws.com"}, "ValidationException"),
        ({"OrganizationId": "o-0123456789"}, "InvalidParameterValueException"),
        ({"VersionNumber": 2}, "ResourceNotFoundException"),
        ({"VersionNumber": 0}, "InvalidParameterValueException"),
    ],
)
def test_permissions_that_are_none(
    world: World, client: Any, members: dict[str, Any], code: str
) -> None:
    publish(client)
    arguments = {
        "LayerName": "deps", "VersionNumber": 1, "StatementId": "s", "Principal": OTHER,
        "Action": "lambda:GetLayerVersion",
    }  # fmt: skip
    found = refusal(world, client.add_layer_version_permission, **arguments | members)
    assert found[1] == code


# --- functions ------------------------------------------------------------------------------------


def test_a_function_gets_digests_at_once_and_keeps_them(world: World, client: Any) -> None:
    sizes = [publish(client)["Content"]["CodeSize"], publish(client, "more", "y = 22\n" * 9)]
    arns = [f"{LAYER}:1", LAYER.replace("deps", "more") + ":1"]
    shown = [
        {"Arn": arns[0], "CodeSize": sizes[0]},
        {"Arn": arns[1], "CodeSize": sizes[1]["Content"]["CodeSize"]},
    ]
    assert create(client, *arns)["Layers"] == shown
    status = world.kube.all(FUNCTION)[0]["status"]
    assert [layer["arn"] for layer in status["layers"]] == arns
    assert all(layer["unzipped"] > 0 for layer in status["layers"])
    world.kube.settle()
    for name in ("deps", "more"):
        client.delete_layer_version(LayerName=name, VersionNumber=1)
    changed = client.update_function_configuration(FunctionName="area", Layers=arns[::-1])
    assert changed["Layers"] == shown[::-1]
    world.kube.settle()
    version = client.publish_version(FunctionName="area")
    assert version["Layers"] == shown[::-1]
    text = f"Layer version {arns[0]} does not exist."
    client.update_function_configuration(FunctionName="area", Layers=[])
    world.kube.settle()
    assert "Layers" not in client.get_function_configuration(FunctionName="area")
    found = refusal(
        world, client.update_function_configuration, FunctionName="area", Layers=arns[:1]
    )
    assert found == (400, "InvalidParameterValueException", text)
    named = client.get_function_configuration(FunctionName="area", Qualifier="1")
    assert named["Layers"] == shown[::-1]


def test_layers_count_as_code_of_the_account(client: Any) -> None:
    """API reference, AccountUsage: "deployment packages and layer archives"."""

    def usage() -> int:
        size: int = client.get_account_settings()["AccountUsage"]["TotalCodeSize"]
        return size

    size = publish(client)["Content"]["CodeSize"]
    assert usage() == size
    publish(client)
    assert usage() == 2 * size
    client.delete_layer_version(LayerName="deps", VersionNumber=2)
    assert usage() == size


def test_create_and_publish_at_once(client: Any) -> None:
    publish(client)
    made = create(client, f"{LAYER}:1", Publish=True)
    assert (made["Version"], len(made["Layers"])) == ("1", 1)


def test_sizes_are_judged_together(
    world: World, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(client, text="x" * 600)
    create(client)
    world.kube.settle()
    monkeypatch.setattr("klambda_core.layers.UNZIPPED_MAX", 620)
    sentence = "Function code combined with layers exceeds the maximum allowed size of 620 bytes."
    for call, members in (
        (client.update_function_configuration, {"Layers": [f"{LAYER}:1"]}),
        (
            client.create_function,
            {
                "FunctionName": "b", "Runtime": "python3.13", "Handler": "a.b", "Role": ROLE,
                "Code": {"ZipFile": make_zip()}, "Layers": [f"{LAYER}:1"],
            },
        ),
    ):  # fmt: skip
        found = refusal(world, call, **{"FunctionName": "area"} | members)
        assert found[:2] == (400, "InvalidParameterValueException")
        assert found[2].startswith(sentence)
    monkeypatch.setattr("klambda_core.layers.UNZIPPED_MAX", limits.UNZIPPED_MAX)
    client.update_function_configuration(FunctionName="area", Layers=[f"{LAYER}:1"])
    world.kube.settle()
    monkeypatch.setattr("klambda_core.layers.UNZIPPED_MAX", 700)
    found = refusal(
        world, client.update_function_code, FunctionName="area", ZipFile=make_zip("y" * 200)
    )
    assert found[2].endswith("The actual size is 800 bytes.")


@pytest.mark.parametrize(
    "policy",
    [
        [{"sid": "s", "principal": ACCOUNT}],
        [{"sid": "s", "principal": "*"}],
        [{"sid": "s", "principal": f"arn:aws:iam::{ACCOUNT}:root"}],
    ],
)
def test_a_layer_of_another_account_with_its_leave(
    world: World, client: Any, policy: list[dict[str, str]]
) -> None:
    """Its content comes along into the function's own namespace."""
    foreign(world, policy)
    shown = create(client, FOREIGN)["Layers"]
    assert shown[0]["Arn"] == FOREIGN
    sha256 = world.kube.all(FUNCTION)[0]["status"]["layers"][0]["sha256"]
    assert ("default", sha256) in world.blobs.blobs
    found = client.get_layer_version_by_arn(Arn=FOREIGN)
    assert (found["LayerVersionArn"], found["LayerArn"]) == (FOREIGN, FOREIGN[:-2])
    found = client.get_layer_version(LayerName=FOREIGN[:-2], VersionNumber=1)
    assert found["LayerVersionArn"] == FOREIGN


@pytest.mark.parametrize("policy", [None, [], [{"sid": "s", "principal": "111111111111"}]])
def test_a_layer_of_another_account_without_it(
    world: World, client: Any, policy: list[dict[str, str]] | None
) -> None:
    foreign(world, policy)
    text = (
        f"User: arn:aws:iam::{ACCOUNT}:user/klambda-admin is not authorized to perform: "
        f"lambda:GetLayerVersion on resource: {FOREIGN} because no resource-based policy allows "
        "the lambda:GetLayerVersion action"
    )
    denied = (403, "AccessDeniedException", text)
    arguments = {
        "FunctionName": "area", "Runtime": "python3.13", "Handler": "a.b", "Role": ROLE,
        "Code": {"ZipFile": make_zip()}, "Layers": [FOREIGN],
    }  # fmt: skip
    assert refusal(world, client.create_function, **arguments) == denied
    assert refusal(world, client.get_layer_version_by_arn, Arn=FOREIGN) == denied
    at = {"LayerName": FOREIGN[:-2], "VersionNumber": 1}
    assert refusal(world, client.get_layer_version, **at) == denied
    assert refusal(world, client.delete_layer_version, **at)[:2] == (403, "AccessDeniedException")
    assert world.kube.all(FUNCTION) == []


def test_a_mirror_of_a_vendors_layer_is_used_by_its_arn_and_listed_nowhere(
    world: World, client: Any
) -> None:
    arn = f"arn:aws:lambda:{REGION}:017000801446:layer:Powertools:7"
    spec = {"layerName": "Powertools", "version": 7, "arn": arn}
    blob = asyncio.run(world.blobs.put("default", make_zip()))
    spec["content"] = {"blob": {"sha256": blob.sha256, "size": blob.size}}
    manifest = {"metadata": {"name": "mirror"}, "spec": spec}
    asyncio.run(world.kube.create(LAYER_VERSION, "default", manifest, field_manager="t"))
    assert create(client, arn)["Layers"] == [{"Arn": arn, "CodeSize": blob.size}]
    assert client.get_layer_version_by_arn(Arn=arn)["LayerVersionArn"] == arn
    assert client.list_layers()["Layers"] == []
    assert (
        refusal(world, client.get_layer_version, LayerName="Powertools", VersionNumber=7)[0] == 404
    )
