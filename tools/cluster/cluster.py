"""What a cluster must be able to do for `up`, `down` and `status`; three kinds of it do.

The kind is chosen by CLUSTER=native|kind|existing; by default kind where a Docker engine answers,
else native. What was chosen is written to `.klambda/cluster`, so that `down` and `status` mean the
same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tools.cluster.images.builders import Builder
from tools.cluster.images.contexts import Context
from tools.cluster.layout import Layout
from tools.cluster.shell import Shell
from tools.cluster.steps import Steps

KINDS = ("native", "kind", "existing")


class Cluster(Protocol):
    """One way to have a Kubernetes cluster."""

    @property
    def builder(self) -> Builder:
        """Return what builds its images."""
        ...

    def start(self, steps: Steps) -> None:
        """Bring it up, or see that it is; afterwards the kubeconfig, kubectl and helm work."""
        ...

    def load(self, steps: Steps, contexts: Sequence[Context]) -> None:
        """Make its nodes have these images, which have been built."""
        ...

    def reference(self, context: Context) -> str:
        """Return the name by which its nodes know an image."""
        ...

    def values(self) -> Mapping[str, object]:
        """Return what the chart must know about it."""
        ...

    def expose(self, steps: Steps) -> None:
        """Make the gateway answer on 127.0.0.1:8080, once it is installed."""
        ...

    def stop(self, steps: Steps) -> None:
        """Undo all of that."""
        ...

    def parts(self) -> list[str]:
        """Return lines about its own processes, for `status`."""
        ...


def choose(wanted: str, *, docker: bool) -> str:
    """Return the kind of cluster; ValueError when there is none of that name."""
    if wanted in {"", "auto"}:
        return "kind" if docker else "native"
    if wanted not in KINDS:
        raise ValueError(f"CLUSTER={wanted}: it is one of {', '.join(KINDS)}")
    return wanted


def docker_answers() -> bool:
    """Whether a Docker engine can be used."""
    return Shell(environment={}).succeeds("docker", "info", timeout=20)


def recorded(layout: Layout) -> str | None:
    """Return the kind that `up` has started, if any."""
    path = _file(layout)
    return path.read_text().strip() if path.exists() else None


def record(layout: Layout, kind: str) -> None:
    """Remember the kind."""
    layout.state.mkdir(parents=True, exist_ok=True)
    _file(layout).write_text(f"{kind}\n")


def _file(layout: Layout) -> Path:
    return layout.state / "cluster"
