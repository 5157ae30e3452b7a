"""Provisioned concurrency on the cluster, and starts that find no room: issue 6, section 3."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions
import pytest

from tests.support.cluster import Cluster, all_gone, wait_until

KIND = (
    "import os, time, uuid\n"
    "ME = uuid.uuid4().hex\n"
    "def handler(event, context):\n"
    "    time.sleep(event or 0)\n"
    "    return [os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'], ME]\n"
)


def pods(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    return [
        pod
        for pod in cluster.objects("pods", "-l", f"klambda.io/function={name}")
        if "deletionTimestamp" not in pod["metadata"]
    ]


def needs(cluster: Cluster, name: str, cpu: str) -> None:
    """Make a function's instances request so much, as its object may."""
    patch = f'{{"spec": {{"pod": {{"cpu": "{cpu}"}}}}}}'
    cluster.kubectl("patch", "functions.klambda.io", name, "--type=merge", "-p", patch)

    def serves() -> bool:
        function = cluster.one("functions.klambda.io", name) or {}
        active = function.get("status", {}).get("active", {}).get("deployment", "")
        deployment = cluster.one("deployments", active) if active else None
        if deployment is None:
            return False
        [container, *_] = deployment["spec"]["template"]["spec"]["containers"]
        asked = str(container["resources"]["requests"]["cpu"])
        return thousandths_of(asked) == thousandths_of(cpu)

    wait_until(f"{name} is served with {cpu}", serves)


def thousandths_of(cpu: str) -> int:
    return int(cpu[:-1]) if cpu.endswith("m") else int(cpu) * 1000


def test_provisioned_concurrency(cluster: Cluster, name: str) -> None:
    """READY before a request, spilt over, kept though idle, gone when the setting is."""
    cluster.create(name, KIND, Publish=True)
    cluster.aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    where = {"FunctionName": name, "Qualifier": "live"}
    cluster.kubectl(
        "patch", "functions.klambda.io", name, "--type=merge",
        "-p", '{"spec": {"scaling": {"idleSeconds": 3}}}',
    )  # fmt: skip
    began = time.monotonic()
    made = cluster.aws.put_provisioned_concurrency_config(
        **where, ProvisionedConcurrentExecutions=2
    )
    assert made["Status"] == "IN_PROGRESS"

    def status(word: str = "Status") -> Any:
        return cluster.aws.get_provisioned_concurrency_config(**where)[word]

    wait_until("two are ready", lambda: status() == "READY", timeout=60)
    print(f"READY after {time.monotonic() - began:.1f} s")
    assert status("AvailableProvisionedConcurrentExecutions") == 2
    assert len(pods(cluster, name)) == 2
    began = time.monotonic()
    kind, _ = cluster.invoke(name, Qualifier="live")
    print(f"first request {(time.monotonic() - began) * 1000:.0f} ms")
    assert kind == "provisioned-concurrency"
    with ThreadPoolExecutor(3) as pool:
        # Longer than the third takes to start, also on a busy machine.
        runs = list(pool.map(lambda _: cluster.invoke(name, 8, Qualifier="live"), range(3)))
    assert sorted(kind for kind, _ in runs) == [
        "on-demand", "provisioned-concurrency", "provisioned-concurrency",
    ]  # fmt: skip
    wait_until("the third goes when idle", lambda: len(pods(cluster, name)) == 2)
    time.sleep(4)
    assert len(pods(cluster, name)) == 2, "longer than the idle window"
    assert status() == "READY"
    cluster.aws.delete_provisioned_concurrency_config(**where)
    wait_until("they go with the setting", lambda: not pods(cluster, name))


SLOW = "import time\ntime.sleep(5)\n"
WHICH = (
    "import os\n"
    "def handler(event, context):\n"
    "    kind = os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']\n"
    "    return [context.function_version, kind]\n"
)


def test_an_alias_moves_when_the_new_version_is_warm(cluster: Cluster, name: str) -> None:
    """No request meets a cold instance, whichever door pointed the alias to the new version."""
    cluster.create(name, WHICH, Publish=True)
    cluster.aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    where = {"FunctionName": name, "Qualifier": "live"}
    cluster.aws.put_provisioned_concurrency_config(**where, ProvisionedConcurrentExecutions=1)

    def status() -> str:
        found = cluster.aws.get_provisioned_concurrency_config(**where)
        return str(found["Status"])

    wait_until("version 1 is ready", lambda: status() == "READY")
    cluster.update_code(name, SLOW + WHICH)
    cluster.aws.publish_version(FunctionName=name)
    [alias] = [o for o in cluster.objects("fna") if o["spec"]["functionRef"] == name]
    patch = ("patch", "fna", alias["metadata"]["name"], "--type=merge", "-p")
    cluster.kubectl(*patch, '{"spec": {"functionVersion": "2"}}')
    assert status() == "IN_PROGRESS"
    seen: list[str] = []

    def moved() -> bool:
        version, kind = cluster.invoke(name, Qualifier="live")
        assert kind == "provisioned-concurrency", "never a cold one"
        seen.append(version)
        return bool(version == "2")

    wait_until("requests go to version 2", moved)
    assert set(seen[:-1]) <= {"1"}, "its INIT takes five seconds"
    wait_until("version 2 is ready", lambda: status() == "READY")
    # Back, through the API: version 1's instance is still there.
    cluster.aws.update_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert cluster.aws.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == "1"
    wait_until("back", lambda: cluster.invoke(name, Qualifier="live")[0] == "1")


def test_minimum_maximum_and_burst(cluster: Cluster, name: str) -> None:
    cluster.create(name, KIND)

    def scaling(**members: Any) -> None:
        patch = json.dumps({"spec": {"scaling": members}})
        cluster.kubectl("patch", "functions.klambda.io", name, "--type=merge", "-p", patch)

    def together(count: int) -> list[Any]:
        def one(_: int) -> Any:
            try:
                return cluster.invoke(name, 3)[0]
            except botocore.exceptions.ClientError as error:
                return error.response.get("Reason", str(error))

        with ThreadPoolExecutor(count) as pool:
            return sorted(pool.map(one, range(count)))

    scaling(minReplicas=1, maxReplicas=2, burstLimit=1)
    wait_until("one is there before anybody asks", lambda: len(pods(cluster, name)) == 1)
    own = "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert together(3) == [own, "on-demand", "on-demand"]
    scaling(maxReplicas=None)
    found = together(6)
    assert found.count("ConcurrentInvocationLimitExceeded") >= 1, found
    assert len(pods(cluster, name)) <= 3, "one start in ten seconds"


@pytest.fixture
def other(cluster: Cluster, name: str, deleted: set[str]) -> Iterator[str]:
    """A second function that answers, on a node that holds nothing of the tests before."""
    all_gone(cluster, deleted)
    second = f"{name}-2"
    cluster.create(second, "def handler(event, context):\n    return 'here'\n")
    yield second
    cluster.kubectl("delete", "functions.klambda.io", second, "--ignore-not-found")
    wait_until("it is gone", lambda: not any(cluster.children(second).values()), timeout=60)


def test_a_function_that_fits_nowhere_and_one_that_needs_room(
    cluster: Cluster, name: str, other: str
) -> None:
    """What no node holds fails in seconds and costs nobody; what fits takes an idle one's place."""
    [node] = cluster.objects("nodes")
    thousandths = thousandths_of(node["status"]["allocatable"]["cpu"])
    cluster.create(name, KIND)
    needs(cluster, other, f"{thousandths * 11 // 20}m")
    assert cluster.invoke(other) == "here"
    # larger than the node
    needs(cluster, name, f"{thousandths + 1000}m")
    began = time.monotonic()
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cluster.invoke(name)
    waited = time.monotonic() - began
    assert 4 < waited < 60
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert "Unschedulable" in str(refused.value)
    print(f"told after {waited:.1f} s")
    assert cluster.invoke(other) == "here"
    assert len(pods(cluster, other)) == 1, "nobody gave way for nothing"

    def starts() -> str | None:
        found = cluster.one("functions.klambda.io", name)
        conditions = (found or {}).get("status", {}).get("conditions", [])
        return next((c["reason"] for c in conditions if c["type"] == "InstancesStart"), None)

    wait_until("the condition says why", lambda: starts() == "Unschedulable")
    failures = cluster.metrics("gateway")
    assert any("start_failures" in each and "Unschedulable" in each for each in failures), failures
    # fits only in the other one's place
    needs(cluster, name, f"{thousandths * 11 // 20}m")
    time.sleep(1.5)
    began = time.monotonic()
    assert cluster.invoke(name)[0] == "on-demand"
    print(f"in the place of an idle one after {time.monotonic() - began:.1f} s")
    assert not pods(cluster, other)
