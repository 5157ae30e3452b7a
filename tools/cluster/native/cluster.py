"""The native node as one of the kinds of cluster (`tools.cluster.cluster`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tools.cluster import packages, programs
from tools.cluster.images import catalogue, contexts
from tools.cluster.images.builders import Buildah
from tools.cluster.images.contexts import Context
from tools.cluster.layout import Layout
from tools.cluster.native import addresses, cgroups
from tools.cluster.native.node import NativeNode
from tools.cluster.steps import Steps

PULL_SECRET = "klambda-registry"  # noqa: S105 - its name: credentials of the local registry
NAME_WIDTH = 36
PAUSE_DOCKERFILE = programs.MODULES / "pause" / "Dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeCluster:
    """Kubernetes as processes of this machine."""

    layout: Layout
    egress: bool = False

    @property
    def builder(self) -> Buildah:
        """Return what builds its images."""
        return Buildah(layout=self.layout)

    @property
    def pause(self) -> Context:
        """Return the sandbox image."""
        image = contexts.pause(programs.PAUSE.path(self.layout), PAUSE_DOCKERFILE)
        return replace(image, folder=catalogue.folder(self.layout, image))

    @property
    def node(self) -> NativeNode:
        """Return the node."""
        return NativeNode(
            layout=self.layout, sandbox_image=self.pause.reference(), egress=self.egress
        )

    def start(self, steps: Steps) -> None:
        """Install and build what it needs, start it, wait until it is Ready."""
        with steps.step("check this machine", log="check", remedy="run it as root") as step:
            if os.geteuid() != 0:
                raise ValueError("the native node makes namespaces and mounts: it needs root")
            step.note = "no Docker engine in use, Kubernetes runs natively"
        packages.ensure(steps)
        programs.ensure(self.layout, steps, programs.NATIVE)
        pause = self.pause.frozen(self.pause.place)
        catalogue.ensure(steps, self.builder, [pause])
        self.node.start(steps)
        self.load(steps, [pause])
        self.node.join(steps)

    def load(self, steps: Steps, contexts: Sequence[Context]) -> None:
        """Import into containerd what it does not have."""
        with steps.step(
            "load images",
            log="load",
            remedy="`make down`, then `make up`, starts containerd afresh",
        ) as step:
            there = self.node.images(step.shell)
            absent = [each for each in contexts if each.reference() not in there]
            archives = [self.builder.archive(context) for context in absent]
            # At once: each waits for the disk most of the time (14 s for three, not 23).
            with ThreadPoolExecutor(max_workers=4) as pool:
                list(pool.map(partial(self.node.import_image, step.shell), archives))
            step.note = ", ".join(each.name for each in absent) or "unchanged"

    def reference(self, context: Context) -> str:
        """Return the image's own name."""
        return context.reference()

    def values(self) -> Mapping[str, object]:
        """Return the forwarder's node port, where the store keeps its data, the local registry."""
        service = {"type": "NodePort", "nodePort": addresses.GATEWAY_NODE_PORT}
        persistence = {"enabled": False, "hostPath": str(self.node.folders.store)}
        images = {
            "insecureRegistries": [addresses.LOCAL_REGISTRY],
            "pullSecrets": [PULL_SECRET],
        }
        return {
            "gateway": {"service": service},
            "store": {"persistence": persistence},
            "functionImages": images,
        }

    def expose(self, steps: Steps) -> None:
        """Nothing to do: the forwarder runs as long as the node."""

    def stop(self, steps: Steps) -> None:
        """End everything."""
        self.node.stop(steps)

    def parts(self) -> list[str]:
        """Return each process with its memory, and each program of a pod."""
        started = self.node.processes.record.all()
        every = [(each.name, each.pid) for each in started]
        return [
            f"{name:<40}pid {pid:<8}{resident_mib(pid):>6.0f} MiB"
            for name, pid in every + sorted(map(contained, cgroups.members()))
        ]


def contained(pid: int) -> tuple[str, int]:
    """Return what a process in a pod calls itself: its command line, cut."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    return " ".join(word for word in words if word)[:NAME_WIDTH] or "(ended)", pid


def resident_mib(pid: int) -> float:
    """Return a process's resident memory; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    for line in status.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
