"""Starts that fail on the cluster: the right words within seconds, and nobody else is affected.

Issue 6, section 3. Unschedulable pods: ``test_scaling``; INIT errors: ``test_edges``; images that
cannot be pulled and crash loops: ``test_images``, and with simulated pods ``gateway_dataplane``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import botocore.exceptions
import pytest

from tests.support.cluster import Cluster, wait_until

HELLO = "def handler(event, context):\n    return 'here'\n"
QUOTA = "no-more-pods"
PATIENCE_S = 60.0
"""Seconds in which requests must hear of it; kubelet and the controllers take one or two."""


@pytest.fixture
def warm(cluster: Cluster, name: str) -> Iterator[str]:
    """Another function, with an instance that runs."""
    other = f"{name}-warm"
    cluster.create(other, HELLO)
    assert cluster.invoke(other) == "here"
    yield other
    cluster.kubectl("delete", "functions.klambda.io", other, "--ignore-not-found")
    wait_until("it is gone", lambda: not any(cluster.children(other).values()), timeout=60)


def refusal(cluster: Cluster, name: str, reason: str) -> str:
    """What a request is told within seconds; a write before it may still be on its way."""
    began = time.monotonic()
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        cluster.invoke(name)
    waited = time.monotonic() - began
    assert waited < PATIENCE_S
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert reason in str(refused.value)
    print(f"{reason} told after {waited:.1f} s")
    return str(refused.value)


def told(cluster: Cluster, name: str) -> str | None:
    """Why instances do not start, as the object says."""
    found = cluster.one("functions.klambda.io", name) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return next((c["reason"] for c in conditions if c["type"] == "InstancesStart"), None)


def test_a_quota_and_a_secret_that_is_missing(cluster: Cluster, name: str, warm: str) -> None:
    cluster.create(name, HELLO)
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": QUOTA}}
    # What runs may stay, whoever's it is and whenever it goes.
    cluster.apply(quota | {"spec": {"hard": {"pods": "0"}}})
    try:
        wait_until(
            "the quota is counted",
            lambda: (cluster.one("resourcequota", QUOTA) or {}).get("status", {}).get("used"),
        )
        assert "exceeded quota" in refusal(cluster, name, "ReplicaFailure")
        assert cluster.invoke(warm) == "here", "no effect on others"
        wait_until("the condition says why", lambda: told(cluster, name) == "ReplicaFailure")
    finally:
        cluster.kubectl("delete", "resourcequota", QUOTA)
    counted = cluster.metrics("gateway")
    assert counted['klambda_gateway_start_failures_total{reason="ReplicaFailure"}'] >= 1

    def answers() -> bool:
        try:
            return bool(cluster.invoke(name) == "here")
        except botocore.exceptions.ClientError:
            return False

    wait_until("it recovers", answers, timeout=60)
    wait_until("the condition says so", lambda: told(cluster, name) == "Started")
    reference = {"secretKeyRef": {"name": f"{name}-missing", "key": "key"}}
    patch = {"spec": {"environment": {"valueFrom": {"KEY": reference}}}}
    cluster.kubectl(
        "patch", "functions.klambda.io", name, "--type=merge", "-p", json.dumps(patch)
    )  # fmt: skip
    cluster.wait_updated(name)
    assert "not found" in refusal(cluster, name, "CreateContainerConfigError")
    assert cluster.invoke(warm) == "here"
