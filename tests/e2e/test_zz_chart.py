"""Functions survive an upgrade and keep answering during it; uninstalling keeps them too.

Last in the tier by name: it takes Klambda itself away and brings it back.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.support.cluster import CONTROL_PLANE, LAYOUT, Cluster
from tests.support.release import PARTS, former, helm, running, uninstall, upgrade
from tools.cluster.cluster import recorded

SOURCE = "def handler(event, context):\n    return 'here'\n"


class Caller(threading.Thread):
    """Invokes ten times a second and writes down every failure."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        super().__init__()
        self.cluster, self.function = cluster, name
        self.stopped = threading.Event()
        self.answers = 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                assert self.cluster.invoke(self.function) == "here"
                self.answers += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failed request
                self.failures.append(f"{time.strftime('%X')} {error!r}")
            self.stopped.wait(0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_functions_answer_while_the_release_is_upgraded(
    cluster: Cluster, name: str, tmp_path: Path
) -> None:
    if recorded(LAYOUT) != "native":
        pytest.skip("the former release's images are loaded into the native node")
    before_this = former(tmp_path)
    uninstall(cluster)
    upgrade(cluster, former=before_this)
    cluster.wait_ready()
    cluster.create(name, SOURCE)
    cluster.invoke(name)
    before = {pod["metadata"]["uid"] for part in PARTS for pod in running(cluster, part)}
    caller = Caller(cluster, name)
    caller.start()
    try:
        # A changed annotation makes every part roll, whatever the images are.
        turn = ",".join(f"{part}.podAnnotations.turn={name}" for part in PARTS)
        upgrade(cluster, "--set", turn)
        cluster.wait_ready()
    finally:
        caller.stopped.set()
        caller.join()
    cluster.wait_ready()
    after = {pod["metadata"]["uid"] for part in PARTS for pod in running(cluster, part)}
    assert len(after) == len(PARTS)
    assert not before & after, "every part was replaced"
    assert caller.answers > 10
    assert caller.failures == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_uninstall_keeps_the_functions_and_a_new_install_serves_them(
    cluster: Cluster, name: str
) -> None:
    cluster.apply(
        {
            "apiVersion": "klambda.io/v1alpha1",
            "kind": "Function",
            "metadata": {"name": name},
            "spec": {
                "runtime": "python3.13",
                "handler": "app.handler",
                "code": {"files": {"app.py": SOURCE}},
            },
        }
    )
    cluster.kubectl("wait", "fn", name, "--for=condition=Ready", "--timeout=60s")
    uninstall(cluster)
    assert cluster.one("fn", name) is not None
    upgrade(cluster)
    cluster.wait_ready()
    assert cluster.invoke(name) == "here"


def test_helm_test_passes(cluster: Cluster) -> None:
    assert "Succeeded" in helm(cluster, "test", "klambda", "--namespace", CONTROL_PLANE)
