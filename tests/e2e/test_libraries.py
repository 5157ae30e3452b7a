"""Libraries that functions really use, unmodified: NumPy and pandas, Powertools, AWS's SDK.

Long: they are fetched from PyPI and npm when they are not in the cache (`make test-full`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.support.cluster import LAYOUT, Cluster

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

PANDAS = """
import numpy
import pandas

def handler(event, context):
    frame = pandas.DataFrame({"x": numpy.arange(event["n"]), "y": numpy.ones(event["n"])})
    return {"sum": int(frame["x"].sum()), "mean": float(frame["y"].mean())}
"""
POWERTOOLS = """
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

logger, metrics = Logger(service="area"), Metrics(namespace="Area", service="area")
tracer = Tracer(disabled=True)

@tracer.capture_lambda_handler
@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    metrics.add_metric(name="Rectangles", unit=MetricUnit.Count, value=1)
    logger.info("computed")
    return event["length"] * event["width"]
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


def installed(packages: Sequence[str]) -> dict[str, bytes]:
    """Packages of PyPI for the runtime's Python, as files of a zip; without tests."""
    folder = LAYOUT.cache / "libraries" / "-".join(sorted(packages)).replace("[", "_")
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        platforms = [f"--platform={name}_x86_64" for name in ("manylinux_2_28", "manylinux2014")]
        subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                "--python-version=3.13", *platforms, "--only-binary=:all:",
                f"--target={partial}", *packages,
            ],
            check=True,
        )  # fmt: skip
        partial.rename(folder)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"tests", "__pycache__"} & set(path.relative_to(folder).parts)
    }


def test_numpy_and_pandas(cluster: Cluster, name: str) -> None:
    files = {"app.py": PANDAS} | installed(["numpy", "pandas"])
    cluster.deploy(name, files, MemorySize=512, Timeout=60)
    assert cluster.invoke(name, {"n": 1000}) == {"sum": 499500, "mean": 1.0}


def test_powertools(cluster: Cluster, name: str) -> None:
    """Structured logs and metrics in EMF are lines of the function's log."""
    files = {"app.py": POWERTOOLS} | installed(["aws-lambda-powertools[tracer]"])
    cluster.deploy(name, files, MemorySize=256, Timeout=30)
    answer = cluster.invoke_raw(name, b'{"length": 6, "width": 7}', LogType="Tail")
    assert answer["Payload"] == b"42"
    records = [json.loads(line) for line in answer["Log"].splitlines() if line.startswith("{")]
    (said,) = [each for each in records if each.get("message") == "computed"]
    assert said["function_request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert said["cold_start"] is True
    counted = [each for each in records if "_aws" in each]
    assert any(each.get("Rectangles") == [1.0] for each in counted)


@pytest.mark.parametrize(
    ("runtime", "source"), [("nodejs22.x", SDK_NODE), ("python3.13", SDK_PYTHON)]
)
def test_the_sdk_of_the_image_calls_us_back(
    cluster: Cluster, name: str, runtime: str, source: str
) -> None:
    """With the session and the endpoints of the environment; its role may do nothing yet."""
    cluster.create(name, source, Runtime=runtime, MemorySize=256, Timeout=30)
    answer = cluster.invoke(name)
    assert answer.startswith("AccessDeniedException: User: arn:aws:sts::")
    assert f":assumed-role/klambda-e2e/{name} is not authorized to perform: " in answer
    assert "lambda:ListFunctions" in answer
