"""Provisioned concurrency, and what an account has left. Sources: aws-contract f, model."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from klambda_core.kinds import ALIAS, FUNCTION, VERSION
from klambda_gateway.api.dispatch import Dispatcher, RawAnswer, RawRequest
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
LIVE = {"FunctionName": "area", "Qualifier": "live"}


@pytest.fixture
def versions(world: World, client: Any, function: str) -> str:
    """A function with versions 1 and 2, and aliases live → 1 and pair → 2 and a bit of 1."""
    client.publish_version(FunctionName=function)
    touch(world, client, 4)
    client.publish_version(FunctionName=function)
    client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    client.create_alias(FunctionName=function, Name="head", FunctionVersion="$LATEST")
    return function


def put(client: Any, number: int, **more: str) -> Any:
    return client.put_provisioned_concurrency_config(
        **{"FunctionName": "area", "Qualifier": "live"} | more,
        ProvisionedConcurrentExecutions=number,
    )


def tell(world: World, **members: Any) -> None:
    """What the keeper of instances writes."""
    alias = next(each for each in world.kube.all(ALIAS) if each["spec"]["name"] == "live")
    alias.setdefault("status", {})["provisionedConcurrency"] = members


def test_its_life(world: World, client: Any, versions: str) -> None:
    made = put(client, 3)
    assert made.pop("ResponseMetadata")["HTTPStatusCode"] == 202
    assert made.pop("LastModified").endswith("+0000")
    assert made == {
        "RequestedProvisionedConcurrentExecutions": 3,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
    }
    get = client.get_provisioned_concurrency_config
    assert get(**LIVE)["Status"] == "IN_PROGRESS"
    tell(world, requested=3, allocated=3, available=2)
    assert get(**LIVE)["Status"] == "IN_PROGRESS"
    tell(world, requested=3, allocated=3, available=3)
    assert (get(**LIVE)["Status"], get(**LIVE)["AvailableProvisionedConcurrentExecutions"]) == (
        "READY", 3,
    )  # fmt: skip
    listed = client.list_provisioned_concurrency_configs(FunctionName="area")
    [row] = listed["ProvisionedConcurrencyConfigs"]
    assert (row["FunctionArn"], row["Status"]) == (ARN + ":live", "READY")
    assert put(client, 4)["Status"] == "IN_PROGRESS"
    assert get(**LIVE)["AvailableProvisionedConcurrentExecutions"] == 0, "of another number"
    tell(world, requested=4, reason="FUNCTION_ERROR_INIT_FAILURE")
    failed = get(**LIVE)
    assert (failed["Status"], failed["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    for _ in range(2):
        client.delete_provisioned_concurrency_config(**LIVE)
    assert refusal(world, get, **LIVE) == (
        404, "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
    )  # fmt: skip
    assert world.error()["Type"] == "User"
    assert world.kube.all(VERSION)


ONE, TWO = [{"version": "1", "weight": 1}], [{"version": "2", "weight": 1}]
FULL = {"requested": 3, "allocated": 3, "available": 3}


def test_an_alias_that_points_elsewhere_is_not_ready(
    world: World, client: Any, versions: str
) -> None:
    """Until its requests go there, whatever is said of the former version."""
    put(client, 3)
    tell(world, **FULL, versions=ONE)
    get = client.get_provisioned_concurrency_config
    assert get(**LIVE)["Status"] == "READY"
    client.update_alias(FunctionName="area", Name="live", FunctionVersion="2")
    since = {"waitingSince": "2026-01-01T00:00:00Z"}
    for told, status, available in (
        ({**FULL, "versions": ONE}, "IN_PROGRESS", 0),
        ({**FULL, **since, "versions": ONE, "available": 2}, "IN_PROGRESS", 2),
        ({**FULL, **since, "versions": ONE, "available": 0, "reason": "R"}, "FAILED", 0),
        ({**FULL, "versions": TWO}, "READY", 3),
    ):
        tell(world, **told)
        found = get(**LIVE)
        assert (found["Status"], found["AvailableProvisionedConcurrentExecutions"]) == (
            status, available,
        )  # fmt: skip
    weights = {"AdditionalVersionWeights": {"1": 0.25}}
    client.update_alias(FunctionName="area", Name="live", RoutingConfig=weights)
    assert get(**LIVE)["Status"] == "IN_PROGRESS"
    with pytest.raises(  # recorded in hashicorp/terraform#24957
        client.exceptions.InvalidParameterValueException,
        match=r"Alias with weights can not be used with Provisioned Concurrency\Z",
    ):
        put(client, 4)
    pair = [{"version": "2", "weight": 0.75}, {"version": "1", "weight": 0.25}]
    tell(world, **FULL, versions=pair)
    assert get(**LIVE)["Status"] == "READY"


@pytest.mark.parametrize(
    ("members", "status", "code", "text"),
    [
        ({"Qualifier": "$LATEST"}, 400, "InvalidParameterValueException",
         "Provisioned Concurrency Configs cannot be applied to unpublished function versions."),
        ({"Qualifier": "head"}, 400, "InvalidParameterValueException",
         "Provisioned Concurrency Configs cannot be applied to unpublished function versions."),
        ({"Qualifier": "nope"}, 404, "ResourceNotFoundException",
         f"Cannot find alias arn: {ARN}:nope"),
        ({"Qualifier": "9"}, 404, "ResourceNotFoundException", f"Function not found: {ARN}:9"),
        ({"FunctionName": "no"}, 404, "ResourceNotFoundException",
         f"Function not found: {ARN.replace('area', 'no')}:live"),
    ],
)  # fmt: skip
def test_where_it_cannot_be(
    world: World, client: Any, versions: str, members: Any, status: int, code: str, text: str
) -> None:
    given = {**LIVE, **members, "ProvisionedConcurrentExecutions": 1}
    found = refusal(world, client.put_provisioned_concurrency_config, **given)
    assert found == (status, code, text)


def test_reading_of_latest(world: World, client: Any, versions: str) -> None:
    latest = {"FunctionName": "area", "Qualifier": "$LATEST"}
    for call in (
        client.get_provisioned_concurrency_config, client.delete_provisioned_concurrency_config,
    ):  # fmt: skip
        assert refusal(world, call, **latest)[2] == (
            "The function resource provided must be an alias or a published version."
        )


def test_a_version_and_its_alias_do_not_both_have_it(
    world: World, client: Any, versions: str
) -> None:
    put(client, 1)
    one = {"FunctionName": "area", "Qualifier": "1", "ProvisionedConcurrentExecutions": 1}
    assert refusal(world, client.put_provisioned_concurrency_config, **one) == (
        409, "ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias",
    )  # fmt: skip
    client.delete_provisioned_concurrency_config(**LIVE)
    client.put_provisioned_concurrency_config(**one)
    again = {**LIVE, "ProvisionedConcurrentExecutions": 1}
    assert refusal(world, client.put_provisioned_concurrency_config, **again)[2] == (
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned "
        "version"
    )


def test_room(world: World, client: Any, versions: str) -> None:
    """Limit 1000, of which 100 stay unreserved."""
    call = client.put_provisioned_concurrency_config
    given = dict(LIVE)
    assert refusal(world, call, **given, ProvisionedConcurrentExecutions=1001)[2] == (
        "Specified ConcurrentExecutions for function is greater than account's unreserved "
        "concurrency [1000]."
    )
    assert refusal(world, call, **given, ProvisionedConcurrentExecutions=901)[2] == (
        "Specified ConcurrentExecutions for function decreases account's "
        "UnreservedConcurrentExecution below its minimum value of [100]."
    )
    assert set(world.error()) == {"message"}
    put(client, 900)
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["UnreservedConcurrentExecutions"] == 100
    put(client, 10)
    reserve = client.put_function_concurrency
    found = refusal(world, reserve, FunctionName="area", ReservedConcurrentExecutions=9)
    assert world.error() == {
        "message": " ReservedConcurrentExecutions  9 should not be lower than function's total "
        "provisioned concurrency [10]."
    }
    assert found[0] == 400
    reserve(FunctionName="area", ReservedConcurrentExecutions=10)
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["UnreservedConcurrentExecutions"] == 990
    assert refusal(world, call, **given, ProvisionedConcurrentExecutions=11)[2] == (
        "Requested Provisioned Concurrency should not be greater than the "
        "reservedConcurrentExecution for function"
    )
    assert set(world.error()) == {"message"}


def test_the_two_operations_on_one_path(world: World, client: Any, versions: str) -> None:
    assert (
        client.list_provisioned_concurrency_configs(FunctionName="area")[
            "ProvisionedConcurrencyConfigs"
        ]
        == []
    )
    without = refusal(world, client.get_provisioned_concurrency_config, FunctionName="area",
                      Qualifier="2")  # fmt: skip
    assert without[0] == 404


# --- runtime management, recursion ----------------------------------------------------------------

RUNTIME = f"arn:aws:lambda:{REGION}::runtime:" + "a" * 64


def test_runtime_management(world: World, client: Any, versions: str) -> None:
    name = {"FunctionName": "area"}
    get, put_config = client.get_runtime_management_config, client.put_runtime_management_config
    found = get(**name)
    del found["ResponseMetadata"]
    assert found == {"UpdateRuntimeOn": "Auto", "FunctionArn": ARN}
    made = put_config(**name, UpdateRuntimeOn="Manual", RuntimeVersionArn=RUNTIME)
    assert (made["UpdateRuntimeOn"], made["RuntimeVersionArn"]) == ("Manual", RUNTIME)
    of_version = put_config(**name, Qualifier="1", UpdateRuntimeOn="FunctionUpdate")
    assert of_version["FunctionArn"] == ARN + ":1"
    assert get(**name, Qualifier="1")["UpdateRuntimeOn"] == "FunctionUpdate"
    assert get(**name)["UpdateRuntimeOn"] == "Manual"
    # recorded in hashicorp/terraform-provider-aws#42699
    update = client.update_function_configuration
    assert refusal(world, update, **name, Runtime="python3.12") == (
        400, "InvalidParameterValueException",
        ("Cannot change runtime identifier when runtime management configuration is set to "
        "'Manual'. Change the runtime management configuration to 'Auto' or 'FunctionUpdate', "
        "then retry."),
    )  # fmt: skip
    update(**name, Runtime="python3.13")
    world.kube.settle()
    back = put_config(**name, UpdateRuntimeOn="Auto")
    assert "RuntimeVersionArn" not in back
    assert client.get_function_configuration(**name)["LastUpdateStatus"] == "Successful"
    for members in (
        {"UpdateRuntimeOn": "Manual"},
        {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": RUNTIME},
    ):
        assert refusal(world, put_config, **name, **members)[:2] == (
            400, "InvalidParameterValueException",
        )  # fmt: skip
    assert refusal(world, get, FunctionName="no")[0] == 404
    assert refusal(world, put_config, **name, UpdateRuntimeOn="Never")[1] == "ValidationException"


def test_recursion(world: World, client: Any, function: str) -> None:
    name = {"FunctionName": "area"}
    assert client.get_function_recursion_config(**name)["RecursiveLoop"] == "Terminate"
    client.put_function_recursion_config(**name, RecursiveLoop="Allow")
    assert client.get_function_recursion_config(**name)["RecursiveLoop"] == "Allow"
    found = refusal(world, client.get_function_recursion_config, FunctionName="no")
    assert found[2] == f"Function not found: {ARN.replace('area', 'no')}"


def test_code_size_counts_every_version(world: World, client: Any, versions: str) -> None:
    usage = client.get_account_settings()["AccountUsage"]
    size = client.get_function_configuration(FunctionName="area")["CodeSize"]
    assert usage == {"TotalCodeSize": 3 * size, "FunctionCount": 1}


# --- where a provisioned alias may lead -----------------------------------------------------------


def test_a_provisioned_alias_stays_on_published_versions(
    world: World, client: Any, versions: str
) -> None:
    put(client, 1)
    put(client, 1, Qualifier="2")
    move = {"FunctionName": "area", "Name": "live"}
    assert refusal(world, client.update_alias, **move, FunctionVersion="$LATEST") == (
        400, "InvalidParameterValueException",
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    )  # fmt: skip
    taken = refusal(world, client.update_alias, **move, FunctionVersion="2")
    assert taken[:2] == (409, "ResourceConflictException")
    assert taken[2].endswith("on an already Provisioned version")
    client.update_alias(**move, Description="only a word")
    client.delete_provisioned_concurrency_config(FunctionName="area", Qualifier="2")
    assert client.update_alias(**move, FunctionVersion="2")["FunctionVersion"] == "2"


def test_snap_start_and_provisioned_concurrency_exclude_each_other(
    world: World, client: Any, versions: str
) -> None:
    """Developer guide, SnapStart; the words are ours."""
    client.update_function_configuration(
        FunctionName="area", SnapStart={"ApplyOn": "PublishedVersions"}
    )
    world.kube.settle()
    number = client.publish_version(FunctionName="area")["Version"]
    client.create_alias(FunctionName="area", Name="snap", FunctionVersion=number)
    for qualifier in (number, "snap"):
        found = refusal(
            world, client.put_provisioned_concurrency_config, FunctionName="area",
            Qualifier=qualifier, ProvisionedConcurrentExecutions=1,
        )  # fmt: skip
        assert found == (
            400, "InvalidParameterValueException",
            "Provisioned concurrency is not supported for SnapStart enabled functions.",
        )  # fmt: skip


# --- writers at the same time ---------------------------------------------------------------------


def reserve(name: str, number: int) -> RawRequest:
    return call("PUT", f"/2017-10-31/functions/{name}/concurrency",
                {"ReservedConcurrentExecutions": number})  # fmt: skip


def provision(name: str, qualifier: str, number: int) -> RawRequest:
    path = f"/2019-09-30/functions/{name}/provisioned-concurrency?Qualifier={qualifier}"
    return call("PUT", path, {"ProvisionedConcurrentExecutions": number})


def call(method: str, path: str, document: Any) -> RawRequest:
    request = botocore.awsrequest.AWSRequest(
        method=method, url=f"http://klambda.test:8080{path}", data=json.dumps(document)
    )
    credentials = botocore.credentials.Credentials(KEY_ID, SECRET)
    botocore.auth.SigV4Auth(credentials, "lambda", REGION).add_auth(request)
    return raw_request(request.prepare())


@pytest.fixture
def two(world: World, client: Any, versions: str) -> World:
    """Another function; and every list gives way to whoever else runs."""
    client.create_function(
        FunctionName="other", Runtime="python3.13", Handler="a.b", Role=ROLE,
        Code={"ZipFile": make_zip()},
    )  # fmt: skip
    world.kube.settle()
    listed = world.kube.list

    async def slow(*arguments: Any, **more: Any) -> Any:
        found = await listed(*arguments, **more)
        await asyncio.sleep(0)
        return found

    world.kube.list = slow  # type: ignore[method-assign]
    return world


@pytest.mark.parametrize(
    "requests",
    [
        [reserve("area", 500), reserve("other", 500)],
        [provision("area", "1", 500), reserve("other", 500)],
        [provision("area", "1", 500), provision("area", "2", 500)],
    ],
)
def test_of_two_at_once_one_gets_it(two: World, client: Any, requests: list[RawRequest]) -> None:
    async def both() -> list[RawAnswer]:
        return await asyncio.gather(*(two.dispatcher.answer(each) for each in requests))

    statuses = sorted(answer.status for answer in asyncio.run(both()))
    assert statuses in ([200, 400], [202, 400])
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["UnreservedConcurrentExecutions"] == 500


@pytest.mark.parametrize("mine", [reserve("area", 500), provision("area", "1", 500)])
@pytest.mark.parametrize("stays", [True, False])
def test_another_gateway_writes_at_the_same_time(
    two: World, client: Any, mine: RawRequest, stays: bool
) -> None:
    """What it wrote is seen after our own write; ours goes, and comes when the other's went."""
    paused = []

    async def pause() -> None:
        paused.append(True)
        if not stays:
            others(two).pop("reservedConcurrentExecutions", None)

    written = two.kube.merge_patch

    async def raced(*arguments: Any, **more: Any) -> Any:
        done = await written(*arguments, **more)
        if not paused:
            others(two)["reservedConcurrentExecutions"] = 500
        return done

    two.kube.merge_patch = raced  # type: ignore[method-assign]
    two.dispatcher = Dispatcher(dataclasses.replace(two.services, pause=pause))
    answer = two.send(mine)
    assert 1 <= len(paused) <= 4, "who goes first by uid looks again a few times"
    assert answer.status == 400 if stays else answer.status < 300
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["UnreservedConcurrentExecutions"] == 500


def others(world: World) -> dict[str, Any]:
    """The spec of the other function."""
    found = next(each for each in world.kube.all(FUNCTION) if each["metadata"]["name"] == "other")
    spec: dict[str, Any] = found["spec"]
    return spec
