"""Layers on the cluster: files from two of them in order, and what deletion leaves running."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
import pytest

from tests.support.cluster import Cluster, wait_until, zip_of

HANDLER = """
import pathlib, shared
def handler(event, context):
    both = pathlib.Path("/opt/both.txt").read_text()
    names = sorted(path.name for path in pathlib.Path("/opt").iterdir())
    return [shared.WORD, both, names]
"""
FIRST = {"both.txt": "first", "python/shared.py": "WORD = 'one'\n", "one.txt": "1"}
SECOND = {"both.txt": "second", "two.txt": "2"}


@pytest.fixture
def word(cluster: Cluster) -> Iterator[str]:
    """A word of the test's own for its layers' names; they go afterwards."""
    fresh = f"e2e-{secrets.token_hex(3)}"
    yield fresh
    for each in cluster.objects("layerversions.klambda.io"):
        if each["spec"]["layerName"].startswith(fresh):
            cluster.kubectl("delete", "lyr", each["metadata"]["name"])


def publish(cluster: Cluster, name: str, files: dict[str, str]) -> str:
    made = cluster.aws.publish_layer_version(LayerName=name, Content={"ZipFile": zip_of(files)})
    arn: str = made["LayerVersionArn"]
    return arn


def stop_instances(cluster: Cluster, name: str) -> None:
    """Make the next invocation a cold start."""
    selector = f"klambda.io/function={name}"
    for deployment in cluster.objects("deployments", "-l", selector):
        cluster.kubectl("scale", "deployment", deployment["metadata"]["name"], "--replicas=0")
    wait_until("no pod is left", lambda: not cluster.objects("pods", "-l", selector))


def test_layers_are_merged_in_order_and_outlive_their_deletion(
    cluster: Cluster, name: str, word: str
) -> None:
    first = publish(cluster, f"{word}-a", FIRST)
    second = publish(cluster, f"{word}-b", SECOND)
    cluster.create(name, HANDLER, Layers=[first, second])
    files = ["both.txt", "one.txt", "python", "two.txt"]
    assert cluster.invoke(name) == ["one", "second", files]
    cluster.aws.publish_version(FunctionName=name)

    cluster.aws.update_function_configuration(FunctionName=name, Layers=[second, first])
    cluster.wait_updated(name)
    assert cluster.invoke(name)[1] == "first"

    for layer in (f"{word}-a", f"{word}-b"):
        cluster.aws.delete_layer_version(LayerName=layer, VersionNumber=1)
    stop_instances(cluster, name)
    assert cluster.invoke(name)[1] == "first"
    wait_until(
        "version 1 is active",
        lambda: (
            cluster.aws.get_function_configuration(FunctionName=name, Qualifier="1")["State"]
            == "Active"
        ),
    )
    assert cluster.invoke(name, Qualifier="1")[1] == "second"
    shown = cluster.aws.get_function_configuration(FunctionName=name, Qualifier="1")["Layers"]
    assert [each["Arn"] for each in shown] == [first, second]
    with pytest.raises(botocore.exceptions.ClientError, match="does not exist"):
        cluster.aws.update_function_configuration(
            FunctionName=name, Layers=[first.replace(f"{word}-a", f"{word}-c")]
        )


NODE = """
import word from 'word';
import { createRequire } from 'node:module';
import { execSync } from 'node:child_process';
const other = createRequire(import.meta.url)('other');
export const handler = async () => [word, other, execSync('tool').toString().trim()];
"""
OF_ALL = {
    "nodejs/node_modules/word/index.js": "module.exports = 'imported';\n",
    "nodejs/node22/node_modules/other/index.js": "module.exports = 'required';\n",
    "nodejs/node24/node_modules/other/index.js": "module.exports = 'required';\n",
    "bin/tool": "#!/bin/sh\necho of the layer\n",
    "bootstrap": """#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while :; do
    curl -sS -D /tmp/headers -o /dev/null "$api/next"
    id=$(sed -n 's/^lambda-runtime-aws-request-id: *\\([0-9a-f-]*\\).*/\\1/Ip' /tmp/headers)
    curl -sS -o /dev/null --data "\\"$(tool)\\"" "$api/$id/response"
done
""",
}


@pytest.mark.parametrize(
    "runtime", ["nodejs22.x", pytest.param("nodejs24.x", marks=pytest.mark.full)]
)
def test_modules_programs_and_bootstraps_of_layers(
    cluster: Cluster, name: str, word: str, runtime: str
) -> None:
    """One layer for two runtimes: Node.js' search paths, /opt/bin in PATH, /opt/bootstrap."""
    archive = zip_of(OF_ALL, executable={"bin/tool", "bootstrap"})
    made = cluster.aws.publish_layer_version(LayerName=word, Content={"ZipFile": archive})
    layers = [made["LayerVersionArn"]]
    cluster.create(name, NODE, Runtime=runtime, MemorySize=256, Layers=layers)
    assert cluster.invoke(name) == ["imported", "required", "of the layer"]
    cluster.aws.update_function_configuration(FunctionName=name, Runtime="provided.al2023")
    cluster.wait_updated(name)
    assert cluster.invoke(name) == "of the layer"


def test_layers_of_kubectl(cluster: Cluster, name: str, word: str) -> None:
    """The function first, its layer later: Git applies in any order."""
    account = cluster.session.client("sts", endpoint_url=cluster.endpoint).get_caller_identity()[
        "Account"
    ]
    arn = f"arn:aws:lambda:{cluster.env['AWS_REGION']}:{account}:layer:{word}:1"
    manifest: dict[str, Any] = {
        "apiVersion": "klambda.io/v1alpha1",
        "kind": "Function",
        "metadata": {"name": name},
        "spec": {
            "runtime": "python3.13",
            "handler": "app.handler",
            "layers": [arn],
            "code": {"files": {"app.py": "import shared\ndef handler(e, c): return shared.WORD\n"}},
        },
    }
    cluster.apply(manifest)
    cluster.kubectl(
        "wait", "fn", name, "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}"
        "=LayerMissing", "--timeout=30s",
    )  # fmt: skip
    layer = {
        "apiVersion": "klambda.io/v1alpha1",
        "kind": "LayerVersion",
        "metadata": {"name": word},
        "spec": {
            "layerName": word,
            "version": 1,
            "content": {"files": {"python/shared.py": "WORD = 'from git'\n"}},
        },
    }
    cluster.apply(layer)
    cluster.kubectl("wait", "fn", name, "--for=condition=Ready", "--timeout=60s")
    assert cluster.invoke(name) == "from git"
    listed = cluster.cli("lambda", "list-layer-versions", "--layer-name", word)["LayerVersions"]
    assert [each["LayerVersionArn"] for each in listed] == [arn]
    assert word in cluster.kubectl("get", "lyr")
    assert (
        json.loads(cluster.kubectl("get", "fn", name, "-o", "json"))["status"]["layers"][0]["arn"]
        == arn
    )
