"""The example of `examples/area`, through both doors, invoked with boto3.

Python is created through the Lambda API, Node.js with `kubectl apply`. Deploying again updates.
The first invocation is a cold start; its phases stand in the REPORT line of the log tail.
"""

from __future__ import annotations

import base64
import io
import json
import re
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from tools.cluster.environment import ENDPOINT, REGION, Credentials
from tools.cluster.layout import Layout
from tools.cluster.shell import Shell
from tools.cluster.steps import Steps

PYTHON_NAME = "myLambdaFunction"  # as in AWS's tutorial
NODE_NAME = "area-nodejs"
ROLE = "arn:aws:iam::000000000000:role/any"
EVENT = {"length": 6, "width": 7}
EXPECTED = {"area": 42}
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # equal sources make equal archives
READY_SECONDS = 60
PHASE = re.compile(r"(\w+) ([\d.]+) ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an invocation gave."""

    payload: str
    log: str
    milliseconds: float

    def area(self) -> object:
        """Return what the function said: a JSON string in a JSON string, as in the tutorial."""
        return json.loads(json.loads(self.payload))

    def phases(self) -> str:
        """Return the cold start's phases, if the log tells them."""
        _, _, text = self.log.partition("Phases: ")
        return ", ".join(f"{name} {value} ms" for name, value in PHASE.findall(text))


def values() -> dict[str, object]:
    """Return what `helm test` shall invoke."""
    return {"test": {"function": PYTHON_NAME, "payload": json.dumps(EVENT)}}


def client(credentials: Credentials) -> Any:
    """Return a boto3 client for the gateway; nothing else of the environment is used."""
    session = boto3.session.Session(
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        region_name=REGION,
    )
    settings = Config(retries={"total_max_attempts": 1}, read_timeout=60, proxies={})
    return session.client("lambda", endpoint_url=ENDPOINT, config=settings)


def run(layout: Layout, steps: Steps, credentials: Credentials) -> None:
    """Deploy both and invoke both."""
    aws = client(credentials)
    example = layout.repository / "examples" / "area"
    with steps.step(
        f"deploy {PYTHON_NAME} (Python, Lambda API) and {NODE_NAME} (Node.js, kubectl)",
        log="demo",
        remedy="`kubectl describe fn` says what is wrong with them;"
        " `kubectl -n klambda logs deploy/klambda-operator` what the operator did",
    ) as step:
        deploy_python(aws, archive(example / "python" / "lambda_function.py"))
        deploy_node(step.shell, layout, example / "nodejs" / "function.yaml")
    for name in (PYTHON_NAME, NODE_NAME):
        with steps.step(
            f"invoke {name}",
            log="demo",
            remedy="`kubectl get pods -l app.kubernetes.io/managed-by=klambda` shows its instance",
        ) as step:
            answer = invoke(aws, name)
            step.note = answer.payload
        steps.say(f"log tail:\n{indent(answer.log)}")
        phases = answer.phases()
        kind = f"cold start: {phases}" if phases else "warm"
        steps.say(f"{name} answered in {answer.milliseconds:.0f} ms ({kind})")


def archive(source: Path) -> bytes:
    """Return a deployment package with one file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        entry = zipfile.ZipInfo(source.name, ZIP_TIME)
        entry.external_attr = 0o644 << 16
        package.writestr(entry, source.read_text())
    return buffer.getvalue()


def deploy_python(aws: Any, package: bytes) -> None:
    """Create the function, or update its code when it is there."""
    try:
        aws.create_function(
            FunctionName=PYTHON_NAME,
            Runtime="python3.13",
            Handler="lambda_function.lambda_handler",
            Role=ROLE,
            Code={"ZipFile": package},
        )
    except aws.exceptions.ResourceConflictException:
        aws.update_function_code(FunctionName=PYTHON_NAME, ZipFile=package)
        waiter = "function_updated_v2"
    else:
        waiter = "function_active_v2"
    aws.get_waiter(waiter).wait(
        FunctionName=PYTHON_NAME, WaiterConfig={"Delay": 1, "MaxAttempts": READY_SECONDS}
    )


def deploy_node(shell: Shell, layout: Layout, manifest: Path) -> None:
    """Apply the manifest and wait until the function is ready."""
    kubectl = ("kubectl", f"--kubeconfig={layout.kubeconfig}", "--namespace=default")
    shell.run(*kubectl, "apply", "-f", manifest)
    shell.run(
        *kubectl, "wait", f"functions.klambda.io/{NODE_NAME}", "--for=condition=Ready",
        f"--timeout={READY_SECONDS}s",
    )  # fmt: skip


def invoke(aws: Any, name: str) -> Answer:
    """Invoke a function; ValueError when it does not answer what it should."""
    began = time.perf_counter()
    response = aws.invoke(FunctionName=name, Payload=json.dumps(EVENT), LogType="Tail")
    answer = Answer(
        payload=response["Payload"].read().decode(),
        log=base64.b64decode(response.get("LogResult", "")).decode(errors="replace"),
        milliseconds=(time.perf_counter() - began) * 1000,
    )
    if "FunctionError" in response or answer.area() != EXPECTED:
        raise ValueError(f"{name} answered {answer.payload}\n{answer.log}")
    return answer


def indent(text: str) -> str:
    """Return the lines of a text, moved to the right."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())
