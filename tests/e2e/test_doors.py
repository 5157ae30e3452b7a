"""One set of objects behind two doors: what one makes the other sees, edits and runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from tests.support.cluster import ROLE, Cluster, wait_until, zip_of

HELLO = "def handler(event, context):\n    return 'hello ' + event['name']\n"


def manifest(name: str, body: str, **spec: Any) -> dict[str, Any]:
    """Return a Function as a kubectl user writes it."""
    return {
        "apiVersion": "klambda.io/v1alpha1",
        "kind": "Function",
        "metadata": {"name": name},
        "spec": {
            "runtime": "python3.13",
            "handler": "app.handler",
            "code": {"files": {"app.py": body}},
            **spec,
        },
    }


def ready(cluster: Cluster, kind: str, name: str) -> None:
    cluster.kubectl("wait", kind, name, "--for=condition=Ready", "--timeout=60s")


def test_a_function_made_with_the_aws_cli_is_seen_and_edited_with_kubectl(
    cluster: Cluster, name: str, tmp_path: Path
) -> None:
    package = tmp_path / "code.zip"
    package.write_bytes(zip_of({"app.py": HELLO}))
    created = cluster.cli(
        "lambda", "create-function", "--function-name", name, "--runtime", "python3.13",
        "--handler", "app.handler", "--role", ROLE, "--zip-file", f"fileb://{package}",
    )  # fmt: skip
    assert created["State"] == "Pending"
    cluster.cli("lambda", "wait", "function-active-v2", "--function-name", name)

    assert name in cluster.kubectl("get", "fn")
    cluster.kubectl(
        "patch", "fn", name, "--type=merge", "-p", json.dumps({"spec": {"timeout": 42}})
    )
    cluster.wait_updated(name)
    seen = cluster.cli("lambda", "get-function-configuration", "--function-name", name)
    assert seen["Timeout"] == 42

    out = tmp_path / "answer.json"
    answer = cluster.cli(
        "lambda", "invoke", "--function-name", name, "--payload", '{"name": "you"}', str(out)
    )
    assert answer == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    assert json.loads(out.read_text()) == "hello you"


def test_a_function_made_with_kubectl_is_seen_and_edited_with_the_api(
    cluster: Cluster, name: str
) -> None:
    cluster.apply(manifest(name, HELLO))
    ready(cluster, "fn", name)
    assert cluster.invoke(name, {"name": "kubectl"}) == "hello kubectl"

    cluster.aws.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"COLOUR": "green"}}, MemorySize=256
    )
    cluster.wait_updated(name)
    seen = cluster.one("fn", name)
    assert seen is not None
    assert seen["spec"]["environment"]["variables"] == {"COLOUR": "green"}
    assert seen["spec"]["memorySize"] == 256


def test_every_kind_of_apply_still_works_after_an_upload_through_the_api(
    cluster: Cluster, name: str
) -> None:
    """Client-side, server-side and forced apply; an explicit source wins over an upload."""
    cluster.apply(manifest(name, HELLO))
    ready(cluster, "fn", name)
    cluster.update_code(name, "def handler(event, context):\n    return 'uploaded'\n")
    assert cluster.invoke(name, {}) == "uploaded"

    applied = manifest(name, "def handler(event, context):\n    return 'from git'\n")
    cluster.apply(applied)
    wait_until("the applied code answers", lambda: cluster.invoke(name, {}) == "from git")

    cluster.update_code(name, "def handler(event, context):\n    return 'uploaded again'\n")
    assert cluster.invoke(name, {}) == "uploaded again"
    cluster.apply(applied, "--server-side", "--force-conflicts")
    wait_until("the applied code answers", lambda: cluster.invoke(name, {}) == "from git")


def test_versions_and_aliases_of_both_doors_answer(cluster: Cluster, name: str) -> None:
    first = "def handler(event, context):\n    return ['one', context.function_version]\n"
    second = "def handler(event, context):\n    return ['two', context.function_version]\n"
    cluster.create(name, first)
    assert cluster.aws.publish_version(FunctionName=name)["Version"] == "1"
    cluster.update_code(name, second)
    assert cluster.aws.publish_version(FunctionName=name)["Version"] == "2"
    assert cluster.aws.publish_version(FunctionName=name)["Version"] == "2", "nothing changed"

    cluster.aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert cluster.invoke(f"{name}:1") == ["one", "1"]
    assert cluster.invoke(f"{name}:live") == ["one", "1"]
    assert cluster.invoke(name, Qualifier="2") == ["two", "2"]
    assert cluster.invoke(name) == ["two", "$LATEST"]

    alias = next(
        o for o in cluster.objects("aliases.klambda.io") if o["spec"]["functionRef"] == name
    )
    cluster.kubectl(
        "patch", "fna", alias["metadata"]["name"], "--type=merge",
        "-p", json.dumps({"spec": {"functionVersion": "2"}}),
    )  # fmt: skip
    wait_until("the alias moved", lambda: cluster.invoke(f"{name}:live") == ["two", "2"])

    cluster.apply(
        {
            "apiVersion": "klambda.io/v1alpha1",
            "kind": "Alias",
            "metadata": {"name": f"{name}-stable"},
            "spec": {"functionRef": name, "name": "stable", "functionVersion": "1"},
        }
    )
    ready(cluster, "fna", f"{name}-stable")
    assert cluster.aws.get_alias(FunctionName=name, Name="stable")["FunctionVersion"] == "1"
    assert cluster.invoke(f"{name}:stable") == ["one", "1"]


def test_an_aws_name_that_is_no_kubernetes_name_works_through_both_doors(
    cluster: Cluster, name: str
) -> None:
    aws_name = name.replace("-", "_").upper()
    cluster.create(aws_name, HELLO)
    try:
        assert cluster.invoke(aws_name, {"name": "you"}) == "hello you"
        assert aws_name in cluster.kubectl("get", "fn")
    finally:
        cluster.aws.delete_function(FunctionName=aws_name)
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFoundException"):
        cluster.aws.get_function(FunctionName=aws_name)


def test_a_node_function_answers(cluster: Cluster, name: str) -> None:
    source = "export const handler = async (event) => ({sum: event.a + event.b});\n"
    cluster.create(name, source, Runtime="nodejs22.x")
    assert cluster.invoke(name, {"a": 2, "b": 40}) == {"sum": 42}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"memorySize": 64}, "memorySize"),
        ({"timeout": 901}, "timeout"),
        ({"handler": "has space"}, "handler"),
        ({"architectures": ["x86_64", "arm64"]}, "architectures"),
        ({"colour": "green"}, "colour"),
    ],
)
def test_kubectl_is_told_which_field_is_wrong(
    cluster: Cluster, name: str, spec: dict[str, Any], sentence: str
) -> None:
    """kubectl validates strictly by default, so a field that is not known is an error too."""
    with pytest.raises(AssertionError, match=sentence):
        cluster.apply(manifest(name, HELLO, **spec))


def test_an_unknown_runtime_is_a_condition_that_says_what_to_do(
    cluster: Cluster, name: str
) -> None:
    cluster.apply(manifest(name, HELLO, runtime="cobol85"))

    def message() -> str:
        seen = cluster.one("fn", name) or {}
        conditions = seen.get("status", {}).get("conditions", [])
        return next(
            (c["message"] for c in conditions if c["type"] == "Ready" and c["status"] == "False"),
            "",
        )

    assert "cobol85" in wait_until("Ready=False", message)
