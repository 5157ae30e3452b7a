"""`make up CLUSTER=existing`: the cluster of a kubeconfig, images from a registry, and down again.

Almost last in the tier by name: it takes the cluster's own Klambda away and brings it back. The
commands run in the node's network, where 127.0.0.1:8080 is free for the port-forward.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.cluster import LAYOUT, REPOSITORY, Cluster
from tests.support.registry import Registry, running_registry
from tests.support.release import PARTS, uninstall, upgrade
from tools.cluster.cluster import recorded
from tools.cluster.images.catalogue import DEFAULT_RUNTIMES
from tools.cluster.native import addresses
from tools.cluster.native.node import NativeNode

PLAIN_HTTP = f'''[[registry]]
location = "{addresses.LOCAL_REGISTRY}"
insecure = true
'''


class Newcomer:
    """Somebody with this kubeconfig, a registry and a checkout, who has never run `make up`."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.state = folder / "state"
        (folder / "registries.conf").write_text(PLAIN_HTTP)
        self._inside = NativeNode(layout=LAYOUT, sandbox_image="").inside()
        self._env = {
            **os.environ,
            "KUBECONFIG": str(LAYOUT.kubeconfig),
            "KLAMBDA_STATE": str(self.state),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
            "CLUSTER": "existing",
            "REGISTRY": f"{registry.host}/klambda",
            "RUNTIMES": ",".join(DEFAULT_RUNTIMES),
        }

    def cluster_tool(self, verb: str, **variables: str) -> tuple[int, str]:
        """Run a verb of the Makefile's; return its exit status and what it said."""
        command = [
            "nsenter", f"--target={self._inside.holder}", "--net", "--",
            sys.executable, "-m", "tools.cluster", verb,
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=REPOSITORY, env={**self._env, **variables}, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_existing_cluster_gets_klambda_from_a_registry(cluster: Cluster, tmp_path: Path) -> None:
    if recorded(LAYOUT) != "native":
        pytest.skip("only the native node knows a registry on this machine")
    store = yaml.safe_load(LAYOUT.values.read_text())["store"]
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"store": store}))
    uninstall(cluster)
    address, _, port = addresses.LOCAL_REGISTRY.partition(":")
    try:
        with running_registry(tmp_path, address=address, port=int(port), public=True) as registry:
            newcomer = Newcomer(tmp_path, registry)

            status, said = newcomer.cluster_tool("up")
            assert status != 0
            assert "no default storage class" in said
            assert "VALUES=" in said

            status, said = newcomer.cluster_tool("up", VALUES=str(tmp_path / "values.yaml"))
            assert status == 0, said
            assert said.count('"area') + said.count('\\"area') >= 2
            for part in PARTS:
                (pod,) = cluster.pods_of(part)
                assert pod["spec"]["containers"][0]["image"].startswith(registry.host)

            status, said = newcomer.cluster_tool("down")
            assert status == 0, said
            assert not newcomer.state.exists()
            assert cluster.one("fn", "area-nodejs") is not None, "functions are the user's"
    finally:
        upgrade(cluster)
        cluster.wait_ready()
