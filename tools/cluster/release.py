"""The Helm release: values of this cluster, install or upgrade, and nothing when nothing changed.

What was installed is remembered as one hash of chart, CRDs, values and cluster; an equal hash and
a release that Helm calls deployed leave out the upgrade.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.cluster.images.contexts import tree
from tools.cluster.layout import Layout
from tools.cluster.shell import CommandFailed, Shell
from tools.cluster.steps import Steps

NAME = "klambda"
NAMESPACE = "klambda"
RUNTIME_PREFIX = "runtime-"
TIMEOUT = "240s"
WORKLOADS = ("deployment/klambda-gateway", "deployment/klambda-operator",
             "statefulset/klambda-store")  # fmt: skip


def values(
    defaults: Mapping[str, Any], references: Mapping[str, str], cluster: Mapping[str, object]
) -> dict[str, object]:
    """Return the chart's values: the images by name, and what the kind of cluster asks for.

    `defaults` are the chart's own values: null takes away their rows of runtimes without an image.
    """
    runtimes = {
        name.removeprefix(RUNTIME_PREFIX): {"image": reference}
        for name, reference in references.items()
        if name.startswith(RUNTIME_PREFIX)
    }
    absent = set(defaults["runtimes"]).difference(runtimes)
    orphans = {old: None for old, new in defaults["runtimeSubstitutions"].items() if new in absent}
    return {
        "images": {"controlPlane": references["control-plane"], "init": references["init"]},
        "runtimes": {**runtimes, **dict.fromkeys(absent)},
        "runtimeSubstitutions": orphans,
        **cluster,
    }


def render(content: Mapping[str, object]) -> str:
    """Return the text of the values file."""
    return "# Written by `make up`: what this cluster tells the chart.\n" + yaml.safe_dump(
        dict(content), sort_keys=True
    )


def fingerprint(chart: Path, text: str, cluster_id: str) -> str:
    """Return the hash of everything that makes the release what it is."""
    digest = hashlib.sha256(f"{cluster_id}\0{text}\0".encode())
    for place, path in tree(chart).items():
        digest.update(f"{place}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Klambda's release in one cluster."""

    layout: Layout
    described: Path | None = None  # the user's own values, which win

    @property
    def chart(self) -> Path:
        """Return the chart."""
        return self.layout.repository / "helm" / "klambda"

    @property
    def remembered(self) -> Path:
        """Return the file with the hash of what was installed."""
        return self.layout.state / "release"

    def apply(
        self, steps: Steps, references: Mapping[str, str], cluster: Mapping[str, object]
    ) -> None:
        """Install or upgrade, and wait until every part is ready."""
        defaults = yaml.safe_load((self.chart / "values.yaml").read_text())
        text = render(values(defaults, references, cluster))
        self.layout.values.write_text(text)
        with steps.step(
            "install Klambda",
            log="helm",
            remedy="`kubectl -n klambda get pods,events` shows what does not start"
            " (after `. .klambda/env`)",
        ) as step:
            uid = self._cluster_id(step.shell)
            own = self.described.read_text() if self.described is not None else ""
            wanted = fingerprint(self.chart, text + own, uid)
            if self._installed(step.shell, wanted):
                step.note = "unchanged"
            else:
                self.remembered.unlink(missing_ok=True)
                step.note = self._upgrade(step.shell)
            self._wait(step.shell)
            self.remembered.write_text(wanted)

    def kubectl(self, shell: Shell, *words: str) -> str:
        """Run kubectl on this cluster."""
        return shell.run("kubectl", f"--kubeconfig={self.layout.kubeconfig}", *words)

    def _upgrade(self, shell: Shell) -> str:
        if str(self._status(shell).get("info", {}).get("status", "")).startswith("pending"):
            # An upgrade that was killed holds Helm's lock for ever: its record is the lock.
            self.kubectl(
                shell, f"--namespace={NAMESPACE}", "delete", "secret", "--selector",
                f"owner=helm,name={NAME},"
                "status in (pending-install,pending-upgrade,pending-rollback)",
            )  # fmt: skip
        files = [self.layout.values, *([self.described] if self.described is not None else [])]
        shell.run(
            "helm", "upgrade", "--install", NAME, self.chart,
            f"--kubeconfig={self.layout.kubeconfig}", f"--namespace={NAMESPACE}",
            "--create-namespace", *(f"--values={file}" for file in files), "--wait",
            f"--timeout={TIMEOUT}",
        )  # fmt: skip
        status = self._status(shell)
        return f"revision {status.get('version')}"

    def _installed(self, shell: Shell, wanted: str) -> bool:
        known = self.remembered.read_text() if self.remembered.exists() else ""
        if known != wanted:
            return False
        return bool(self._status(shell).get("info", {}).get("status") == "deployed")

    def _status(self, shell: Shell) -> dict[str, Any]:
        try:
            text = shell.run(
                "helm", "status", NAME, f"--kubeconfig={self.layout.kubeconfig}",
                f"--namespace={NAMESPACE}", "--output=json",
            )  # fmt: skip
        except CommandFailed:
            return {}
        found: dict[str, Any] = json.loads(text)
        return found

    def _wait(self, shell: Shell) -> None:
        for workload in WORKLOADS:
            self.kubectl(
                shell, f"--namespace={NAMESPACE}", "rollout", "status", workload,
                f"--timeout={TIMEOUT}",
            )  # fmt: skip

    def _cluster_id(self, shell: Shell) -> str:
        path = "jsonpath={.metadata.uid}"
        return self.kubectl(shell, "get", "namespace", "kube-system", "-o", path)
