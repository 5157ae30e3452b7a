"""Functions through boto3: create, read, change, delete, list."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from typing import Any

import botocore.exceptions
import pytest

from klambda_core.kinds import FUNCTION
from klambda_gateway.auth.keys import AccessKey
from tests.unit.gateway_api.fakes import ACCOUNT, REGION, ROLE, World, make_zip

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"


def create(client: Any, name: str = "area", **more: Any) -> dict[str, Any]:
    members = {
        "FunctionName": name,
        "Runtime": "python3.13",
        "Handler": "lambda_function.handler",
        "Role": ROLE,
        "Code": {"ZipFile": make_zip()},
    }
    answer: dict[str, Any] = client.create_function(**members | more)
    return answer


def test_create_answers_pending_with_all_defaults(world: World, client: Any) -> None:
    answer = create(client)
    meta = answer.pop("ResponseMetadata")
    assert meta["HTTPStatusCode"] == 201
    assert meta["RequestId"]
    assert answer.pop("RevisionId")
    assert answer.pop("LastModified").endswith("+0000")
    assert answer.pop("RuntimeVersionConfig")["RuntimeVersionArn"].startswith(
        f"arn:aws:lambda:{REGION}::runtime:"
    )
    assert answer == {
        "FunctionName": "area",
        "FunctionArn": ARN,
        "Runtime": "python3.13",
        "Role": ROLE,
        "Handler": "lambda_function.handler",
        "CodeSize": len(make_zip()),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "CodeSha256": base64.b64encode(hashlib.sha256(make_zip()).digest()).decode(),
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/area"},
    }


def test_once_settled_it_is_active_and_the_reasons_are_gone(
    world: World, client: Any, function: str
) -> None:
    answer = client.get_function(FunctionName=function)
    configuration = answer["Configuration"]
    assert configuration["State"] == "Active"
    assert configuration["LastUpdateStatus"] == "Successful"
    assert "StateReason" not in configuration
    assert answer["Code"]["RepositoryType"] == "S3"
    assert answer["Code"]["Location"].startswith("http://klambda.test:8080/_code/default/")
    assert "Tags" not in answer
    assert "Concurrency" not in answer


@pytest.mark.parametrize("name", ["area", ARN, f"{ACCOUNT}:function:area", "function:area"])
def test_every_spelling_of_the_name_is_read(client: Any, function: str, name: str) -> None:
    assert client.get_function_configuration(FunctionName=name)["FunctionArn"] == ARN


def test_a_qualifier_that_was_asked_for_shows_in_the_arn(client: Any, function: str) -> None:
    for asked in (
        {"FunctionName": "area:$LATEST"},
        {"FunctionName": "area", "Qualifier": "$LATEST"},
    ):
        assert client.get_function_configuration(**asked)["FunctionArn"] == ARN + ":$LATEST"


def refusal(call: Any, **members: Any) -> tuple[int, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**members)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_not_found(world: World, client: Any) -> None:
    assert refusal(client.get_function, FunctionName="nope") == (404, "ResourceNotFoundException")
    assert world.error() == {
        "Type": "User",
        "Message": f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:nope",
    }


def test_other_region_and_other_account(world: World, client: Any) -> None:
    there = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"
    assert refusal(client.get_function, FunctionName=there)[0] == 404
    assert "are not reachable in this region ('us-east-1')" in world.error()["Message"]
    theirs = f"arn:aws:lambda:{REGION}:999999999999:function:f"
    assert refusal(client.get_function, FunctionName=theirs) == (403, "AccessDeniedException")
    assert world.error() == {"Message": None}


def test_create_twice_conflicts(world: World, client: Any, function: str) -> None:
    with pytest.raises(client.exceptions.ResourceConflictException):
        create(client)
    assert world.error() == {"Type": "User", "message": "Function already exist: area"}


def test_delete_then_create_in_a_row(world: World, client: Any, function: str) -> None:
    for _ in range(3):
        assert (
            client.delete_function(FunctionName="area")["ResponseMetadata"]["HTTPStatusCode"] == 204
        )
        create(client)
    assert len(world.kube.all(FUNCTION)) == 1


def test_an_object_in_deletion_is_absent(world: World, client: Any, function: str) -> None:
    world.kube.all(FUNCTION)[0]["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert refusal(client.get_function, FunctionName="area")[0] == 404
    assert client.list_functions()["Functions"] == []


def test_changes_while_pending_or_in_progress_conflict(world: World, client: Any) -> None:
    create(client)
    with pytest.raises(client.exceptions.ResourceConflictException, match="state: Pending"):
        client.update_function_configuration(FunctionName="area", Timeout=5)
    world.kube.settle()
    answer = client.update_function_configuration(FunctionName="area", Timeout=5)
    assert (answer["State"], answer["LastUpdateStatus"]) == ("Active", "InProgress")
    with pytest.raises(client.exceptions.ResourceConflictException, match=f"resource: {ARN}"):
        client.update_function_code(FunctionName="area", ZipFile=make_zip("x = 2\n"))


def test_update_merges_by_member_and_replaces_the_environment(world: World, client: Any) -> None:
    create(client, Environment={"Variables": {"AA": "1", "BB": "2"}}, Timeout=7)
    world.kube.settle()
    world.kube.all(FUNCTION)[0]["spec"]["environment"]["valueFrom"] = {
        "CC": {"secretKeyRef": {"name": "s", "key": "k"}}
    }
    world.kube.settle()
    answer = client.update_function_configuration(
        FunctionName="area", Environment={"Variables": {"BB": "3"}}
    )
    assert answer["Environment"] == {"Variables": {"BB": "3"}}
    assert answer["Timeout"] == 7
    stored = world.kube.all(FUNCTION)[0]["spec"]["environment"]
    assert "CC" in stored["valueFrom"]


def test_a_redundant_update_is_an_update(world: World, client: Any, function: str) -> None:
    before = client.get_function_configuration(FunctionName="area")
    answer = client.update_function_configuration(FunctionName="area", Timeout=3)
    assert answer["LastUpdateStatus"] == "InProgress"
    assert answer["RevisionId"] != before["RevisionId"]
    after = client.get_function_configuration(FunctionName="area")
    assert after["LastUpdateStatus"] == "Successful"


def test_revision_id_is_a_precondition(world: World, client: Any, function: str) -> None:
    with pytest.raises(client.exceptions.PreconditionFailedException):
        client.update_function_configuration(
            FunctionName="area", Timeout=4, RevisionId="00000000-0000-0000-0000-000000000000"
        )
    revision = client.get_function_configuration(FunctionName="area")["RevisionId"]
    client.update_function_configuration(FunctionName="area", Timeout=4, RevisionId=revision)


def test_a_conflict_in_between_is_judged_anew(world: World, client: Any, function: str) -> None:
    world.kube.conflicts = 3
    client.update_function_configuration(FunctionName="area", Timeout=9)
    assert world.kube.all(FUNCTION)[0]["spec"]["timeout"] == 9


def test_update_code_takes_the_place_of_every_other_source(
    world: World, client: Any, function: str
) -> None:
    obj = world.kube.all(FUNCTION)[0]
    obj["spec"]["code"] = {"files": {"a.py": "x"}}
    obj["status"]["code"] = {"sha256": "0" * 64, "size": 1, "source": "?"}
    obj["status"]["conditions"] = [
        {"type": "CodeResolved", "status": "False", "reason": "InvalidCode", "message": "no",
         "observedGeneration": 1, "lastTransitionTime": "2026-11-21T12:00:00Z"}
    ]  # fmt: skip
    data = make_zip("x = 3\n")
    answer = client.update_function_code(FunctionName="area", ZipFile=data)
    assert answer["CodeSize"] == len(data)
    assert list(world.kube.all(FUNCTION)[0]["spec"]["code"]) == ["blob"]


def test_a_dry_run_changes_nothing(world: World, client: Any, function: str) -> None:
    before = world.kube.all(FUNCTION)[0]
    data = make_zip("x = 4\n")
    answer = client.update_function_code(FunctionName="area", ZipFile=data, DryRun=True)
    assert answer["CodeSize"] == len(data)
    assert world.kube.all(FUNCTION)[0] == before
    assert len(world.blobs.blobs) == 1


@pytest.mark.parametrize(
    ("members", "status", "text"),
    [
        ({"Code": {"ZipFile": b"no zip"}}, 400, "Could not unzip uploaded file. Please"),
        ({"Code": {"ZipFile": b""}}, 400, "Uploaded file must be a non-empty zip"),
        ({"Code": {}}, 400, "Please provide a source for function code."),
        # quoted in the checks of deployment tools
        (
            {"Code": {"S3Bucket": "bbb"}},
            400,
            "S3 Bucket and Key are required for uploading with S3",
        ),
        ({"Code": {"ZipFile": b"x", "S3ObjectVersion": "1"}}, 400, "Please do not provide other"),
        ({"Runtime": "python9"}, 400, "Value python9 at 'runtime' failed to satisfy constraint"),
        ({"Runtime": "python2.7"}, 400, "is no longer supported for creating or updating"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, 400, "request: AWS_REGION"),
        ({"Environment": {"Variables": {"AA": "x" * 5000}}}, 400, "exceeded the 4KB limit"),
        ({"FunctionName": "f" * 65}, 400, "1 validation error detected: Value 'ffff"),
        ({"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"]}, 400, "Layer version arn"),
        ({"Tags": {"aws:x": "y"}}, 400, "System tags"),
    ],
)
def test_create_refuses(
    world: World, client: Any, members: dict[str, Any], status: int, text: str
) -> None:
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        create(client, **members)
    assert world.last is not None
    assert world.last.status == status
    assert text in world.error()["message"]
    assert world.error()["Type"] == "User"
    assert world.kube.all(FUNCTION) == []


def test_names_that_kubernetes_does_not_take_are_stored_under_others(
    world: World, client: Any
) -> None:
    create(client, "My_Function")
    obj = world.kube.all(FUNCTION)[0]
    assert obj["spec"]["functionName"] == "My_Function"
    assert obj["metadata"]["name"] != "My_Function"
    assert client.get_function(FunctionName="My_Function")


def test_list_pages_by_name_and_leaves_state_out(world: World, client: Any) -> None:
    names = [f"f{number:02d}" for number in range(7)]
    for name in reversed(names):
        create(client, name)
    first = client.list_functions(MaxItems=3)
    assert [f["FunctionName"] for f in first["Functions"]] == names[:3]
    assert not {"State", "LastUpdateStatus", "RuntimeVersionConfig"} & set(first["Functions"][0])
    pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    assert [f["FunctionName"] for page in pages for f in page["Functions"]] == names


def test_delete_rules(world: World, client: Any, function: str) -> None:
    client.publish_version(FunctionName="area")
    client.create_alias(FunctionName="area", Name="live", FunctionVersion="1")
    delete = client.delete_function
    assert refusal(delete, FunctionName="area", Qualifier="$LATEST")[0] == 400
    assert refusal(delete, FunctionName="area", Qualifier="live")[0] == 400
    assert refusal(delete, FunctionName="area", Qualifier="1")[0] == 409
    client.delete_alias(FunctionName="area", Name="live")
    delete(FunctionName="area", Qualifier="1")
    delete(FunctionName="area", Qualifier="1")
    assert refusal(delete, FunctionName="nope")[0] == 404


def test_writes_whose_answers_are_lost_are_looked_up(world: World, client: Any) -> None:
    world.kube.lost_answers = 1
    assert create(client)["State"] == "Pending"
    world.kube.settle()
    world.kube.lost_answers = 1
    client.update_function_configuration(FunctionName="area", Timeout=9)
    assert world.kube.all(FUNCTION)[0]["metadata"]["generation"] == 2
    world.kube.settle()
    world.kube.lost_answers = 2
    assert client.publish_version(FunctionName="area")["FunctionArn"].startswith(ARN + ":")
    assert world.kube.lost_answers == 0


def test_a_role_that_does_not_list_the_function_cannot_be_assumed(
    world: World, client: Any, function: str
) -> None:
    """AWS's sentence for a role whose trust policy does not let Lambda in."""
    world.roles.made["worker"] = AccessKey(
        access_key_id="AKIA", secret="s", namespace="default", role="worker", functions=("area",)
    )
    role = f"arn:aws:iam::{ACCOUNT}:role/worker"
    sentence = "The role defined for the function cannot be assumed by Lambda."
    with pytest.raises(botocore.exceptions.ClientError, match=sentence) as refused:
        create(client, "other", Role=role)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"
    client.update_function_configuration(FunctionName=function, Role=role)
    world.kube.settle()
    world.roles.made["worker"] = dataclasses.replace(
        world.roles.made["worker"], functions=("other",)
    )
    with pytest.raises(botocore.exceptions.ClientError, match=sentence):
        client.update_function_configuration(FunctionName=function, Role=role)
    client.update_function_configuration(FunctionName=function, Description="the role stays")
    assert create(client, "other", Role=role)["Role"] == role
