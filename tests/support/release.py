"""Klambda's own release in the running cluster: Helm as a user runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.support.cluster import CONTROL_PLANE, LAYOUT, Cluster, wait_until

PARTS = ("gateway", "operator", "store")


def helm(cluster: Cluster, *words: str) -> str:
    done = subprocess.run(["helm", *words], env=cluster.env, capture_output=True, text=True)
    assert done.returncode == 0, f"helm {' '.join(words)}: {done.stderr}"
    return done.stdout


def upgrade(cluster: Cluster, chart: Path, *flags: str) -> None:
    values = LAYOUT.values
    helm(
        cluster, "upgrade", "--install", "klambda", str(chart), "--namespace", CONTROL_PLANE,
        "--values", str(values), "--wait", "--timeout", "180s", *flags,
    )  # fmt: skip


def uninstall(cluster: Cluster) -> None:
    """Uninstall and wait until the parts are gone.

    A gateway on its way out would still take requests, without its rights to start anything.
    """
    helm(cluster, "uninstall", "klambda", "--namespace", CONTROL_PLANE, "--wait")
    wait_until("the parts are gone", lambda: not any(cluster.pods_of(part) for part in PARTS))


def running(cluster: Cluster, part: str) -> list[dict[str, Any]]:
    """Return the pods of a part that are not on their way out."""
    return [p for p in cluster.pods_of(part) if "deletionTimestamp" not in p["metadata"]]
