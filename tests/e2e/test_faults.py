"""Kill any part at any time: afterwards objects, pods and blobs are exactly the expected sets."""

from __future__ import annotations

import contextlib
import random
import re
import secrets
import threading
import time
from collections.abc import Iterator
from functools import partial

import botocore.exceptions
import pytest

from tests.support.cluster import Cluster, wait_until

PARTS = ("operator", "gateway", "store")
KILLS, MANY_KILLS = 6, 20
CALLER_ERRORS = (
    botocore.exceptions.ClientError,  # 4xx/5xx while a part is away
    botocore.exceptions.BotoCoreError,  # connection refused or cut, a waiter that gave up
    AssertionError,
)


WRITE = re.compile(
    r'klambda_operator_kube_requests_total\{code="\d+",kind="(?!leases|events)\w+",'
    r'verb="(?!get|list|watch)'
)


def source(word: str) -> str:
    return f"def handler(event, context):\n    return {word!r}\n"


class Developer(threading.Thread):
    """Creates, updates, invokes and deletes functions until told to stop; shrugs off failures."""

    def __init__(self, cluster: Cluster, prefix: str, seed: int) -> None:
        super().__init__(name=prefix)
        self.cluster, self.prefix = cluster, prefix
        self.random = random.Random(seed)
        self.stopped = threading.Event()
        self.live: set[str] = set()
        self.steps = 0

    def run(self) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(*CALLER_ERRORS):
                self.step()
                self.steps += 1

    def step(self) -> None:
        name = f"{self.prefix}-{self.random.randrange(3)}"
        match self.random.choice(["create", "update", "invoke", "invoke", "delete"]):
            case "create":
                self.live.add(name)
                self.cluster.create(name, source(secrets.token_hex(2)))
            case "update":
                self.cluster.update_code(name, source(secrets.token_hex(2)))
            case "invoke":
                self.cluster.invoke(name)
            case "delete":
                self.cluster.aws.delete_function(FunctionName=name)


@pytest.fixture
def developers(cluster: Cluster) -> Iterator[list[Developer]]:
    prefix = f"fault-{secrets.token_hex(3)}"
    started = [Developer(cluster, f"{prefix}-{turn}", turn) for turn in range(2)]
    for one in started:
        one.start()
    yield started
    for one in started:
        one.stopped.set()
    for one in started:
        one.join(timeout=120)
    for one in started:
        for name in one.live:
            cluster.kubectl("delete", "fn", name, "--ignore-not-found")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("component", "kills"),
    [
        *((part, KILLS) for part in PARTS),
        *(pytest.param(part, MANY_KILLS, marks=pytest.mark.full) for part in PARTS),
    ],
)
def test_a_part_killed_at_random_points_leaves_exactly_what_should_be(
    cluster: Cluster, developers: list[Developer], component: str, kills: int
) -> None:
    wait_until("both have made a step", lambda: all(one.steps for one in developers))
    pauses = random.Random(component)
    for _ in range(kills):
        time.sleep(pauses.uniform(0.2, 3))
        cluster.kill(component)
        cluster.wait_ready()
    for one in developers:
        one.stopped.set()
    for one in developers:
        one.join(timeout=120)
        assert not one.is_alive()
    for one in developers:
        for name in sorted(one.live):
            wait_until(f"{name} is as it should be", partial(settled, cluster, name), timeout=120)
    live = {name for one in developers for name in one.live if cluster.one("fn", name)}
    assert_blobs_are_there(cluster, live)
    assert_a_second_plan_is_empty(cluster)


def assert_blobs_are_there(cluster: Cluster, names: set[str]) -> None:
    """Every function's code is in the store, whole."""
    stored = cluster.blobs()
    for name in names:
        blob = cluster.objects("fn", "--field-selector", f"metadata.name={name}")[0]["spec"]["code"]
        assert stored.get(blob["blob"]["sha256"]) == blob["blob"]["size"], name


def assert_a_second_plan_is_empty(cluster: Cluster) -> None:
    """An operator that looks at everything for the first time finds nothing to write."""
    cluster.kill("operator")
    cluster.wait_ready()
    functions = len(cluster.objects("fn", "--all-namespaces"))

    def looked() -> dict[str, float] | None:
        seen = cluster.metrics("operator")
        done = sum(
            seen.get(f'klambda_operator_reconcile_total{{kind="functions",result="{result}"}}', 0)
            for result in ("success", "gone")
        )
        busy = sum(
            seen.get(f"klambda_operator_{gauge}", 1) for gauge in ("queue_depth", "workers_busy")
        )
        return seen if not busy and done >= functions else None

    seen = wait_until("the operator has looked at every function", looked)
    assert [line for line in seen if WRITE.match(line)] == []


def settled(cluster: Cluster, name: str) -> bool:
    """Tell whether a function has exactly the children of its spec, and answers (or is gone)."""
    function = cluster.one("fn", name)
    children = cluster.children(name)
    if function is None:
        return not any(children.values())
    active = function.get("status", {}).get("active", {}).get("deployment")
    if children["deployments"] != [active] or len(children["replicasets"]) != 1:
        return False
    try:
        cluster.invoke(name)
    except CALLER_ERRORS:
        return False
    return True


@pytest.mark.parametrize("turns", [30, pytest.param(100, marks=pytest.mark.full)])
def test_delete_and_create_under_one_name_in_a_row(cluster: Cluster, name: str, turns: int) -> None:
    for turn in range(turns):
        cluster.create(name, source(str(turn)))
        if turn % 10 == 0:
            assert cluster.invoke(name) == str(turn)
        cluster.aws.delete_function(FunctionName=name)
    wait_until("no orphan", lambda: not any(cluster.children(name).values()), timeout=120)


def test_a_deployment_edited_or_deleted_by_hand_comes_back(cluster: Cluster, name: str) -> None:
    cluster.create(name, source("here"))
    (deployment,) = cluster.objects("deployments", "-l", f"klambda.io/function={name}")
    own = deployment["metadata"]["name"]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    cluster.kubectl("set", "image", f"deployment/{own}", "function=example.invalid/other:1")
    wait_until("the image is ours again", lambda: images(cluster, own) == [image])
    cluster.kubectl("delete", "deployment", own)
    wait_until("the Deployment is back", lambda: images(cluster, own) == [image])
    assert cluster.invoke(name) == "here"


def images(cluster: Cluster, deployment: str) -> list[str]:
    seen = cluster.one("deployment", deployment) or {"spec": {"template": {"spec": {}}}}
    return [c["image"] for c in seen["spec"]["template"]["spec"].get("containers", [])]
