"""Libraries that functions really use, unmodified, each in a function of its own.

Long: they are fetched from PyPI, npm and Maven Central when they are not in the cache
(`make test-full`). The functions' sources are in the folder libraries beside this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import java, libraries
from tests.support.cluster import Cluster, zip_of

from .test_urls import Answer, curl

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

SOURCES = Path(__file__).with_name("libraries")
SCIENCE = """
import numpy
import pandas
from scipy import optimize
from sklearn.linear_model import LinearRegression

def handler(event, context):
    frame = pandas.DataFrame({"x": numpy.arange(event["n"]), "y": numpy.ones(event["n"])})
    root = optimize.brentq(lambda x: x * x - 2, 0, 2)
    line = LinearRegression().fit(frame[["x"]], 2 * frame["x"])
    seen = {"sum": int(frame["x"].sum()), "mean": float(frame["y"].mean())}
    return seen | {"root": round(root, 6), "slope": round(float(line.coef_[0]), 6)}
"""
SDK_NODE = """
import { LambdaClient, ListFunctionsCommand } from '@aws-sdk/client-lambda';
const client = new LambdaClient({});
export const handler = async () => {
  try {
    return await client.send(new ListFunctionsCommand({}));
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
"""
SDK_PYTHON = """
import boto3
client = boto3.client("lambda")

def handler(event, context):
    try:
        return client.list_functions()
    except client.exceptions.ClientError as error:
        return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
"""


def source(name: str) -> str:
    return (SOURCES / name).read_text()


def test_numpy_and_pandas(cluster: Cluster, name: str) -> None:
    """60 MB of zips; an upload may have 50, so SciPy and scikit-learn come in a layer."""
    numbers = ["numpy==2.4.6", "pandas==3.1.1"]
    base = libraries.of_python(numbers)
    whole = libraries.of_python([*numbers, "scipy==1.17.1", "scikit-learn==1.9.1"])
    layer = zip_of({f"python/{path}": data for path, data in whole.items() if path not in base})
    own = base | {"app.py": SCIENCE}
    assert len(layer) + len(zip_of(own)) > 55 << 20
    published = cluster.aws.publish_layer_version(LayerName=name, Content={"ZipFile": layer})
    try:
        layers = [published["LayerVersionArn"]]
        cluster.deploy(name, own, MemorySize=512, Timeout=60, Layers=layers)
        seen = {"sum": 499500, "mean": 1.0, "root": 1.414214, "slope": 2.0}
        assert cluster.invoke(name, {"n": 1000}) == seen
    finally:
        cluster.aws.delete_layer_version(LayerName=name, VersionNumber=published["Version"])


POWERTOOLS: dict[str, tuple[str, list[str]]] = {
    "python3.13": ("powertools.py", ["aws-lambda-powertools[tracer]==3.37.0"]),
    "nodejs22.x": (
        "powertools.mjs",
        [
            "@aws-lambda-powertools/logger@2.36.0",
            "@aws-lambda-powertools/metrics@2.36.0",
            "@aws-lambda-powertools/parameters@2.35.0",
            "@aws-lambda-powertools/tracer@2.36.0",
            "@aws-sdk/client-ssm@3.1169.0",  # of the user's, beside the image's own SDK
        ],
    ),
}

POWERTOOLS["nodejs24.x"] = POWERTOOLS["nodejs22.x"]


@pytest.mark.parametrize("runtime", POWERTOOLS)
def test_powertools(cluster: Cluster, name: str, runtime: str) -> None:
    """Logger, metrics in EMF, parameters, a tracer that is off; all they write is lines of JSON."""
    program, packages = POWERTOOLS[runtime]
    python = runtime.startswith("python")
    fetched = libraries.of_python(packages) if python else libraries.of_node(packages)
    files = fetched | {"app" + Path(program).suffix: source(program)}
    cluster.deploy(name, files, Runtime=runtime, MemorySize=256, Timeout=30)
    answer = cluster.invoke_raw(name, b'{"length": 6}', LogType="Tail")
    assert answer["Payload"] == b"42", answer["Payload"]
    records = [json.loads(line) for line in answer["Log"].splitlines() if line.startswith("{")]
    (said,) = [each for each in records if each.get("message") == "computed"]
    assert said["function_request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert (said["cold_start"], said["service"]) == (True, "area")
    counted = [each for each in records if "_aws" in each]
    assert any(each.get("Rectangles") in (1, [1.0], [1]) for each in counted), counted
    assert any(each.get("ColdStart") in (1, [1.0], [1]) for each in counted), counted
    spaces = {each["_aws"]["CloudWatchMetrics"][0]["Namespace"] for each in counted}
    assert spaces == {"Area"}


def public(cluster: Cluster, name: str) -> str:
    """A function URL that everybody may call."""
    made = cluster.aws.create_function_url_config(FunctionName=name, AuthType="NONE")
    given = {"FunctionName": name, "Principal": "*"}
    cluster.aws.add_permission(
        **given, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
    )
    cluster.aws.add_permission(
        **given, StatementId="invoke", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True
    )
    address: str = made["FunctionUrl"]
    return address


def behaves(address: str) -> None:
    """What both web applications do: paths, queries, bodies, cookies, bytes, what is not there."""

    def told(answer: Answer) -> tuple[int, Any]:
        return answer.status, json.loads(answer.body)

    asked = told(curl(f"{address}things/a%20b?q=1&q=%C3%A9", "-A", "tester"))
    assert asked[0] == 200, asked
    assert (asked[1]["name"], asked[1]["q"], asked[1]["agent"]) == ("a b", ["1", "é"], "tester")
    body = ["-H", "Content-Type: application/json", "--data", '{"length": 6, "width": 7}']
    assert told(curl(f"{address}area", *body)) == (201, {"area": 42})
    picture = curl(f"{address}picture", "-D", "-", "-o", "/dev/null", "-w", "%{size_download}")
    assert picture.body.endswith("256"), picture
    assert (picture.header("content-type"), picture.status) == ("image/png", 200)
    assert (picture.header("set-cookie") or "").startswith("seen=1")
    assert curl(f"{address}nothing").status == 404


def test_fastapi_behind_a_url(cluster: Cluster, name: str) -> None:
    fetched = libraries.of_python(["fastapi==0.165.0", "mangum==0.22.0"])
    files = fetched | {"app.py": source("fastapi_app.py")}
    cluster.deploy(name, files, MemorySize=256, Timeout=30)
    address = public(cluster, name)
    behaves(address)
    refused = curl(f"{address}area", "-H", "Content-Type: application/json", "--data", "{}")
    assert refused.status == 422
    assert [each["loc"] for each in json.loads(refused.body)["detail"]] == [
        ["body", "length"],
        ["body", "width"],
    ]


@pytest.mark.parametrize("runtime", ["nodejs22.x", "nodejs24.x"])
def test_express_behind_a_url(cluster: Cluster, name: str, runtime: str) -> None:
    fetched = libraries.of_node(["express@5.3.0", "serverless-http@4.0.0"])
    files = fetched | {"app.mjs": source("express_app.mjs")}
    cluster.deploy(name, files, Runtime=runtime, MemorySize=256, Timeout=30)
    behaves(public(cluster, name))


def test_jackson(cluster: Cluster, name: str, tmp_path: Path) -> None:
    """Records and times as Jackson maps them; what it refuses is the function's error."""
    folder = Path(__file__).with_name("jackson")
    jars = java.jars(folder / "jars.lock")
    files = java.compiled(folder, jars, tmp_path)
    files |= {f"lib/{each.name}": each.read_bytes() for each in jars}
    cluster.deploy(
        name, files, Runtime="java21", MemorySize=512, Timeout=30, Handler="example.Orders"
    )
    items = [{"name": "a", "count": 2}, {"name": "b", "count": 3}]
    order = {"id": "1", "placed": "2026-11-27T06:00:00Z", "items": items}
    summary = {"id": "1", "pieces": 5, "due": "2026-11-29T06:00:00Z", "context": name}
    assert cluster.invoke(name, order) == summary
    answer = cluster.invoke_raw(name, json.dumps(order).encode(), LogType="Tail")
    assert "order\n1" in answer["Log"]
    answer = cluster.invoke_raw(name, b'{"id": 1, "items": [{"count": 2}]}')
    body = json.loads(answer["Payload"])
    assert body["errorType"].startswith("com.fasterxml.jackson.databind.exc.")
    assert "Missing required creator property 'name'" in body["errorMessage"]


@pytest.mark.parametrize(
    ("runtime", "program"),
    [("nodejs22.x", SDK_NODE), ("nodejs24.x", SDK_NODE), ("python3.13", SDK_PYTHON)],
)
def test_the_sdk_of_the_image_calls_us_back(
    cluster: Cluster, name: str, runtime: str, program: str
) -> None:
    """With the session and the endpoints of the environment; its role may do nothing yet."""
    cluster.create(name, program, Runtime=runtime, MemorySize=256, Timeout=30)
    answer = cluster.invoke(name)
    assert answer.startswith("AccessDeniedException: User: arn:aws:sts::")
    assert f":assumed-role/klambda-e2e/{name} is not authorized to perform: " in answer
    assert "lambda:ListFunctions" in answer
