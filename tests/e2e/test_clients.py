"""AWS's own clients, unmodified, against the running cluster: only endpoint and keys are ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support import clients
from tests.support.cluster import ROLE, Cluster, zip_of

ECHO = "def handler(event, context):\n    return {'seen': event}\n"


@pytest.fixture
def package(tmp_path: Path) -> str:
    path = tmp_path / "code.zip"
    path.write_bytes(zip_of({"app.py": ECHO}))
    return str(path)


def environment(cluster: Cluster) -> dict[str, str]:
    """As `.klambda/env` makes it."""
    return {**cluster.env, "AWS_EC2_METADATA_DISABLED": "true", "SAM_CLI_TELEMETRY": "0"}


def test_botocore_1_34_with_its_trailing_slashes(cluster: Cluster, name: str, package: str) -> None:
    python = clients.python_with(*clients.OLD_BOTO3) / "python"
    program = str(clients.PROGRAMS / "old_boto3.py")
    text = clients.run([str(python), program, name, package, ROLE], env=environment(cluster))
    seen = json.loads(text)
    assert seen["botocore"].startswith("1.34.")
    assert "functions" in seen["slashes"] or "event-source-mappings" in seen["slashes"]
    del seen["botocore"], seen["slashes"]
    assert seen == {
        "answer": {"seen": {"a": 1}},
        "version": "1",
        "tail": True,
        "streamed": [{"seen": {"a": 2}}, ["PayloadChunk", "InvokeComplete"]],
        "listed": True,
        "mappings": [],
        "settings": 1000,
        "tags": {},
        "missing": "ResourceNotFoundException",
    }


@pytest.mark.slow
def test_the_aws_cli_goes_through_a_functions_life(
    cluster: Cluster, name: str, package: str, tmp_path: Path
) -> None:
    def aws(command: str, *words: str) -> Any:
        return cluster.cli("lambda", command, "--function-name", name, *words)

    aws(
        "create-function", "--runtime", "python3.13", "--handler", "app.handler", "--role", ROLE,
        "--zip-file", f"fileb://{package}",
    )  # fmt: skip
    cluster.cli("lambda", "wait", "function-active-v2", "--function-name", name)
    assert aws("publish-version", "--description", "one")["Version"] == "1"
    aws("update-function-configuration", "--timeout", "5")
    cluster.cli("lambda", "wait", "function-updated-v2", "--function-name", name)
    assert aws("publish-version")["Version"] == "2"
    newer = tmp_path / "newer.zip"
    newer.write_bytes(zip_of({"app.py": ECHO.replace("seen", "read")}))
    aws("update-function-code", "--zip-file", f"fileb://{newer}", "--publish")
    version = [name, "--qualifier", "3"]
    cluster.cli("lambda", "wait", "published-version-active", "--function-name", *version)
    cluster.cli("lambda", "wait", "function-updated-v2", "--function-name", name)
    out = tmp_path / "out.json"
    assert aws("invoke", "--qualifier", "3", "--payload", "1", str(out))["ExecutedVersion"] == "3"
    assert json.loads(out.read_text()) == {"read": 1}
    alias = aws(
        "create-alias", "--name", "live", "--function-version", "2",
        "--routing-config", "AdditionalVersionWeights={1=0.5}",
    )  # fmt: skip
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"1": 0.5}}
    answer = aws("invoke", "--qualifier", "live", "--log-type", "Tail", "--payload", "1", str(out))
    assert answer["ExecutedVersion"] in ("1", "2")
    assert answer["LogResult"]
    assert json.loads(out.read_text()) == {"seen": 1}
    statement = aws(
        "add-permission", "--statement-id", "s3", "--action", "lambda:InvokeFunction",
        "--principal", "s3.amazonaws.com",
    )  # fmt: skip
    assert json.loads(statement["Statement"])["Principal"] == {"Service": "s3.amazonaws.com"}
    assert aws("create-function-url-config", "--auth-type", "AWS_IAM")["FunctionUrl"]
    layer = cluster.cli(
        "lambda", "publish-layer-version", "--layer-name", name, "--zip-file", f"fileb://{package}"
    )
    try:
        aws("update-function-configuration", "--layers", layer["LayerVersionArn"])
        cluster.cli("lambda", "wait", "function-updated-v2", "--function-name", name)
        assert cluster.cli("sts", "get-caller-identity")["Arn"].endswith(":user/klambda-admin")
        aws("delete-function")
    finally:
        cluster.cli(
            "lambda", "delete-layer-version", "--layer-name", name,
            "--version-number", str(layer["Version"]),
        )  # fmt: skip


@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm on this machine")
def test_the_sdk_for_javascript(cluster: Cluster, name: str, package: str) -> None:
    program = clients.javascript("sdk.mjs")
    text = clients.run(["node", str(program), name, package, ROLE], env=environment(cluster))
    assert json.loads(text) == {
        "state": "Pending",
        "status": 200,
        "answer": {"seen": {"a": 1}},
        "tail": True,
        "streamed": {"seen": {"a": 2}},
        "complete": True,
        "missing": "ResourceNotFoundException",
        "listed": True,
    }


@pytest.mark.full
@pytest.mark.skipif(shutil.which("go") is None, reason="no Go on this machine")
def test_the_sdk_for_go_and_its_error_types(cluster: Cluster, name: str, package: str) -> None:
    program = clients.go("go")
    seen = json.loads(clients.run([str(program), name, package, ROLE], env=environment(cluster)))
    assert seen.pop("arn").endswith(":user/klambda-admin")
    assert seen == {
        "state": "Pending",
        "status": 200,
        "answer": {"seen": {"a": 1}},
        "notFound": True,
        "conflict": True,
        "content": True,
        "stranger": "UnrecognizedClientException",
    }


@pytest.mark.full
@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK on this machine")
def test_the_sdk_for_java(cluster: Cluster, name: str, package: str) -> None:
    words = [*clients.java("Sdk"), name, package, ROLE]
    assert json.loads(clients.run(words, env=environment(cluster))) == {
        "state": "Pending",
        "status": 200,
        "answer": {"seen": {"a": 1}},
        "tail": True,
        "streamed": {"seen": {"a": 2}},
        "end": "complete",
        "accepted": 202,
        "listed": True,
        "missing": True,
        "conflict": True,
        "content": True,
    }


@pytest.mark.full
def test_sam_remote_invoke(cluster: Cluster, name: str) -> None:
    sam = clients.python_with(*clients.SAM) / "sam"
    cluster.create(name, ECHO)
    arn = cluster.aws.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    text = clients.run(
        [str(sam), "remote", "invoke", arn, "--event", '{"a": 1}', "--output", "json"],
        env=environment(cluster),
    )
    answer = json.loads(text)
    assert json.loads(answer["Payload"]) == {"seen": {"a": 1}}
    assert answer["StatusCode"] == 200
