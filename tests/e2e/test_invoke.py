"""What a caller of Invoke sees: answers, function errors, logs, and one at a time."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions
import pytest

from tests.support.cluster import Cluster, wait_until

FAULTS = """
import os, sys, time

def handler(event, context):
    match event["do"]:
        case "raise":
            raise ValueError("boom")
        case "sleep":
            time.sleep(30)
        case "exit":
            sys.exit(event["code"])
        case "abort":
            os.abort()
        case "unserialisable":
            return object()
        case "big":
            return "x" * event["bytes"]
    return "fine"
"""


def failed(cluster: Cluster, name: str, event: object) -> dict[str, str]:
    answer = cluster.invoke_raw(name, json.dumps(event).encode())
    assert answer["StatusCode"] == 200
    assert answer["FunctionError"] == "Unhandled"
    body: dict[str, str] = json.loads(answer["Payload"])
    return body


def test_a_function_that_fails_gives_lambdas_bodies(cluster: Cluster, name: str) -> None:
    """Bodies of reference §b.1, one after another on the same function: each heals itself."""
    cluster.create(name, FAULTS, Timeout=2)

    raised = failed(cluster, name, {"do": "raise"})
    assert raised["errorType"] == "ValueError"
    assert raised["errorMessage"] == "boom"
    assert set(raised) == {"errorType", "errorMessage", "requestId", "stackTrace"}

    late = failed(cluster, name, {"do": "sleep"})
    assert late["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(
        r"RequestId: [0-9a-f-]{36} Error: Task timed out after 2\.00 seconds", late["errorMessage"]
    )

    gone = failed(cluster, name, {"do": "exit", "code": 3})
    assert gone["errorType"] == "Runtime.ExitError"
    assert gone["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")

    clean = failed(cluster, name, {"do": "exit", "code": 0})
    assert clean["errorMessage"].endswith("Error: Runtime exited without providing a reason")

    aborted = failed(cluster, name, {"do": "abort"})
    assert aborted["errorMessage"].endswith("Error: Runtime exited with error: signal: aborted")

    odd = failed(cluster, name, {"do": "unserialisable"})
    assert odd["errorType"] == "Runtime.MarshalError"

    large = failed(cluster, name, {"do": "big", "bytes": 6_300_000})
    assert large["errorType"] == "Function.ResponseSizeTooLarge"
    assert len(cluster.invoke(name, {"do": "big", "bytes": 6_000_000})) == 6_000_000

    assert cluster.invoke(name, {"do": "nothing"}) == "fine"


@pytest.mark.parametrize(
    ("source", "handler", "error", "words"),
    [
        ("import nothing_like_it\n", "app.handler", "Runtime.ImportModuleError", "No module named"),
        ("def other(): ...\n", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler'"),
        ("def handler(:\n", "app.handler", "Runtime.UserCodeSyntaxError", "Syntax error"),
        ("x = 1\n", "app", "Runtime.MalformedHandlerName", "Bad handler 'app'"),
    ],
)
def test_a_function_that_cannot_start_says_why(
    cluster: Cluster, name: str, source: str, handler: str, error: str, words: str
) -> None:
    cluster.create(name, source, Handler=handler)
    body = failed(cluster, name, {})
    assert body["errorType"] == error
    assert words in body["errorMessage"]


def test_the_log_tail_is_lambdas_text(cluster: Cluster, name: str) -> None:
    cluster.create(name, "def handler(event, context):\n    print('said')\n    return 1\n")
    answer = cluster.invoke_raw(name, LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    lines = answer["Log"].splitlines()
    start = lines.index(f"START RequestId: {request_id} Version: $LATEST")
    assert lines[start + 1 : start + 3] == ["said", f"END RequestId: {request_id}"]
    report = lines[start + 3]
    assert report.startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert "\tMemory Size: 128 MB\tMax Memory Used: " in report
    assert "Init Duration: " in report, "the first invocation of an environment tells its INIT"
    assert "Init Duration: " not in cluster.invoke_raw(name, LogType="Tail")["Log"]


def test_bad_requests_get_lambdas_errors(cluster: Cluster, name: str) -> None:
    cluster.create(name, "def handler(event, context):\n    return event\n")

    def refused(**request: object) -> tuple[int, str, str]:
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            cluster.aws.invoke(**{"FunctionName": name, **request})
        error = raised.value.response
        return (
            error["ResponseMetadata"]["HTTPStatusCode"],
            error["Error"]["Code"],
            error["Error"]["Message"],
        )

    status, code, message = refused(Payload=b"{not json")
    assert (status, code) == (400, "InvalidRequestContentException")
    assert message.startswith("Could not parse request body into json: ")
    # Larger than 16 KiB is parsed by init, not by the gateway: the same answer.
    status, code, message = refused(Payload=b"[" + b"1," * 20_000)
    assert (status, code) == (400, "InvalidRequestContentException")
    status, code, _ = refused(Payload=b'"' + b"x" * 6_291_456 + b'"')
    assert (status, code) == (413, "RequestEntityTooLargeException")
    status, code, message = refused(Qualifier="7")
    assert (status, code) == (404, "ResourceNotFoundException")
    assert message == f"Function not found: {arn(cluster, name)}:7"
    assert cluster.invoke_raw(name, b"")["Payload"] == b"{}"
    assert cluster.aws.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204


def arn(cluster: Cluster, name: str) -> str:
    configuration = cluster.aws.get_function_configuration(FunctionName=name)
    return str(configuration["FunctionArn"])


def test_two_are_never_at_once_in_one_instance(cluster: Cluster, name: str) -> None:
    """50 parallel callers of a 200 ms function; the function itself records when it ran where."""
    cluster.create(
        name,
        "import time\n"
        "def handler(event, context):\n"
        "    began = time.monotonic()\n"
        "    time.sleep(0.2)\n"
        "    return [context.log_stream_name, began, time.monotonic()]\n",
    )
    with ThreadPoolExecutor(50) as pool:
        runs = list(pool.map(lambda _: cluster.invoke(name), range(150)))
    assert len(runs) == 150
    by_instance = defaultdict(list)
    for instance, began, ended in runs:
        by_instance[instance].append((began, ended))
    assert len(by_instance) > 1, "one instance cannot have been enough"
    for spans in by_instance.values():
        spans.sort()
        for (_, ended), (began, _) in itertools.pairwise(spans):
            assert ended <= began


def test_an_instance_keeps_its_globals_and_goes_when_idle(cluster: Cluster, name: str) -> None:
    cluster.apply(
        {
            "apiVersion": "klambda.io/v1alpha1",
            "kind": "Function",
            "metadata": {"name": name},
            "spec": {
                "runtime": "python3.13",
                "handler": "app.handler",
                "scaling": {"idleSeconds": 3},
                "code": {
                    "files": {
                        "app.py": "n = 0\ndef handler(e, c):\n  global n\n  n += 1\n  return n\n"
                    }
                },
            },
        }
    )
    cluster.kubectl("wait", "fn", name, "--for=condition=Ready", "--timeout=60s")
    assert [cluster.invoke(name) for _ in range(3)] == [1, 2, 3]
    wait_until("no instance is left", lambda: not cluster.children(name)["pods"], timeout=60)
    assert cluster.invoke(name) == 1, "0 → 1 again"
