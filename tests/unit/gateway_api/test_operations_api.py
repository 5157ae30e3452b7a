"""Versions, aliases, policies, tags, concurrency, event invoke configs, invoke, STS: by boto3.

Sources of statuses and texts: aws-contract b, c, e, f, h.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from klambda_core.errors import REASON_RESERVED, throttled
from klambda_core.kinds import ALIAS, FUNCTION, VERSION
from klambda_gateway.api.dispatch import RawRequest
from klambda_gateway.auth.claim import Signable
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from tests.unit.gateway_api.fakes import ACCOUNT, REGION, World, make_zip

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"


def refusal(world: World, call: Callable[..., Any], **members: Any) -> tuple[int, str, str]:
    """Status, code and message of an error."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**members)
    error = caught.value.response["Error"]
    assert world.last is not None
    return world.last.status, error["Code"], error["Message"]


def touch(world: World, client: Any, timeout: int) -> None:
    """Change the function and let it settle."""
    client.update_function_configuration(FunctionName="area", Timeout=timeout)
    world.kube.settle()


# --- versions -------------------------------------------------------------------------------------


def test_publish_numbers_grow_and_are_never_used_again(
    world: World, client: Any, function: str
) -> None:
    before = client.get_function_configuration(FunctionName="area")["RevisionId"]
    first = client.publish_version(FunctionName="area", Description="one")
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (first["Version"], first["FunctionArn"], first["State"], first["Description"]) == (
        "1", ARN + ":1", "Pending", "one",
    )  # fmt: skip
    assert client.get_function_configuration(FunctionName="area")["RevisionId"] != before
    assert client.publish_version(FunctionName="area", Description="other")["Version"] == "1"
    touch(world, client, 4)
    assert client.publish_version(FunctionName="area")["Version"] == "2"
    client.delete_function(FunctionName="area", Qualifier="2")
    touch(world, client, 5)
    assert client.publish_version(FunctionName="area")["Version"] == "3"
    listed = client.list_versions_by_function(FunctionName="area")["Versions"]
    assert [v["Version"] for v in listed] == ["$LATEST", "1", "3"]
    assert listed[0]["FunctionArn"] == ARN + ":$LATEST"
    assert "State" not in listed[1]


def test_publish_preconditions(world: World, client: Any, function: str) -> None:
    status, code, text = refusal(
        world, client.publish_version, FunctionName="area", CodeSha256="nope"
    )
    assert (status, code) == (400, "InvalidParameterValueException")
    assert text.startswith("CodeSHA256 (nope) is different from current CodeSHA256 in $LATEST (")
    found = refusal(world, client.publish_version, FunctionName="area", RevisionId="x")
    assert found[:2] == (412, "PreconditionFailedException")


def test_update_code_can_publish(world: World, client: Any, function: str) -> None:
    data = make_zip("x = 9\n")
    answer = client.update_function_code(FunctionName="area", ZipFile=data, Publish=True)
    assert (answer["Version"], answer["FunctionArn"]) == ("1", ARN + ":1")


def test_list_all_versions_of_all_functions(world: World, client: Any, function: str) -> None:
    client.publish_version(FunctionName="area")
    listed = client.list_functions(FunctionVersion="ALL")["Functions"]
    assert [f["FunctionArn"] for f in listed] == [ARN + ":$LATEST", ARN + ":1"]
    status, code, text = refusal(world, client.list_functions, FunctionVersion="SOME")
    assert (status, code) == (400, "ValidationException")
    assert text.endswith("Member must satisfy enum value set: [ALL]")


# --- aliases --------------------------------------------------------------------------------------


@pytest.fixture
def versions(world: World, client: Any, function: str) -> str:
    """A function with versions 1 and 2."""
    client.publish_version(FunctionName="area")
    touch(world, client, 4)
    client.publish_version(FunctionName="area")
    return function


def test_the_life_of_an_alias(world: World, client: Any, versions: str) -> None:
    made = client.create_alias(FunctionName="area", Name="live", FunctionVersion="1")
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 201
    revision = made.pop("RevisionId")
    assert made == {
        "AliasArn": ARN + ":live", "Name": "live", "FunctionVersion": "1", "Description": "",
    }  # fmt: skip
    weights = {"AdditionalVersionWeights": {"2": 0.1}}
    changed = client.update_alias(FunctionName="area", Name="live", RoutingConfig=weights)
    assert changed["RoutingConfig"] == weights
    assert changed["RevisionId"] != revision
    again = client.update_alias(FunctionName="area", Name="live")
    assert again["RevisionId"] != changed["RevisionId"]
    found = client.get_function_configuration(FunctionName="area", Qualifier="live")
    assert (found["FunctionArn"], found["Version"]) == (ARN + ":live", "1")
    assert [a["Name"] for a in client.list_aliases(FunctionName="area")["Aliases"]] == ["live"]
    assert client.list_aliases(FunctionName="area", FunctionVersion="2")["Aliases"] == []
    client.delete_alias(FunctionName="area", Name="live")
    client.delete_alias(FunctionName="area", Name="live")
    assert world.kube.all(ALIAS) == []


def test_alias_refusals(world: World, client: Any, versions: str) -> None:
    create = client.create_alias
    create(FunctionName="area", Name="live", FunctionVersion="1")

    def wrong(version: str = "1", name: str = "new", **weights: float) -> tuple[int, str, str]:
        routing = {"AdditionalVersionWeights": {k.strip("_"): v for k, v in weights.items()}}
        return refusal(
            world, create, FunctionName="area", Name=name, FunctionVersion=version,
            RoutingConfig=routing,
        )  # fmt: skip

    assert wrong(name="live") == (
        409, "ResourceConflictException", f"Alias already exists: {ARN}:live",
    )  # fmt: skip
    assert wrong("7") == (404, "ResourceNotFoundException", f"Function not found: {ARN}:7")
    assert wrong(_1=0.5)[2].startswith("Invalid function version 1. Function version 1 is already")
    assert "$LATEST is not supported" in wrong("$LATEST", _1=0.5)[2]
    assert "cannot be greater than 1" in wrong(_2=0.5, _3=0.1)[2]
    assert wrong(_2=1.5)[1] == "ValidationException"
    found = refusal(world, client.get_alias, FunctionName="area", Name="no")
    assert found[2] == f"Cannot find alias arn: {ARN}:no"
    found = refusal(world, client.update_alias, FunctionName="area", Name="no")
    assert found[2] == f"Alias not found: {ARN}:no"
    found = refusal(world, client.get_function, FunctionName="area", Qualifier="no")
    assert found[2] == f"Function not found: {ARN}:no"
    found = refusal(world, client.get_function, FunctionName="area:live", Qualifier="1")
    assert found[2].startswith("The derived qualifier from the function name does not match")


def test_left_overs_of_a_deleted_function_do_not_count(
    world: World, client: Any, versions: str
) -> None:
    client.create_alias(FunctionName="area", Name="live", FunctionVersion="1")
    client.delete_function(FunctionName="area")
    assert len(world.kube.all(VERSION)) == 2
    client.create_function(
        FunctionName="area", Runtime="python3.13", Handler="a.b",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r", Code={"ZipFile": make_zip()}, Publish=True,
    )  # fmt: skip
    assert client.list_aliases(FunctionName="area")["Aliases"] == []
    listed = client.list_versions_by_function(FunctionName="area")["Versions"]
    assert [v["Version"] for v in listed] == ["$LATEST", "1"]
    client.create_alias(FunctionName="area", Name="live", FunctionVersion="1")


# --- policies -------------------------------------------------------------------------------------


def test_permissions(world: World, client: Any, function: str) -> None:
    found = refusal(world, client.get_policy, FunctionName="area")
    assert found == (
        404, "ResourceNotFoundException", "The resource you requested does not exist.",
    )  # fmt: skip
    given = {"Action": "lambda:InvokeFunction", "FunctionName": "area"}
    answer = client.add_permission(
        **given, StatementId="s3", Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::b", SourceAccount=ACCOUNT,
    )  # fmt: skip
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": ARN,
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": ACCOUNT},
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"},
        },
    }
    assert json.loads(answer["Statement"]) == statement
    policy = client.get_policy(FunctionName="area")
    assert json.loads(policy["Policy"]) == {
        "Version": "2012-10-17", "Id": "default", "Statement": [statement],
    }  # fmt: skip
    again = refusal(world, client.add_permission, **given, StatementId="s3", Principal="*")
    assert again[:2] == (409, "ResourceConflictException")
    bad = refusal(world, client.add_permission, **given, StatementId="x", Principal="nobody")
    assert bad[2].startswith("The provided principal was invalid.")
    latest = refusal(
        world, client.add_permission, **given, StatementId="x", Principal="*", Qualifier="$LATEST"
    )
    assert latest[2] == "We currently do not support adding policies for $LATEST."
    gone = refusal(world, client.remove_permission, FunctionName="area", StatementId="no")
    assert gone[2] == "Statement no is not found in resource policy."
    client.remove_permission(FunctionName="area", StatementId="s3")
    none = refusal(world, client.remove_permission, FunctionName="area", StatementId="s3")
    assert none[2] == "No policy is associated with the given resource."


@pytest.mark.parametrize(
    ("principal", "shown"),
    [
        ("*", "*"),
        ("999999999999", {"AWS": "arn:aws:iam::999999999999:root"}),
        ("arn:aws:iam::999999999999:user/u", {"AWS": "arn:aws:iam::999999999999:user/u"}),
    ],
)
def test_principals(client: Any, function: str, principal: str, shown: Any) -> None:
    answer = client.add_permission(
        FunctionName="area", StatementId="s", Action="lambda:*", Principal=principal
    )
    assert json.loads(answer["Statement"])["Principal"] == shown


# --- tags, concurrency, account -------------------------------------------------------------------


def test_tags(world: World, client: Any, function: str) -> None:
    client.tag_resource(Resource=ARN, Tags={"a": "1", "b": "2"})
    client.untag_resource(Resource=ARN, TagKeys=["a", "zzz"])
    assert client.list_tags(Resource=ARN)["Tags"] == {"b": "2"}
    assert client.get_function(FunctionName="area")["Tags"] == {"b": "2"}
    client.untag_resource(Resource=ARN, TagKeys=["b"])
    assert "Tags" not in client.get_function(FunctionName="area")
    many = {f"k{n}": "" for n in range(51)}
    assert (
        "exceeds resource tag limit"
        in refusal(world, client.tag_resource, Resource=ARN, Tags=many)[2]
    )
    version = refusal(world, client.list_tags, Resource=ARN + ":1")
    assert version[2].startswith("Tags on function aliases and versions are not supported.")
    assert refusal(world, client.list_tags, Resource=ARN + "x")[0] == 404


def test_tags_do_not_count_as_an_update(world: World, client: Any, function: str) -> None:
    before = client.get_function_configuration(FunctionName="area")
    client.tag_resource(Resource=ARN, Tags={"a": "1"})
    after = client.get_function_configuration(FunctionName="area")
    assert after["LastUpdateStatus"] == "Successful"
    assert after["LastModified"] == before["LastModified"]
    assert after["RevisionId"] != before["RevisionId"]


def test_reserved_concurrency(world: World, client: Any, function: str) -> None:
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(
        FunctionName="area"
    )
    put = client.put_function_concurrency
    assert put(FunctionName="area", ReservedConcurrentExecutions=900)
    found = client.get_function(FunctionName="area")["Concurrency"]
    assert found == {"ReservedConcurrentExecutions": 900}
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["UnreservedConcurrentExecutions"] == 100
    assert refusal(world, put, FunctionName="area", ReservedConcurrentExecutions=901)[0] == 400
    assert set(world.error()) == {"message"}
    qualified = refusal(world, put, FunctionName="area:1", ReservedConcurrentExecutions=1)
    assert qualified[2].startswith("This operation is permitted on Lambda functions only.")
    client.delete_function_concurrency(FunctionName="area")
    client.delete_function_concurrency(FunctionName="area")


def test_account_settings(client: Any, function: str) -> None:
    answer = client.get_account_settings()
    assert answer["AccountUsage"] == {"TotalCodeSize": len(make_zip()), "FunctionCount": 1}


def test_no_code_signing_config(client: Any, function: str) -> None:
    answer = client.get_function_code_signing_config(FunctionName="area")
    assert "CodeSigningConfigArn" not in answer


# --- event invoke configs -------------------------------------------------------------------------


def test_event_invoke_configs(world: World, client: Any, function: str) -> None:
    name = {"FunctionName": "area"}
    none = refusal(world, client.get_function_event_invoke_config, **name)
    assert none[2] == f"The function {ARN}:$LATEST doesn't have an EventInvokeConfig"
    put = client.put_function_event_invoke_config
    empty = refusal(world, put, **name)
    assert empty[2] == "You must specify at least one of error handling or destination setting."
    made = put(**name, MaximumRetryAttempts=1)
    assert (made["FunctionArn"], made["MaximumRetryAttempts"]) == (ARN + ":$LATEST", 1)
    assert made["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    target = f"arn:aws:sqs:{REGION}:{ACCOUNT}:failed"
    merged = client.update_function_event_invoke_config(
        **name, DestinationConfig={"OnFailure": {"Destination": target}}
    )
    assert merged["MaximumRetryAttempts"] == 1
    assert merged["DestinationConfig"]["OnFailure"] == {"Destination": target}
    replaced = put(**name, MaximumEventAgeInSeconds=60)
    assert "MaximumRetryAttempts" not in replaced
    assert replaced["DestinationConfig"]["OnFailure"] == {}
    assert len(client.list_function_event_invoke_configs(**name)["FunctionEventInvokeConfigs"]) == 1
    itself = refusal(world, put, **name, DestinationConfig={"OnSuccess": {"Destination": ARN}})
    assert itself[2] == "You can't specify the function as a destination for itself."
    client.delete_function_event_invoke_config(**name)
    assert "eventInvokeConfig" not in world.kube.all(FUNCTION)[0]["spec"]


# --- invoke ---------------------------------------------------------------------------------------


def test_invoke(world: World, client: Any) -> None:
    world.invoker.answer = InvokeAnswer(
        payload=b'{"errorMessage":"x"}', executed_version="3", function_error="Unhandled",
        log_tail=b"END",
    )  # fmt: skip
    answer = client.invoke(
        FunctionName="area", Qualifier="live", Payload=b'{"a":1}', LogType="Tail",
        ClientContext=base64.b64encode(b'{"k": "v"}').decode(),
    )  # fmt: skip
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    assert answer["ExecutedVersion"] == "3"
    assert base64.b64decode(answer["LogResult"]) == b"END"
    assert answer["Payload"].read() == b'{"errorMessage":"x"}'
    trace = world.invoker.requests[0].trace_id
    assert re.fullmatch(
        r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", trace or ""
    )
    assert world.invoker.requests == [
        InvokeRequest(
            namespace="default", function_name="area", qualifier="live",
            invoked_arn=ARN + ":live", payload=b'{"a":1}',
            request_id=answer["ResponseMetadata"]["RequestId"], log_tail=True,
            client_context='{"k":"v"}', trace_id=trace,
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("members", "status", "code", "text"),
    [
        # quoted in public logs, by SDKs and (with the body) by function URLs
        ({"Payload": b" " * 6291457}, 413, "RequestEntityTooLargeException",
         "Request must be smaller than 6291456 bytes for the InvokeFunction operation"),
        ({"InvocationType": "Event", "Payload": b" " * 6291457}, 413,
         "RequestEntityTooLargeException",
         "Request must be smaller than 6291456 bytes for the InvokeFunction operation"),
        ({"InvocationType": "Later"}, 400, "ValidationException",
         ("1 validation error detected: Value 'Later' at 'invocationType' failed to satisfy "
          "constraint: Member must satisfy enum value set: [Event, RequestResponse, DryRun]")),
        ({"InvocationType": "Event", "Payload": b" " * 1048577}, 413,
         "RequestEntityTooLargeException",
         "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"),
        ({"ClientContext": "W10="}, 400, "InvalidRequestContentException",
         "Client context must be a valid Base64-encoded JSON object."),
    ],
)  # fmt: skip
def test_invoke_refusals(
    world: World, client: Any, members: dict[str, Any], status: int, code: str, text: str
) -> None:
    found = refusal(world, client.invoke, FunctionName="area", **members)
    assert found == (status, code, text)
    assert world.invoker.requests == []


def test_a_dry_run_answers_204(client: Any) -> None:
    assert client.invoke(FunctionName="area", InvocationType="DryRun")["StatusCode"] == 204


def test_a_throttle_has_reason_and_type(
    world: World, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_: InvokeRequest) -> InvokeAnswer:
        raise throttled(REASON_RESERVED)

    monkeypatch.setattr(world.invoker, "invoke", full)
    assert refusal(world, client.invoke, FunctionName="area")[:2] == (
        429, "TooManyRequestsException",
    )  # fmt: skip
    assert world.error()["Reason"] == REASON_RESERVED
    assert world.error()["Type"] == "User"


def test_what_nobody_foresaw_is_a_service_exception(
    world: World, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: InvokeRequest) -> InvokeAnswer:
        raise ZeroDivisionError

    monkeypatch.setattr(world.invoker, "invoke", broken)
    assert refusal(world, client.invoke, FunctionName="area")[:2] == (500, "ServiceException")
    assert world.last is not None
    assert "x-amzn-RequestId" in world.last.headers


# --- everything else ------------------------------------------------------------------------------


def test_other_services_are_refused(world: World) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        world.client("sqs").list_queues()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert world.last is not None
    assert world.last.headers["x-amzn-ErrorType"] == "InvalidSignatureException"
    assert json.loads(world.last.body) == {  # S: published by users of Lambda
        "message": "Credential should be scoped to correct service: 'lambda'. "
    }


def test_operations_that_are_not_there_say_so(world: World, client: Any) -> None:
    status, code, text = refusal(
        world, client.get_durable_execution_state, CheckpointToken="dG9rZW4=",
        DurableExecutionArn=f"{ARN}:1/durable-execution/e/12345678-1234-1234-1234-123456789012",
    )  # fmt: skip
    assert (status, code) == (400, "InvalidParameterValueException")
    assert text == "The operation GetDurableExecutionState is not supported by this installation."


def test_unsigned_requests(world: World) -> None:
    signable = Signable(method="GET", path=b"/2015-03-31/functions", query=b"", headers=[])
    answer = world.send(RawRequest(signable=signable, body=b"", base_url=""))
    assert answer.status == 403
    assert json.loads(answer.body) == {"message": "Missing Authentication Token"}
    assert answer.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


def test_unknown_keys(world: World) -> None:
    found = refusal(world, world.client(key_id="AKIANOPE").list_functions)
    assert found == (
        403,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )


# --- function URLs --------------------------------------------------------------------------------


def test_function_urls(world: World, client: Any, versions: str) -> None:
    name = {"FunctionName": "area"}
    none = refusal(world, client.get_function_url_config, **name)
    assert none[::2] == (404, "The resource you requested does not exist.")
    create = client.create_function_url_config
    made = create(**name, AuthType="NONE", Cors={"AllowOrigins": ["*"], "MaxAge": 5})
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert "LastModifiedTime" not in made
    assert (made["FunctionArn"], made["InvokeMode"]) == (ARN, "BUFFERED")
    host = made["FunctionUrl"].removeprefix("http://").removesuffix(":8080/")
    assert host.partition(".")[2] == f"lambda-url.{REGION}.localhost"
    assert len(host.partition(".")[0]) == 32
    assert world.kube.all(FUNCTION)[0]["spec"]["url"]["public"] is False
    again = refusal(world, create, **name, AuthType="NONE")
    assert again == (
        409,
        "ResourceConflictException",
        (
            f"Failed to create function url config for [functionArn = {ARN}]. Error message:  "
            "FunctionUrlConfig exists for this Lambda function"
        ),
    )
    changed = client.update_function_url_config(
        **name, AuthType="AWS_IAM", Cors={"AllowMethods": ["GET"], "AllowOrigins": ["*"]}
    )
    assert changed["FunctionUrl"] == made["FunctionUrl"]
    assert changed["AuthType"] == "AWS_IAM"
    assert changed["Cors"] == {"AllowMethods": ["GET"], "AllowOrigins": ["*"]}
    assert changed["LastModifiedTime"]
    nobody: tuple[dict[str, Any], ...] = ({"AllowMethods": ["GET"]}, {"AllowOrigins": []})
    for cors in nobody:  # recorded in anomalyco/ion#229
        assert refusal(world, client.update_function_url_config, **name, Cors=cors) == (
            400, "InvalidParameterValueException",
            "You can't leave AllowOrigins as empty when Cors is enabled.",
        )  # fmt: skip
    mixed = {"AllowOrigins": ["*"], "AllowMethods": ["GET", "*"]}  # recorded in a deployment's log
    assert refusal(world, client.update_function_url_config, **name, Cors=mixed)[2] == (
        "You can't specify additional fields for AllowMethods because you already specified the "
        "wildcard character (*)."
    )
    assert "Cors" not in client.update_function_url_config(**name, Cors={})
    client.create_alias(**name, Name="live", FunctionVersion="1")
    theirs = create(**name, Qualifier="live", AuthType="AWS_IAM")
    assert theirs["FunctionArn"] == ARN + ":live"
    assert theirs["FunctionUrl"] != made["FunctionUrl"]
    assert len(client.list_function_url_configs(**name)["FunctionUrlConfigs"]) == 2
    client.delete_function_url_config(**name)
    assert refusal(world, client.delete_function_url_config, **name)[0] == 404
    wrong = refusal(world, create, **name, Qualifier="1", AuthType="NONE")
    assert wrong[:2] == (400, "ValidationException")
    missing = refusal(world, create, FunctionName="nope", AuthType="NONE")
    assert missing[::2] == (404, "Function does not exist")
