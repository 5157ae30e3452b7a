"""Operations beside the function itself, by the clients that people use: CLI, boto3, kubectl."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest

from tests.support.cluster import Cluster, wait_until

HELLO = "def handler(event, context):\n    return ['one', context.function_version]\n"
OTHER = "def handler(event, context):\n    return ['two', context.function_version]\n"
QUEUE = "arn:aws:sqs:us-east-1:123456789012:jobs"
PROFILE = "arn:aws:signer:us-east-1:123456789012:/signing-profiles/p/abcdefghij"


@pytest.fixture
def published(cluster: Cluster, name: str) -> str:
    """A function with versions 1 and 2 and alias live → 2; all waiters are waited with."""
    cluster.create(name, HELLO)
    for waiter in ("function_exists", "function_active", "function_active_v2"):
        cluster.aws.get_waiter(waiter).wait(FunctionName=name)
    cluster.aws.publish_version(FunctionName=name)
    cluster.aws.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
    cluster.update_code(name, OTHER)
    for waiter in ("function_updated", "function_updated_v2"):
        cluster.aws.get_waiter(waiter).wait(FunctionName=name)
    cluster.aws.publish_version(FunctionName=name)
    cluster.aws.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    return name


def test_the_cli_manages_what_stands_beside_a_function(cluster: Cluster, published: str) -> None:
    def aws(operation: str, *words: str) -> Any:
        return cluster.cli("lambda", operation, *words)

    function = ("--function-name", published)
    live = (*function, "--qualifier", "live")
    put = aws(
        "put-provisioned-concurrency-config", *live, "--provisioned-concurrent-executions", "1"
    )
    assert (put["Status"], put["RequestedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 1)
    listed = aws("list-provisioned-concurrency-configs", *function)
    assert len(listed["ProvisionedConcurrencyConfigs"]) == 1
    aws("delete-provisioned-concurrency-config", *live)

    mapping = aws("create-event-source-mapping", *function, "--event-source-arn", QUEUE)
    identity = ("--uuid", mapping["UUID"])
    assert mapping["State"] == "Creating"
    assert aws("get-event-source-mapping", *identity)["State"] == "Enabled"
    assert cluster.kubectl("get", "esm", "-o", "name").strip()
    assert aws("update-event-source-mapping", *identity, "--no-enabled")["State"] == "Disabling"
    assert aws("list-event-source-mappings", *function)["EventSourceMappings"][0]["State"] == (
        "Disabled"
    )
    assert aws("delete-event-source-mapping", *identity)["State"] == "Deleting"

    config = aws(
        "create-code-signing-config", "--allowed-publishers",
        json.dumps({"SigningProfileVersionArns": [PROFILE]}),
    )["CodeSigningConfig"]  # fmt: skip
    arn = ("--code-signing-config-arn", config["CodeSigningConfigArn"])
    assert config["CodeSigningConfigId"] in cluster.kubectl("get", "csc", "-o", "name")
    aws("put-function-code-signing-config", *arn, *function)
    users = aws("list-functions-by-code-signing-config", *arn)["FunctionArns"]
    assert [each.rpartition(":")[2] for each in users] == [published]
    aws("delete-function-code-signing-config", *function)
    aws("delete-code-signing-config", *arn)

    aws("put-function-recursion-config", *function, "--recursive-loop", "Allow")
    assert aws("get-function-recursion-config", *function)["RecursiveLoop"] == "Allow"
    aws("put-runtime-management-config", *function, "--update-runtime-on", "FunctionUpdate")
    found = aws("get-runtime-management-config", *function)
    assert found["UpdateRuntimeOn"] == "FunctionUpdate"
    assert aws("get-account-settings")["AccountUsage"]["FunctionCount"] >= 1
    assert cluster.invoke(f"{published}:live") == ["two", "2"]


def test_every_paginator_of_boto3_comes_to_its_end(cluster: Cluster, published: str) -> None:
    session = botocore.session.get_session()
    model, service = session.get_paginator_model("lambda"), session.get_service_model("lambda")
    key = {"FunctionName": published}
    for number in range(3):
        cluster.aws.create_alias(**key, Name=f"a{number}", FunctionVersion="1")
    arn = cluster.aws.get_function_configuration(**key)["FunctionArn"]
    prefix = arn.rpartition(":function:")[0]
    arguments = {
        **key,
        "LayerName": "none",
        "CapacityProviderName": "none",
        "DurableExecutionArn": f"{arn}:1/durable-execution/e/12345678-1234-1234-1234-123456789012",
        "CheckpointToken": "dG9rZW4=",
        "CodeSigningConfigArn": f"{prefix}:code-signing-config:csc-{'0' * 17}",
    }
    seen = 0
    for operation in model._paginator_config:
        required = service.operation_model(operation).input_shape.required_members
        method = botocore.xform_name(operation)
        paginator = cluster.aws.get_paginator(method)
        try:
            pages = list(
                paginator.paginate(
                    **{name: arguments[name] for name in required}, PaginationConfig={"PageSize": 1}
                )
            )
        except cluster.aws.exceptions.ResourceNotFoundException:
            continue  # of what is not there
        except cluster.aws.exceptions.InvalidParameterValueException:
            continue  # what cannot exist here and has no other error in the model
        seen += len(pages)
        if method == "list_aliases":
            assert [len(page["Aliases"]) for page in pages] == [1, 1, 1, 1]
    assert seen > 10


def test_git_publishes_and_an_alias_follows(cluster: Cluster, name: str) -> None:
    def manifest(code: str, commit: str) -> dict[str, Any]:
        return {
            "apiVersion": "klambda.io/v1alpha1",
            "kind": "Function",
            "metadata": {"name": name},
            "spec": {
                "runtime": "python3.13",
                "handler": "lambda_function.handler",
                "code": {"files": {"lambda_function.py": code}},
                "publish": {"id": commit, "description": commit},
            },
        }

    cluster.apply(manifest(HELLO, "c1"))
    cluster.apply(
        {
            "apiVersion": "klambda.io/v1alpha1",
            "kind": "Alias",
            "metadata": {"name": f"{name}-new"},
            "spec": {"functionRef": name, "name": "new", "track": "LatestPublished"},
        }
    )
    wait_until("version 1 is there", lambda: cluster.one("fnv", f"{name}-v1"))
    wait_until("the alias leads to it", lambda: alias_of(cluster, name) == "1")
    assert cluster.invoke(f"{name}:new") == ["one", "1"]
    cluster.apply(manifest(OTHER, "c2"))
    wait_until("the alias leads to version 2", lambda: alias_of(cluster, name) == "2")
    wait_until("it answers", lambda: cluster.invoke(f"{name}:new") == ["two", "2"])
    status = (cluster.one("fn", name) or {})["status"]
    assert (status["published"], status["lastVersion"]) == ({"id": "c2", "version": 2}, 2)
    found = cluster.aws.get_function_configuration(FunctionName=name, Qualifier="2")
    assert found["Description"] == "c2"
    cluster.apply(manifest(OTHER, "c3"))
    wait_until(
        "nothing changed: the same version",
        lambda: (
            (cluster.one("fn", name) or {})["status"]["published"] == {"id": "c3", "version": 2}
        ),
    )


def alias_of(cluster: Cluster, name: str) -> str:
    found: str = cluster.aws.get_alias(FunctionName=name, Name="new")["FunctionVersion"]
    return found
