"""Every configuration member: set at creation, changed, cleared. Source: aws-contract a.4."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_core.kinds import FUNCTION
from tests.unit.gateway_api.fakes import ACCOUNT, REGION, ROLE, World, make_zip
from tests.unit.gateway_api.test_operations_api import refusal

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
KMS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
EFS = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-" + "0" * 17
VPC = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
JSON_LOGS = {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "/mine"}

CASES: list[tuple[str, Any, Any]] = [
    ("Description", "d", "d"),
    ("Timeout", 900, 900),
    ("MemorySize", 10240, 10240),
    ("Architectures", ["arm64"], ["arm64"]),
    ("EphemeralStorage", {"Size": 1024}, {"Size": 1024}),
    ("TracingConfig", {"Mode": "Active"}, {"Mode": "Active"}),
    ("Environment", {"Variables": {"AA": "é"}}, {"Variables": {"AA": "é"}}),
    ("Environment", {}, {"Variables": {}}),
    ("DeadLetterConfig", {"TargetArn": QUEUE}, {"TargetArn": QUEUE}),
    ("KMSKeyArn", KMS, KMS),
    (
        "FileSystemConfigs",
        [{"Arn": EFS, "LocalMountPath": "/mnt/a"}],
        [{"Arn": EFS, "LocalMountPath": "/mnt/a"}],
    ),
    (
        "SnapStart",
        {"ApplyOn": "PublishedVersions"},
        {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"},
    ),
    ("LoggingConfig", JSON_LOGS, {**JSON_LOGS, "SystemLogLevel": "INFO"}),
    ("LoggingConfig", {"LogFormat": "Text"}, {"LogFormat": "Text", "LogGroup": "/aws/lambda/area"}),
]
CLEARED: list[tuple[str, Any, Any, Any]] = [
    ("DeadLetterConfig", {"TargetArn": QUEUE}, {"TargetArn": ""}, None),
    ("FileSystemConfigs", [{"Arn": EFS, "LocalMountPath": "/mnt/a"}], [], None),
    ("KMSKeyArn", KMS, "", None),
    ("Environment", {"Variables": {"AA": "1"}}, {"Variables": {}}, {"Variables": {}}),
    (
        "VpcConfig",
        {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        {"SubnetIds": [], "SecurityGroupIds": []},
        {"SubnetIds": [], "SecurityGroupIds": [], "VpcId": "", "Ipv6AllowedForDualStack": False},
    ),
    (
        "LoggingConfig",
        JSON_LOGS,
        {"LogFormat": "Text"},
        {"LogFormat": "Text", "LogGroup": "/mine"},
    ),
]


BESIDE: dict[str, dict[str, Any]] = {"FileSystemConfigs": {"VpcConfig": VPC}}
"""What a member needs beside itself."""


def create(client: Any, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.create_function(
        FunctionName="area", Runtime="python3.13", Handler="a.b", Role=ROLE,
        Code={"ZipFile": make_zip()}, **more,
    )  # fmt: skip
    return answer


@pytest.mark.parametrize(("member", "given", "shown"), CASES)
def test_set_at_creation(client: Any, member: str, given: Any, shown: Any) -> None:
    assert create(client, **{member: given}, **BESIDE.get(member, {}))[member] == shown
    assert client.get_function_configuration(FunctionName="area")[member] == shown


@pytest.mark.parametrize(
    ("member", "given", "shown"), [case for case in CASES if case[0] != "Architectures"]
)
def test_set_by_an_update(world: World, client: Any, member: str, given: Any, shown: Any) -> None:
    create(client, **BESIDE.get(member, {}))
    world.kube.settle()
    answer = client.update_function_configuration(FunctionName="area", **{member: given})
    assert answer[member] == shown


@pytest.mark.parametrize(("member", "given", "clearing", "shown"), CLEARED)
def test_cleared(
    world: World, client: Any, member: str, given: Any, clearing: Any, shown: Any
) -> None:
    create(client, **{member: given}, **BESIDE.get(member, {}))
    world.kube.settle()
    answer = client.update_function_configuration(FunctionName="area", **{member: clearing})
    assert answer.get(member) == shown
    assert answer["LastUpdateStatus"] == "InProgress"


FILES = {"FileSystemConfigs": [{"Arn": EFS, "LocalMountPath": "/mnt/a"}]}
SNAP = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
LEVELS = (
    'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request '
    'or change the LogFormat to "Json" and try again.'
)
GROUPS = "SubnetIds and SecurityIds must coexist or be both empty list."
NO_VPC = f"Function must be configured to execute in a VPC to reference access point {EFS}."
STILL_VPC = f"Function VPC configuration cannot be removed with access point {EFS} referenced."
TOGETHER: list[tuple[dict[str, Any], str]] = [
    # recorded in aws/aws-cdk#28045
    ({"LoggingConfig": {"LogFormat": "Text", "ApplicationLogLevel": "DEBUG"}}, LEVELS),
    ({"LoggingConfig": {"SystemLogLevel": "WARN"}}, LEVELS),
    # recorded in aws/aws-sdk-js#1293
    ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, GROUPS),
    ({"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": ["sg-1"]}}, GROUPS),
    # recorded in aws-cloudformation/cfn-lint#4408
    (FILES, NO_VPC),
    # recorded in aws-samples/bedrock-chat#617
    ({**SNAP, "Runtime": "nodejs22.x"},
     "nodejs22.x is not supported for SnapStart enabled functions."),
    # developer guide, SnapStart (the words are ours)
    ({**SNAP, **FILES, "VpcConfig": VPC},
     "A file system is not supported for SnapStart enabled functions."),
    ({**SNAP, "EphemeralStorage": {"Size": 513}},
     "Ephemeral storage of more than 512 MB is not supported for SnapStart enabled functions."),
    # quoted in deployments' checks
    ({"DeadLetterConfig": {"TargetArn": "arn:aws:s3:::b"}},
     ("Invalid dead letter queue ARN: The service specified by the TargetArn is not supported for "
      "dead letter configuration.")),
]  # fmt: skip


@pytest.mark.parametrize(("members", "text"), TOGETHER)
def test_what_does_not_go_together(
    world: World, client: Any, members: dict[str, Any], text: str
) -> None:
    given = {"Runtime": "python3.13", "FunctionName": "area", **members}
    new = {"Handler": "a.b", "Role": ROLE, "Code": {"ZipFile": make_zip()}}
    wanted = (400, "InvalidParameterValueException", text)
    assert refusal(world, client.create_function, **given, **new) == wanted
    assert world.kube.all(FUNCTION) == []
    create(client)
    world.kube.settle()
    assert refusal(world, client.update_function_configuration, **given) == wanted
    assert world.error()["Type"] == "User"


@pytest.mark.parametrize(
    ("before", "change", "text"),
    [
        # recorded in aws/chalice#1453
        ({**FILES, "VpcConfig": VPC}, {"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}},
         STILL_VPC),
        ({**FILES, "VpcConfig": VPC},
         {**FILES, "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}}, NO_VPC),
        (SNAP, {"Runtime": "nodejs22.x"},
         "nodejs22.x is not supported for SnapStart enabled functions."),
        (SNAP, {"EphemeralStorage": {"Size": 1024}},
         "Ephemeral storage of more than 512 MB is not supported for SnapStart enabled functions."),
        ({"LoggingConfig": JSON_LOGS},
         {"LoggingConfig": {"LogFormat": "Text", "SystemLogLevel": "INFO"}}, LEVELS),
    ],
)  # fmt: skip
def test_what_does_not_go_with_what_is_there(
    world: World, client: Any, before: dict[str, Any], change: dict[str, Any], text: str
) -> None:
    create(client, **before)
    world.kube.settle()
    found = refusal(world, client.update_function_configuration, FunctionName="area", **change)
    assert found == (400, "InvalidParameterValueException", text)


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({"LoggingConfig": JSON_LOGS}, {"LoggingConfig": {"SystemLogLevel": "WARN"}}),
        ({**FILES, "VpcConfig": VPC}, {"VpcConfig": {**VPC, "SubnetIds": ["subnet-2"]}}),
        ({**FILES, "VpcConfig": VPC},
         {"FileSystemConfigs": [], "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}}),
        ({"VpcConfig": VPC}, FILES),
        (SNAP, {"SnapStart": {"ApplyOn": "None"}, "Runtime": "nodejs22.x"}),
    ],
)  # fmt: skip
def test_what_goes_with_what_is_there(
    world: World, client: Any, before: dict[str, Any], change: dict[str, Any]
) -> None:
    create(client, **before)
    world.kube.settle()
    answer = client.update_function_configuration(FunctionName="area", **change)
    assert answer["LastUpdateStatus"] == "InProgress"


def test_what_an_update_may_have(world: World, client: Any) -> None:
    """Developer guide, Troubleshoot deployment issues: 4 KB of variables, 5 KB of request."""
    create(client)
    world.kube.settle()
    update = client.update_function_configuration
    most = {"AA": "x" * (4096 - len('{"AA":""}'))}
    assert update(FunctionName="area", Environment={"Variables": most})["LastUpdateStatus"]
    world.kube.settle()
    status, code, text = refusal(
        world, update, FunctionName="area", Environment={"Variables": {"AA": most["AA"] + "x"}}
    )
    assert (status, code) == (400, "InvalidParameterValueException")
    assert "exceeded the 4KB limit. String measured: {" in text
    status, code, text = refusal(
        world, update, FunctionName="area", Environment={"Variables": {"AA": "x" * 5120}}
    )
    assert (status, code, text) == (
        413, "RequestEntityTooLargeException",
        "Request must be smaller than 5120 bytes for the UpdateFunctionConfiguration operation",
    )  # fmt: skip


def test_a_vpc_shows_its_id(client: Any) -> None:
    shown = create(client, VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]})
    assert shown["VpcConfig"]["VpcId"].startswith("vpc-")
    assert shown["VpcConfig"]["SubnetIds"] == ["subnet-1"]


def test_architectures_change_with_the_code(world: World, client: Any) -> None:
    create(client)
    world.kube.settle()
    answer = client.update_function_code(
        FunctionName="area", ZipFile=make_zip(), Architectures=["arm64"]
    )
    assert answer["Architectures"] == ["arm64"]


def test_a_version_freezes_the_configuration(world: World, client: Any) -> None:
    create(client, Environment={"Variables": {"AA": "1"}}, Description="latest")
    world.kube.settle()
    client.publish_version(FunctionName="area", Description="frozen")
    client.update_function_configuration(
        FunctionName="area", Environment={"Variables": {"AA": "2"}}, Timeout=9
    )
    found = client.get_function_configuration(FunctionName="area", Qualifier="1")
    assert (found["Environment"], found["Timeout"], found["Description"]) == (
        {"Variables": {"AA": "1"}}, 3, "frozen",
    )  # fmt: skip


def test_what_kubectl_made_is_shown_with_defaults(world: World, client: Any) -> None:
    """A role is optional in the object and always there in the API."""
    create(client)
    spec = world.kube.all(FUNCTION)[0]["spec"]
    del spec["role"]
    spec["layers"] = [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"]
    found = client.get_function_configuration(FunctionName="area")
    assert found["Role"] == f"arn:aws:iam::{ACCOUNT}:role/klambda-default"
    assert found["Layers"] == [{"Arn": spec["layers"][0], "CodeSize": 0}]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"PackageType": "Image"}, "Please don't provide Handler or Runtime or Layer when"),
        (
            {"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}},
            "TenancyConfig is not supported",
        ),
        ({"Code": {"S3Bucket": "bbb", "S3Key": "k"}}, "Code in S3 is not supported"),
        # recorded in boto/boto3#2705
        ({"Code": {"ImageUri": "x"}}, "Please provide a source for function code."),
        # recorded in cloud-custodian/cloud-custodian#1990 and motdotla/node-lambda#208
        (
            {"DeadLetterConfig": {"TargetArn": ""}},
            "Invalid dead letter queue ARN: ARNs must start with 'arn:': ",
        ),
        # recorded in a Terraform run's log
        (
            {"DeadLetterConfig": {"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q.fifo"}},
            "ARN: FIFO SQS queue is not supported for dead letter configuration",
        ),
        # the order of names: aws-cloudformation/cfn-lint#4427
        ({"Runtime": "python3"}, "enum value set: [nodejs20.x, python3.14, provided.al2023, "),
        ({"Layers": [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:l:1"]}, "in region us-east-1."),
        ({"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"] * 6}, "more than 5 layers"),
    ],
)
def test_refusals(world: World, client: Any, members: dict[str, Any], text: str) -> None:
    arguments = {
        "FunctionName": "area", "Runtime": "python3.13", "Handler": "a.b", "Role": ROLE,
        "Code": {"ZipFile": make_zip()},
    } | members  # fmt: skip
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.create_function(**arguments)
    assert text in world.error()["message"]


def test_too_much_memory(world: World, client: Any) -> None:
    """Recorded in remotion-dev/remotion#2737: ValidationException, not in the framework's words."""
    create(client)
    with pytest.raises(client.exceptions.ClientError, match="ValidationException"):
        client.update_function_configuration(FunctionName="area", MemorySize=10241)
    assert world.error() == {
        "message": "'MemorySize' value failed to satisfy constraint: Member must have value less "
        "than or equal to 10240"
    }


@pytest.mark.parametrize("missing", ["Runtime", "Handler"])
def test_runtime_and_handler_are_mandatory(world: World, client: Any, missing: str) -> None:
    arguments = {"Runtime": "python3.13", "Handler": "a.b"}
    del arguments[missing]
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="are mandatory"):
        client.create_function(
            FunctionName="area", Role=ROLE, Code={"ZipFile": make_zip()}, **arguments
        )


def test_a_logging_config_is_changed_member_by_member(world: World, client: Any) -> None:
    """contract a.4: JSON adds levels, Text drops them; what is not given stays."""
    create(client, LoggingConfig={"LogFormat": "JSON", "LogGroup": "/g"})
    shown: dict[str, Any] = {
        "LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO",
        "LogGroup": "/g",
    }  # fmt: skip
    for given, change in (
        ({"ApplicationLogLevel": "DEBUG"}, {"ApplicationLogLevel": "DEBUG"}),
        ({"LogGroup": "/h"}, {"LogGroup": "/h"}),
        ({"LogFormat": "JSON", "SystemLogLevel": "WARN"},
         {"ApplicationLogLevel": "INFO", "SystemLogLevel": "WARN"}),
    ):  # fmt: skip
        world.kube.settle()
        shown |= change
        answer = client.update_function_configuration(FunctionName="area", LoggingConfig=given)
        assert answer["LoggingConfig"] == shown
    world.kube.settle()
    answer = client.update_function_configuration(
        FunctionName="area", LoggingConfig={"LogFormat": "Text"}
    )
    assert answer["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/h"}
