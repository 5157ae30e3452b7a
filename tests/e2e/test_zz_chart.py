"""Functions survive an upgrade and keep answering during it; uninstalling keeps them too.

Last in the tier by name: it takes Klambda itself away and brings it back.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from tests.support.cluster import CONTROL_PLANE, REPOSITORY, Cluster
from tests.support.release import PARTS, helm, running, uninstall, upgrade

SOURCE = "def handler(event, context):\n    return 'here'\n"


def previous_chart(tmp_path: Path) -> Path:
    """Return the chart as the commit before last change of it had it (else: the current one)."""
    git = ["git", "-C", str(REPOSITORY)]
    commits = subprocess.run(
        [*git, "log", "--format=%H", "-2", "--", "helm/klambda"], capture_output=True, text=True
    ).stdout.split()
    if len(commits) < 2:
        return REPOSITORY / "helm" / "klambda"
    archive = subprocess.run(
        [*git, "archive", commits[1], "helm/klambda"], check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(tmp_path, filter="data")
    return tmp_path / "helm" / "klambda"


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
    upgrade(cluster, previous_chart(tmp_path))
    cluster.wait_ready()
    cluster.create(name, SOURCE)
    cluster.invoke(name)
    before = {pod["metadata"]["uid"] for part in PARTS for pod in running(cluster, part)}
    caller = Caller(cluster, name)
    caller.start()
    try:
        # A changed annotation makes every part roll, as a new image would.
        turn = ",".join(f"{part}.podAnnotations.turn={name}" for part in PARTS)
        upgrade(cluster, REPOSITORY / "helm" / "klambda", "--set", turn)
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
    upgrade(cluster, REPOSITORY / "helm" / "klambda")
    cluster.wait_ready()
    assert cluster.invoke(name) == "here"


def test_helm_test_passes(cluster: Cluster) -> None:
    assert "Succeeded" in helm(cluster, "test", "klambda", "--namespace", CONTROL_PLANE)
