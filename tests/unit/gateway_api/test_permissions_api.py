"""Permissions at work: a public URL's implied statements, and invocations across accounts."""

from __future__ import annotations

import json
from typing import Any

import botocore.exceptions
import pytest

from klambda_core.kinds import FUNCTION
from klambda_gateway.routing.facts import alias_facts, function_facts
from tests.unit.gateway_api.fakes import ACCOUNT, REGION, World

OTHER = "222222222222"
TEAM = "team"
ARN = f"arn:aws:lambda:{REGION}:{OTHER}:function:theirs"
GRANT = {"sid": "b", "action": "lambda:InvokeFunction", "principal": ACCOUNT}
URL_GRANT = GRANT | {"invokedViaFunctionUrl": True}
SIDS = ["FunctionURLAllowPublicAccess", "FunctionURLInvokeAllowPublicAccess"]


# --- a public URL, as YAML makes it -------------------------------------------------------------


def spec(world: World) -> dict[str, Any]:
    (function,) = world.kube.all(FUNCTION)
    found: dict[str, Any] = function["spec"]
    return found


def sids(client: Any) -> list[str]:
    policy = json.loads(client.get_policy(FunctionName="area")["Policy"])
    return [each["Sid"] for each in policy["Statement"]]


def test_a_public_url_stands_for_two_statements_that_can_be_removed(
    world: World, client: Any, function: str
) -> None:
    spec(world)["url"] = {"authType": "NONE", "invokeMode": "BUFFERED", "public": True}
    policy = json.loads(client.get_policy(FunctionName="area")["Policy"])
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"
    assert policy["Statement"] == [
        {
            "Sid": SIDS[0],
            "Effect": "Allow",
            "Principal": "*",
            "Action": "lambda:InvokeFunctionUrl",
            "Resource": arn,
            "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
        },
        {
            "Sid": SIDS[1],
            "Effect": "Allow",
            "Principal": "*",
            "Action": "lambda:InvokeFunction",
            "Resource": arn,
            "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        },
    ]
    given = {"FunctionName": "area", "Action": "lambda:InvokeFunction", "Principal": OTHER}
    with pytest.raises(client.exceptions.ResourceConflictException):
        client.add_permission(**given, StatementId=SIDS[0])
    client.add_permission(**given, StatementId="mine")
    assert sids(client) == ["mine", *SIDS]
    client.remove_permission(FunctionName="area", StatementId=SIDS[0])
    assert sids(client) == ["mine", SIDS[1]]
    assert spec(world)["url"]["public"] is False
    client.remove_permission(FunctionName="area", StatementId=SIDS[1])
    client.remove_permission(FunctionName="area", StatementId="mine")
    assert "policy" not in spec(world)


OWN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"


def statement(**members: Any) -> dict[str, Any]:
    given = {
        "Sid": "s",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:InvokeFunction",
        "Resource": OWN,
    }
    return {key: value for key, value in (given | members).items() if value is not None}


def test_a_whole_policy_replaces_what_was_there(world: World, client: Any, function: str) -> None:
    client.add_permission(
        FunctionName="area", StatementId="old", Action="lambda:InvokeFunction", Principal=OTHER
    )
    before = client.get_policy(FunctionName="area")["RevisionId"]
    statements = [
        statement(Sid="a", Principal={"AWS": f"arn:aws:iam::{OTHER}:root"}),
        statement(
            Sid="b",
            Principal={"Service": "s3.amazonaws.com"},
            Condition={
                "StringEquals": {"AWS:SourceAccount": OTHER},
                "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"},
            },
        ),
        statement(Sid="c", Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
    ]
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    answer = client.put_resource_policy(
        ResourceArn=OWN, Policy=json.dumps(policy), RevisionId=before
    )
    assert json.loads(answer["Policy"]) == policy
    found = client.get_policy(FunctionName="area")
    assert (found["Policy"], found["RevisionId"]) == (answer["Policy"], answer["RevisionId"])
    assert found["RevisionId"] != before
    with pytest.raises(client.exceptions.PreconditionFailedException):
        client.put_resource_policy(ResourceArn=OWN, Policy=json.dumps(policy), RevisionId=before)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.put_resource_policy(
            ResourceArn=f"{OWN}:9",
            Policy=json.dumps({"Statement": statement(Resource=f"{OWN}:9")}),
        )
    spec(world)["url"] = {"authType": "NONE", "invokeMode": "BUFFERED", "public": True}
    one = {"Statement": statement(Sid=None, Action=["lambda:InvokeFunction"], Resource=[OWN])}
    client.put_resource_policy(ResourceArn=OWN, Policy=json.dumps(one))
    assert sids(client) == ["Statement1"]
    assert spec(world)["url"]["public"] is False


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ("{", "it is not JSON"),
        ("[]", "an element is no object"),
        ("{}", "an element is no object"),
        ({"Statement": []}, "it has no statements"),
        ({"Statement": [statement(), statement()]}, "the statement id s is there twice"),
        ({"Statement": statement(), "Other": 1}, "the element Other is not supported here"),
        ({"Statement": statement(NotAction="*")}, "the element NotAction is not supported here"),
        ({"Statement": statement(Effect="Deny")}, "only have the Effect Allow"),
        ({"Statement": statement(Resource="*")}, f"Resource is not {OWN}"),
        ({"Statement": statement(Action=["a", "b"])}, "Action is not one text"),
        ({"Statement": statement(Action="s3:Get")}, "action is not valid"),
        ({"Statement": statement(Principal={"Federated": "x"})}, "Principal is not *"),
        ({"Statement": statement(Principal={"AWS": ["a", "b"]})}, "Principal is not one text"),
        ({"Statement": statement(Condition={"IpAddress": {"aws:SourceIp": "1"}})},
         "the condition IpAddress aws:SourceIp is not supported here"),
        ({"Statement": statement(Condition={"Bool": {"lambda:InvokedViaFunctionUrl": "x"}})},
         "neither true nor false"),
        ({"Statement": statement(Principal={"AWS": "nobody"})}, "principal was invalid"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_kept_is_refused_by_name(
    client: Any, function: str, policy: Any, text: str
) -> None:
    given = policy if isinstance(policy, str) else json.dumps(policy)
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        client.put_resource_policy(ResourceArn=OWN, Policy=given)
    assert text in caught.value.response["Error"]["Message"]


def test_a_whole_policy_is_read_and_deleted_by_arn(
    world: World, client: Any, function: str
) -> None:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"
    spec(world)["url"] = {"authType": "NONE", "invokeMode": "BUFFERED", "public": True}
    client.add_permission(
        FunctionName="area", StatementId="s", Action="lambda:InvokeFunction", Principal=OTHER
    )
    found = client.get_resource_policy(ResourceArn=arn)
    assert found["Policy"] == client.get_policy(FunctionName="area")["Policy"]
    wrong = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(client.exceptions.PreconditionFailedException):
        client.delete_resource_policy(ResourceArn=arn, RevisionId=wrong)
    client.delete_resource_policy(ResourceArn=arn, RevisionId=found["RevisionId"])
    assert (spec(world).get("policy"), spec(world)["url"]["public"]) == (None, False)
    assert world.last is not None
    assert world.last.status == 204
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_resource_policy(ResourceArn=arn)


@pytest.mark.parametrize(
    "url", [{"authType": "NONE", "public": False}, {"authType": "AWS_IAM", "public": True}]
)
def test_other_urls_stand_for_none(
    world: World, client: Any, function: str, url: dict[str, Any]
) -> None:
    spec(world)["url"] = url
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_policy(FunctionName="area")


def test_opening_a_url_through_the_api_takes_permissions(
    world: World, client: Any, function: str
) -> None:
    spec(world)["url"] = {"authType": "AWS_IAM", "invokeMode": "BUFFERED", "public": True}
    client.update_function_url_config(FunctionName="area", InvokeMode="RESPONSE_STREAM")
    assert spec(world)["url"]["public"] is True
    client.update_function_url_config(FunctionName="area", AuthType="NONE")
    assert spec(world)["url"]["public"] is False


# --- across accounts ----------------------------------------------------------------------------


@pytest.fixture
def theirs(world: World) -> World:
    world.others[OTHER] = TEAM
    return world


def grant(world: World, *policy: dict[str, Any], alias: tuple[dict[str, Any], ...] = ()) -> None:
    meta = {"namespace": TEAM, "name": "theirs", "uid": "u"}
    facts = function_facts({"metadata": meta, "spec": {"policy": list(policy)}})
    world.table.change_function(None, facts)
    meta = {"namespace": TEAM, "name": "theirs-a-live", "uid": "a"}
    live = {"functionRef": "theirs", "name": "live", "functionVersion": "1", "policy": list(alias)}
    world.table.change_alias(None, alias_facts({"metadata": meta, "spec": live}))


def refused(world: World, client: Any, arn: str = ARN, **more: Any) -> str:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.invoke(FunctionName=arn, **more)
    error = caught.value.response["Error"]
    assert world.last is not None
    assert (world.last.status, error["Code"]) == (403, "AccessDeniedException")
    assert world.invoker.requests == []
    message: str = error["Message"]
    return message


def test_the_policy_lets_another_account_invoke(theirs: World, client: Any) -> None:
    grant(theirs, GRANT)
    for name in (ARN, f"{OTHER}:function:theirs", f"{ARN}:$LATEST"):
        assert client.invoke(FunctionName=name)["StatusCode"] == 200
    first = theirs.invoker.requests[0]
    assert (first.namespace, first.function_name, first.invoked_arn) == (TEAM, "theirs", ARN)
    assert client.invoke(FunctionName=ARN, InvocationType="DryRun")["StatusCode"] == 204
    assert client.invoke(FunctionName=ARN, InvocationType="Event")["StatusCode"] == 202
    (event,) = theirs.events.events
    assert (event.namespace, event.arn) == (TEAM, ARN)


@pytest.mark.parametrize(
    "policy",
    [
        [],
        [GRANT | {"principal": "333333333333"}],
        [GRANT | {"action": "lambda:GetFunction"}],
        [GRANT | {"sourceAccount": ACCOUNT}],  # a key is no service: it vouches for no source
        [URL_GRANT],
    ],
)
def test_without_permission_awss_403(
    theirs: World, client: Any, policy: list[dict[str, Any]]
) -> None:
    grant(theirs, *policy)
    assert refused(theirs, client) == (
        f"User: arn:aws:iam::{ACCOUNT}:user/klambda-admin is not authorized to perform: "
        f"lambda:InvokeFunction on resource: {ARN} because no resource-based policy allows the "
        "lambda:InvokeFunction action"
    )


def test_each_qualifier_has_its_own_policy(theirs: World, client: Any) -> None:
    grant(theirs, alias=(GRANT,))
    assert client.invoke(FunctionName=ARN, Qualifier="live")["StatusCode"] == 200
    theirs.invoker.requests.clear()
    assert f"{ARN} because" in refused(theirs, client)
    assert f"{ARN}:1 because" in refused(theirs, client, Qualifier="1")


def test_what_is_not_there_reads_like_what_is_forbidden(theirs: World, client: Any) -> None:
    grant(theirs, GRANT)
    assert "no resource-based policy" in refused(theirs, client, ARN + "x")
    nobody = ARN.replace(OTHER, "444444444444")
    assert "no resource-based policy" in refused(theirs, client, nobody)


def test_other_operations_stay_within_the_account(theirs: World, client: Any) -> None:
    grant(theirs, GRANT | {"action": "lambda:*"})
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client.get_function(FunctionName=ARN)
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


def test_abroad_takes_the_right_to_invoke_at_home_too(theirs: World, client: Any) -> None:
    grant(theirs, GRANT)
    theirs.rights.taken.add("lambda:InvokeFunction")
    assert "no identity-based policy" in refused(theirs, client)


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [
        (f"arn:aws:iam::{ACCOUNT}:user/klambda-admin", True),
        ("*", True),
        (ACCOUNT, False),  # leaves the matter to RBAC
        (f"arn:aws:iam::{ACCOUNT}:user/other", False),
    ],
)
def test_at_home_a_statement_lets_in_whom_rbac_does_not(
    world: World, client: Any, principal: str, allowed: bool
) -> None:
    world.rights.taken.add("lambda:InvokeFunction")
    meta = {"namespace": "default", "name": "area", "uid": "u"}
    policy = [GRANT | {"principal": principal}]
    world.table.change_function(
        None, function_facts({"metadata": meta, "spec": {"policy": policy}})
    )
    if allowed:
        assert client.invoke(FunctionName="area")["StatusCode"] == 200
    else:
        assert "no identity-based policy" in refused(world, client, "area")


def test_ones_own_arn_needs_no_policy(world: World, client: Any) -> None:
    own = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"
    assert client.invoke(FunctionName=own)["StatusCode"] == 200
