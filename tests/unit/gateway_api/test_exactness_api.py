"""Row by row: what AWS answers, where clients and recorded requests look closely.

Sources: contract = aws-contract with its section; others as named beside the row.
"""

from __future__ import annotations

import json
import re
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import pytest

from klambda_core import errors
from klambda_gateway.api.absent import ABSENT
from klambda_gateway.api.model import MODEL
from tests.unit.gateway_api.fakes import (
    ACCOUNT,
    KEY_ID,
    REGION,
    ROLE,
    SECRET,
    World,
    make_zip,
    raw_request,
)
from tests.unit.gateway_api.test_operations_api import refusal, touch

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"
NAME = {"FunctionName": "area"}
SERVICE = botocore.session.get_session().get_service_model("lambda")


@pytest.fixture
def versions(world: World, client: Any, function: str) -> str:
    """A function with version 1, changed since, and alias live → 1."""
    client.publish_version(**NAME)
    world.kube.settle()
    client.create_alias(**NAME, Name="live", FunctionVersion="1")
    touch(world, client, 4)
    return function


# --- what cannot exist here (contract a.1b, P2) ---------------------------------------------------

ARGUMENTS: dict[str, Any] = {
    "CapacityProviderName": "p",
    "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": []},
    "PermissionsConfig": {"CapacityProviderOperatorRoleArn": ROLE},
    "DurableExecutionArn": f"{ARN}:1/durable-execution/e/12345678-1234-1234-1234-123456789012",
    "CheckpointToken": "dG9rZW4=",
    "CallbackId": "Y2FsbGJhY2s=",
    "FunctionName": "area",
    "Qualifier": "1",
    "ResourceArn": ARN,
    "Policy": "{}",
}
EMPTY = {"ListCapacityProviders", "ListDurableExecutionsByFunction"}


def arguments(operation: str) -> dict[str, Any]:
    shape = MODEL.shapes[MODEL.operations[operation].input or ""]
    return {name: ARGUMENTS[name] for name in shape.required}


@pytest.mark.parametrize("operation", sorted(set(ABSENT) - EMPTY))
def test_what_cannot_exist_is_refused_in_words_that_sdks_bind(
    world: World, client: Any, versions: str, operation: str
) -> None:
    call = getattr(client, botocore.xform_name(operation))
    status, code, _ = refusal(world, call, **arguments(operation))
    assert 400 <= status < 500
    assert code in {shape.name for shape in SERVICE.operation_model(operation).error_shapes}
    assert world.error()["Type"] == "User"


@pytest.mark.parametrize("operation", sorted(EMPTY))
def test_lists_of_what_cannot_exist_are_empty(client: Any, versions: str, operation: str) -> None:
    answer = getattr(client, botocore.xform_name(operation))(**arguments(operation))
    assert [value for key, value in answer.items() if key != "ResponseMetadata"] == [[]]


def test_resource_policies_are_read_by_arn(world: World, client: Any, versions: str) -> None:
    client.add_permission(
        **NAME, StatementId="s", Action="lambda:InvokeFunction", Principal="*", Qualifier="live"
    )
    by_name = client.get_policy(**NAME, Qualifier="live")
    by_arn = client.get_resource_policy(ResourceArn=ARN + ":live")
    assert (by_arn["Policy"], by_arn["RevisionId"]) == (by_name["Policy"], by_name["RevisionId"])
    assert refusal(world, client.get_resource_policy, ResourceArn=ARN)[0] == 404


# --- RevisionId (contract e, j.4; aws/aws-sdk#377) ------------------------------------------------


def revision(client: Any, **more: str) -> str:
    found: str = client.get_function_configuration(**NAME, **more)["RevisionId"]
    return found


def test_every_change_has_its_revision(world: World, client: Any) -> None:
    made = client.create_function(
        **NAME, Runtime="python3.13", Handler="a.b", Role=ROLE, Code={"ZipFile": make_zip()}
    )
    seen = [made["RevisionId"]]
    world.kube.settle()
    seen.append(revision(client))
    seen.append(client.update_function_code(**NAME, ZipFile=make_zip("x = 2\n"))["RevisionId"])
    world.kube.settle()
    seen.append(revision(client))
    seen.append(client.update_function_configuration(**NAME, Timeout=9)["RevisionId"])
    world.kube.settle()
    seen.append(revision(client))
    client.tag_resource(Resource=ARN, Tags={"a": "b"})
    seen.append(revision(client))
    client.add_permission(
        **NAME, StatementId="s", Action="lambda:InvokeFunction", Principal="*",
        RevisionId=seen[-1],
    )  # fmt: skip
    seen.append(revision(client))
    assert client.get_policy(**NAME)["RevisionId"] == seen[-1]
    client.publish_version(**NAME, RevisionId=seen[-1])
    seen.append(revision(client))
    client.publish_version(**NAME)
    assert revision(client) == seen[-1], "nothing was published"
    assert len(set(seen)) == len(seen)
    assert revision(client, Qualifier="1") not in seen
    stale = refusal(world, client.update_function_code, **NAME, ZipFile=make_zip(),
                    RevisionId=seen[0])  # fmt: skip
    assert stale == (
        412, "PreconditionFailedException",
        ("The Revision Id provided does not match the latest Revision Id. Call the "
        "GetFunction/GetAlias API to retrieve the latest Revision Id"),
    )  # fmt: skip
    assert world.error()["Type"] == "User"


def test_changes_that_meet(world: World, client: Any, function: str) -> None:
    """Recorded in adobe/helix-deploy#83 and serverless/serverless#4964."""
    world.kube.conflicts = 1_000
    assert refusal(world, client.update_function_configuration, **NAME, Timeout=8) == (
        409, "ResourceConflictException",
        "The function could not be updated due to a concurrent update operation.",
    )  # fmt: skip
    assert world.error()["Type"] == "User"


def test_permissions_name_the_policy_as_what_to_read(
    world: World, client: Any, versions: str
) -> None:
    stale = "00000000-0000-0000-0000-000000000000"
    given = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"}
    add = refusal(world, client.add_permission, **NAME, **given, RevisionId=stale)
    assert add[2].endswith("Call the GetPolicy API to retrieve the latest Revision Id")
    client.add_permission(**NAME, **given)
    remove = refusal(world, client.remove_permission, **NAME, StatementId="s", RevisionId=stale)
    assert remove[0] == 412


def test_an_alias_has_its_own_revisions(world: World, client: Any, versions: str) -> None:
    before = client.get_alias(**NAME, Name="live")["RevisionId"]
    touch(world, client, 77)
    assert client.get_alias(**NAME, Name="live")["RevisionId"] == before
    after = client.update_alias(**NAME, Name="live", Description="d", RevisionId=before)
    assert after["RevisionId"] != before
    assert refusal(world, client.update_alias, **NAME, Name="live", RevisionId=before)[0] == 412


# --- names and qualifiers (contract a.3) ----------------------------------------------------------

LONG = "a" * 171
ARABIC = (
    "arn:aws:iam::\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661:role/r"
)
"""Digits, but none of Java's."""


def test_digits_are_ascii(world: World, client: Any, function: str) -> None:
    found = refusal(world, client.update_function_configuration, **NAME, Role=ARABIC)
    assert found[1] == "ValidationException"


@pytest.mark.parametrize(
    ("operation", "members", "status", "code", "text"),
    [
        ("get_function", {"FunctionName": LONG}, 400, "ValidationException",
         (f"1 validation error detected: Value '{LONG}' at 'functionName' failed to satisfy "
         "constraint: Member must have length less than or equal to 170")),
        ("delete_function", {"FunctionName": "a" * 141}, 400, "ValidationException",
         (f"1 validation error detected: Value '{'a' * 141}' at 'functionName' failed to satisfy "
         "constraint: Member must have length less than or equal to 140")),
        ("get_function", {**NAME, "Qualifier": "1", "FunctionName": "area:2"}, 400,
         "InvalidParameterValueException",
         "The derived qualifier from the function name does not match the specified qualifier."),
        ("get_function", {**NAME, "Qualifier": "9"}, 404, "ResourceNotFoundException",
         f"Function not found: {ARN}:9"),
        *(
            ("create_alias", {**NAME, "Name": "x", "FunctionVersion": version, **more}, 404,
             "ResourceNotFoundException", f"Function not found: {ARN}:{missing}")
            for version, missing, more in (
                ("9", "9", {}), ("01", "01", {}), ("$LATEST.PUBLISHED", "$LATEST.PUBLISHED", {}),
                ("1", "01", {"RoutingConfig": {"AdditionalVersionWeights": {"01": 0.5}}}),
            )
        ),
        ("update_alias", {**NAME, "Name": "live", "FunctionVersion": "$LATEST.PUBLISHED"}, 404,
         "ResourceNotFoundException", f"Function not found: {ARN}:$LATEST.PUBLISHED"),
        ("get_function", {**NAME, "Qualifier": "01"}, 404, "ResourceNotFoundException",
         f"Function not found: {ARN}:01"),
        ("get_function", {**NAME, "Qualifier": "nope"}, 404, "ResourceNotFoundException",
         f"Function not found: {ARN}:nope"),
        ("get_function", {"FunctionName": ARN.replace(REGION, "eu-west-1")}, 404,
         "ResourceNotFoundException",
         f"Functions from 'eu-west-1' are not reachable in this region ('{REGION}')"),
        ("get_function", {"FunctionName": "nope"}, 404, "ResourceNotFoundException",
         f"Function not found: {ARN.replace('area', 'nope')}"),
        ("get_function_configuration", {"FunctionName": "nope", "Qualifier": "1"}, 404,
         "ResourceNotFoundException", f"Function not found: {ARN.replace('area', 'nope')}:1"),
        ("delete_function", {"FunctionName": "nope"}, 404, "ResourceNotFoundException",
         f"Function not found: {ARN.replace('area', 'nope')}"),
        ("delete_function", {**NAME, "Qualifier": "$LATEST"}, 400,
         "InvalidParameterValueException",
         "$LATEST version cannot be deleted without deleting the function."),
        ("delete_function", {**NAME, "Qualifier": "live"}, 400, "InvalidParameterValueException",
         "Deletion of aliases is not currently supported."),
        # recorded in karl-cardenas-coding/go-lambda-cleanup#45
        ("delete_function", {**NAME, "Qualifier": "1"}, 409, "ResourceConflictException",
         "Unable to delete version because the following aliases reference it: [live]"),
        # recorded in appleboy/lambda-action#6
        ("update_function_code", {"FunctionName": "area:1", "ZipFile": make_zip()}, 400,
         "InvalidParameterValueException",
         ("Current operation does not support versions other than $LATEST. Please set the version "
         "to $LATEST or do not set a version in your request.")),
        ("update_function_configuration", {"FunctionName": ARN + ":live", "Timeout": 5}, 400,
         "InvalidParameterValueException",
         ("Current operation does not support versions other than $LATEST. Please set the version "
         "to $LATEST or do not set a version in your request.")),
        ("publish_version", {"FunctionName": "area:1"}, 400, "InvalidParameterValueException",
         ("Current operation does not support versions other than $LATEST. Please set the version "
         "to $LATEST or do not set a version in your request.")),
        ("list_versions_by_function", {"FunctionName": "nope"}, 404, "ResourceNotFoundException",
         f"Function not found: {ARN.replace('area', 'nope')}"),
        ("get_alias", {**NAME, "Name": "nope"}, 404, "ResourceNotFoundException",
         f"Cannot find alias arn: {ARN}:nope"),
        ("add_permission", {**NAME, "Qualifier": "nope", "StatementId": "s",
                            "Action": "lambda:InvokeFunction", "Principal": "*"}, 404,
         "ResourceNotFoundException", f"Cannot find alias arn: {ARN}:nope"),
        ("add_permission", {**NAME, "Qualifier": "9", "StatementId": "s",
                            "Action": "lambda:InvokeFunction", "Principal": "*"}, 404,
         "ResourceNotFoundException", f"Function not found: {ARN}:9"),
        ("get_policy", NAME, 404, "ResourceNotFoundException",
         "The resource you requested does not exist."),
        # a.3: GetPolicy looks for a policy, not for a function
        ("get_policy", {"FunctionName": "nope"}, 404, "ResourceNotFoundException",
         "The resource you requested does not exist."),
        ("get_policy", {**NAME, "Qualifier": "9"}, 404, "ResourceNotFoundException",
         "The resource you requested does not exist."),
        ("get_policy", {**NAME, "Qualifier": "nope"}, 404, "ResourceNotFoundException",
         f"Cannot find alias arn: {ARN}:nope"),
        ("delete_resource_policy", {"ResourceArn": ARN}, 404, "ResourceNotFoundException",
         "The resource you requested does not exist."),
        ("delete_resource_policy", {"ResourceArn": f"{ARN}:9"}, 404, "ResourceNotFoundException",
         "The resource you requested does not exist."),
        ("get_function_url_config", NAME, 404, "ResourceNotFoundException",
         "The resource you requested does not exist."),
        # API reference, FunctionUrlAuthType
        ("add_permission", {**NAME, "StatementId": "s", "Action": "lambda:InvokeFunction",
                            "Principal": "*", "FunctionUrlAuthType": "NONE"}, 400,
         "InvalidParameterValueException",
         "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"),
        ("update_function_configuration", {**NAME, "Runtime": "nodejs22.x",
                                           "SnapStart": {"ApplyOn": "PublishedVersions"}}, 400,
         "InvalidParameterValueException",
         "nodejs22.x is not supported for SnapStart enabled functions."),
        ("list_functions", {"MaxItems": 10001}, 400, "ValidationException",
         ("1 validation error detected: Value '10001' at 'maxItems' failed to satisfy constraint: "
         "Member must have value less than or equal to 10000")),
        ("list_functions", {"FunctionVersion": "invalid", "MaxItems": 0}, 400,
         "ValidationException",
         ("2 validation errors detected: Value 'invalid' at 'functionVersion' failed to satisfy "
         "constraint: Member must satisfy enum value set: [ALL]; Value '0' at 'maxItems' failed to "
         "satisfy constraint: Member must have value greater than or equal to 1")),
        ("untag_resource", {"Resource": ARN, "TagKeys": []}, 400, "ValidationException",
         ("1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: "
         "Member must not be null")),
        ("tag_resource", {"Resource": ARN, "Tags": {}}, 400, "InvalidParameterValueException",
         "An error occurred and the request cannot be processed."),
        ("tag_resource", {"Resource": ARN + ":live", "Tags": {"a": "b"}}, 400,
         "InvalidParameterValueException",
         "Tags on function aliases and versions are not supported. Please specify a function ARN."),
        ("put_function_concurrency", {"FunctionName": "area:live",
                                      "ReservedConcurrentExecutions": 1}, 400,
         "InvalidParameterValueException",
         ("This operation is permitted on Lambda functions only. Aliases and versions do not "
         "support this operation. Please specify either a function name or an unqualified "
         "function ARN.")),
    ],
)  # fmt: skip
def test_refusals(
    world: World, client: Any, versions: str, operation: str, members: dict[str, Any],
    status: int, code: str, text: str,
) -> None:  # fmt: skip
    assert refusal(world, getattr(client, operation), **members) == (status, code, text)
    type_member = errors.CATALOGUE[code].type_member
    assert world.error().get("Type") == type_member


def test_lists_of_replicas_at_the_edge_are_empty(client: Any, versions: str) -> None:
    listed = client.list_functions(FunctionVersion="ALL", MasterRegion="us-east-1")
    assert listed["Functions"] == []
    assert len(client.list_functions(FunctionVersion="ALL", MasterRegion="ALL")["Functions"]) == 2


def test_an_absent_version_of_a_function_is_deleted_all_the_same(
    client: Any, versions: str
) -> None:
    answer = client.delete_function(**NAME, Qualifier="9")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204


# --- destinations (contract c; serverless/serverless#10799) ---------------------------------------

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
BUCKET = "arn:aws:s3:::results"


def invalid(success: str, failure: str) -> str:
    return (
        f"The provided destination config DestinationConfig(onSuccess={success}, "
        f"onFailure={failure}) is invalid."
    )


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"OnSuccess": {"Destination": BUCKET}},
         invalid(f"OnSuccess(destination={BUCKET})", "null")),
        ({"OnFailure": {"Destination": QUEUE + ".fifo"}},
         invalid("null", f"OnFailure(destination={QUEUE}.fifo)")),
        ({"OnFailure": {"Destination": ARN + ":$LATEST"}},
         "You can't specify the function as a destination for itself."),
        ({"OnFailure": {"Destination": ARN + "x"}}, f"The destination ARN {ARN}x is invalid."),
    ],
)  # fmt: skip
def test_what_cannot_be_a_destination(
    world: World, client: Any, function: str, config: Any, text: str
) -> None:
    put = client.put_function_event_invoke_config
    found = refusal(world, put, **NAME, DestinationConfig=config)
    assert found == (400, "InvalidParameterValueException", text)


def test_who_names_a_function_as_a_destination_may_invoke_it(
    world: World, client: Any, function: str
) -> None:
    client.create_function(
        FunctionName="other", Runtime="python3.13", Handler="f.h", Role=ROLE,
        Code={"ZipFile": make_zip()},
    )  # fmt: skip
    put, other = client.put_function_event_invoke_config, ARN.replace(":area", ":other")
    config = {"OnSuccess": {"Destination": other}}
    world.rights.taken.add("lambda:InvokeFunction")
    status, code, _ = refusal(world, put, **NAME, DestinationConfig=config)
    assert (status, code) == (403, "AccessDeniedException")
    assert world.rights.asked[-1] == ("lambda:InvokeFunction", other)
    world.rights.taken.clear()
    assert put(**NAME, DestinationConfig=config)["DestinationConfig"]["OnSuccess"] == {
        "Destination": other
    }


def test_destinations_and_times_of_event_invoke_configs(client: Any, function: str) -> None:
    first = client.put_function_event_invoke_config(
        **NAME, DestinationConfig={"OnSuccess": {"Destination": QUEUE},
                                   "OnFailure": {"Destination": BUCKET}},
    )  # fmt: skip
    assert first["DestinationConfig"] == {
        "OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": BUCKET},
    }  # fmt: skip
    again = client.update_function_event_invoke_config(**NAME, MaximumRetryAttempts=0)
    assert again["LastModified"] >= first["LastModified"]
    assert again["FunctionArn"] == ARN + ":$LATEST"
    assert client.get_function_event_invoke_config(**NAME)["LastModified"] == again["LastModified"]


# --- policies (contract h) ------------------------------------------------------------------------


def test_policies_have_a_limit(world: World, client: Any, function: str) -> None:
    """Recorded in adobe/helix-deploy#24."""
    given = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    arn = "arn:aws:s3:::" + "b" * 2000
    for number in range(9):
        client.add_permission(**NAME, **given, StatementId=f"s{number}", SourceArn=arn)
    status, code, text = refusal(
        world, client.add_permission, **NAME, **given, StatementId="one-more", SourceArn=arn
    )
    assert (status, code) == (400, "PolicyLengthExceededException")
    size = re.fullmatch(
        r"The final policy size \((\d+)\) is bigger than the limit \(20480\)\.", text
    )
    assert size is not None
    assert int(size[1]) > 20480
    assert world.error()["Type"] == "User"


# --- times (contract a.1) -------------------------------------------------------------------------

LAMBDA_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000"
URL_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def test_how_times_are_spelt(world: World, client: Any, versions: str) -> None:
    assert re.fullmatch(LAMBDA_TIME, client.get_function_configuration(**NAME)["LastModified"])
    made = client.create_function_url_config(**NAME, AuthType="NONE")
    found = client.get_function_url_config(**NAME)
    changed = client.update_function_url_config(**NAME, AuthType="AWS_IAM")
    for answer in (found, changed):
        assert answer["CreationTime"] == made["CreationTime"]
        assert re.fullmatch(URL_TIME, answer["CreationTime"])
        assert re.fullmatch(URL_TIME, answer["LastModifiedTime"])
        assert answer["LastModifiedTime"] >= made["CreationTime"]


# --- ARNs of answers (contract a.3) ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "arn", "version"),
    [
        ({}, ARN, "$LATEST"),
        ({"Qualifier": "$LATEST"}, ARN + ":$LATEST", "$LATEST"),
        ({"Qualifier": "1"}, ARN + ":1", "1"),
        ({"Qualifier": "live"}, ARN + ":live", "1"),
        ({"FunctionName": "area:live"}, ARN + ":live", "1"),
        ({"FunctionName": ARN + ":1"}, ARN + ":1", "1"),
        ({"FunctionName": f"{ACCOUNT}:function:area:live"}, ARN + ":live", "1"),
        ({"FunctionName": f"{REGION}:{ACCOUNT}:function:area"}, ARN, "$LATEST"),
        ({"FunctionName": "function:area:1", "Qualifier": "1"}, ARN + ":1", "1"),
    ],
)
def test_the_arn_carries_the_qualifier_that_was_asked_for(
    client: Any, versions: str, asked: dict[str, str], arn: str, version: str
) -> None:
    for found in (
        client.get_function_configuration(**{**NAME, **asked}),
        client.get_function(**{**NAME, **asked})["Configuration"],
    ):
        assert (found["FunctionArn"], found["Version"]) == (arn, version)


def test_of_a_version_only_what_is_its_own_is_told(client: Any, versions: str) -> None:
    """API reference, GetFunction."""
    client.put_function_concurrency(**NAME, ReservedConcurrentExecutions=5)
    assert client.get_function(**NAME)["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    for qualifier in ("1", "live"):
        assert "Concurrency" not in client.get_function(**NAME, Qualifier=qualifier)


# --- what Terraform-like tools read at every refresh (contract a.1b) ------------------------------


def test_a_refresh_of_a_bare_function(world: World, client: Any, function: str) -> None:
    found = client.get_function(**NAME)
    assert {"Configuration", "Code"} == set(found) - {"ResponseMetadata"}
    absent = {"Environment", "Layers", "VpcConfig", "DeadLetterConfig", "FileSystemConfigs",
              "KMSKeyArn", "ImageConfigResponse", "MasterArn", "StateReason",
              "LastUpdateStatusReason"}  # fmt: skip
    assert not absent & set(found["Configuration"])
    assert [v["Version"] for v in client.list_versions_by_function(**NAME)["Versions"]] == [
        "$LATEST"
    ]
    for call, key in (
        (client.get_function_code_signing_config, "CodeSigningConfigArn"),
        (client.get_function_concurrency, "ReservedConcurrentExecutions"),
    ):
        assert key not in call(**NAME)
    assert client.list_tags(Resource=ARN)["Tags"] == {}
    assert client.list_aliases(**NAME)["Aliases"] == []
    assert client.list_function_event_invoke_configs(**NAME)["FunctionEventInvokeConfigs"] == []
    assert client.list_function_url_configs(**NAME)["FunctionUrlConfigs"] == []
    assert client.get_function_recursion_config(**NAME)["RecursiveLoop"] == "Terminate"
    assert client.get_runtime_management_config(**NAME)["UpdateRuntimeOn"] == "Auto"
    assert world.last is not None
    assert b"null" not in world.last.body


# --- headers (contract a.1) -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["area", "nope"])
def test_headers(world: World, client: Any, function: str, name: str) -> None:
    try:
        client.get_function(FunctionName=name)
    except client.exceptions.ResourceNotFoundException:
        assert world.last is not None
        assert world.last.headers["x-amzn-ErrorType"] == "ResourceNotFoundException"
    assert world.last is not None
    assert world.last.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f-]{36}", world.last.headers["x-amzn-RequestId"])
    json.loads(world.last.body)


# --- older clients (botocore 1.34.162 was tried) --------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/2015-03-31/functions/",
        "/2016-08-19/account-settings/",
        "/2015-03-31/event-source-mappings/",
        "/2020-04-22/code-signing-configs/",
    ],
)
def test_trailing_slashes_are_signed_and_served(world: World, path: str) -> None:
    request = botocore.awsrequest.AWSRequest(method="GET", url=f"http://klambda.test:8080{path}")
    credentials = botocore.credentials.Credentials(KEY_ID, SECRET)
    botocore.auth.SigV4Auth(credentials, "lambda", REGION).add_auth(request)
    answer = world.send(raw_request(request.prepare()))
    assert answer.status == 200, answer.body
