"""What a function logs, through LoggingConfig, as tails and kubectl show it (reference §g.5)."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any

import pytest

from tests.support.cluster import Cluster, wait_until

PYTHON = """
import json, logging, os
def handler(event, context):
    logging.getLogger().info("quiet")
    logging.getLogger().warning("first\\nsecond")
    print(json.dumps({"level": "INFO", "message": "printed"}))
    print("plain")
    return os.environ["_X_AMZN_TRACE_ID"]
"""
NODE = """
export const handler = async () => {
  console.info('quiet');
  console.warn('first\\nsecond');
  process.stdout.write('{"level":"INFO","message":"printed"}\\n');
  process.stdout.write('plain\\n');
  return process.env._X_AMZN_TRACE_ID;
};
"""
CONFIG = {"LogFormat": "JSON", "ApplicationLogLevel": "WARN", "SystemLogLevel": "DEBUG"}
TRACE = "Root=1-5e1b4151-5ac6c58f3375aa3c7c6b73c9;Parent=53995c3f42cd8ad8;Sampled=0"


@pytest.mark.parametrize(("runtime", "source"), [("python3.13", PYTHON), ("nodejs22.x", NODE)])
def test_json_and_text(cluster: Cluster, name: str, runtime: str, source: str) -> None:
    """Levels of the system and of the application; a record with two lines stays one."""
    cluster.create(name, source, Runtime=runtime, MemorySize=256, LoggingConfig=CONFIG)
    answer = cluster.invoke_raw(name, LogType="Tail")
    request = answer["ResponseMetadata"]["RequestId"]
    lines = answer["Log"].splitlines()
    assert "plain" in lines, "what is no object stays"
    objects: list[dict[str, Any]] = [json.loads(line) for line in lines if line != "plain"]
    told = [each["type"] for each in objects if "type" in each]
    assert told == ["platform.start", "platform.runtimeDone", "platform.report"]
    said = [each for each in objects if "type" not in each]
    assert [each["message"] for each in said] == ["first\nsecond"]
    assert (said[0]["requestId"], said[0]["level"][:4]) == (request, "WARN")
    cluster.aws.update_function_configuration(
        FunctionName=name, LoggingConfig={"LogFormat": "Text"}
    )
    cluster.wait_updated(name)
    answer = cluster.invoke_raw(name, LogType="Tail")
    request = answer["ResponseMetadata"]["RequestId"]
    assert re.search(rf"{request}\t(WARN\t)?first\nsecond\n.*plain\nEND ", answer["Log"], re.DOTALL)

    def shown() -> bool:
        """Kubelet tells late which pods run."""
        pods = cluster.children(name)["pods"]
        logs = "".join(cluster.kubectl("logs", pod, check=False) for pod in pods)
        return "first\nsecond\n" in logs and f"REPORT RequestId: {request}" in logs

    wait_until("the pod's log has the record as it is", shown)


PHASES = ["schedule", "container", "dial", "assign", "fetch", "unpack", "runtime", "run"]


def test_a_trace_goes_along_and_the_time_is_told(cluster: Cluster, name: str) -> None:
    """A caller's trace reaches the function's environment; who asks learns where time went."""
    cluster.create(name, PYTHON)
    client = cluster.session.client("lambda", endpoint_url=cluster.endpoint)
    asked = {"X-Amzn-Trace-Id": TRACE, "X-Klambda-Timing": "1"}
    client.meta.events.register(
        "before-call.lambda.Invoke", lambda params, **_: params["headers"].update(asked)
    )
    answer = client.invoke(FunctionName=name, LogType="Tail")
    assert json.loads(answer["Payload"].read()).startswith(TRACE.partition(";")[0])
    assert timed(answer) == PHASES
    assert "Phases: schedule " in b64decode(answer["LogResult"]).decode()
    assert timed(client.invoke(FunctionName=name)) == ["run"]


def timed(answer: dict[str, Any]) -> list[str]:
    """The phases that an answer tells."""
    told: str = answer["ResponseMetadata"]["HTTPHeaders"]["server-timing"]
    return re.findall(r"(\w+);dur=\d+\.\d", told)
