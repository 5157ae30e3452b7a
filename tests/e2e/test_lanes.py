"""The plain way of an invocation and the one through FastAPI give the same answers."""

from __future__ import annotations

import re
from typing import Any

import botocore.awsrequest
import botocore.exceptions

from tests.support.cluster import Cluster

SOURCE = """
def handler(event, context):
    print("seen by the log")
    if event == "fail":
        raise ValueError("no")
    return [event, context.invoked_function_arn, context.function_version]
"""


def through_fastapi(cluster: Cluster) -> Any:
    """Return a client whose requests are not plain: their query has one more member."""
    client = cluster.session.client("lambda", endpoint_url=cluster.endpoint)

    def add(request: botocore.awsrequest.AWSRequest, **_: Any) -> None:
        request.url += "&x=y" if "?" in request.url else "?x=y"

    client.meta.events.register("before-sign.lambda.Invoke", add)
    return client


def taken(cluster: Cluster) -> int:
    """Count the invocations that the fast lane took, over all gateways."""
    count = 0
    for pod in cluster.pods_of("gateway"):
        meta = pod["metadata"]
        if "deletionTimestamp" in meta:  # an older one, on its way out
            continue
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}:8081/proxy/metrics"
        found = re.search(
            r"^klambda_gateway_fast_lane_total (\S+)",
            cluster.kubectl("get", "--raw", path),
            re.MULTILINE,
        )
        assert found is not None
        count += int(float(found[1]))
    return count


def outcome(client: Any, name: str, **members: Any) -> tuple[Any, ...]:
    """Invoke; return all that a caller sees, but for ids and times."""
    try:
        answer = client.invoke(FunctionName=name, **members)
    except botocore.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    body = re.sub(rb"[0-9a-f-]{36}", b"ID", answer["Payload"].read())
    return (
        answer["StatusCode"],
        answer.get("FunctionError"),
        answer["ExecutedVersion"],
        bool(answer.get("LogResult")),
        sorted(headers),
        body,
    )


def test_both_lanes_answer_alike(cluster: Cluster, name: str) -> None:
    cluster.create(name, SOURCE)
    version = cluster.aws.publish_version(FunctionName=name)["Version"]
    cluster.aws.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    requests: list[dict[str, Any]] = [
        {"Payload": b'{"a": 1}'},
        {"Payload": b'"' + b"x" * 1_000_000 + b'"'},
        {"Payload": b'"fail"', "LogType": "Tail"},
        {"Payload": b"{"},
        {"Payload": b"[" + b"1," * 20_000},
        {"Payload": b"1", "Qualifier": "live", "LogType": "Tail"},
        {"Payload": b"1", "Qualifier": version},
        {"Payload": b"1", "Qualifier": "nobody"},
        {},
    ]
    cluster.invoke(name, "warm")
    other = through_fastapi(cluster)
    before = taken(cluster)
    for members in requests:
        # In this order: the fast lane takes what it need not ask Kubernetes about any more.
        slow, fast = outcome(other, name, **members), outcome(cluster.aws, name, **members)
        assert fast == slow, members
    assert taken(cluster) - before == len(requests)
