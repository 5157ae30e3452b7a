"""The native node: start what does not run, wait until it works, end it all.

Starting is idempotent: a living component whose configuration is unchanged is left alone. When the
holder is dead (first start, reboot, a run that was killed) what may be left of the last run is
ended first; data on disk (objects, images) is kept until `down`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import control_plane, programs
from tools.cluster.layout import Layout
from tools.cluster.native import (
    addresses,
    cgroups,
    components,
    configuration,
    dns,
    files,
    namespaces,
)
from tools.cluster.native.namespaces import Inside
from tools.cluster.native.processes import Processes
from tools.cluster.shell import CommandFailed, Shell
from tools.cluster.steps import Steps

HOLDER = "holder"
READY_SECONDS = 90.0
POLL_SECONDS = 0.1
RESOLV_CONFS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeNode:
    """One node in namespaces of its own."""

    layout: Layout
    sandbox_image: str
    egress: bool = False

    @property
    def folders(self) -> files.NodeFolders:
        """Where it writes."""
        return files.NodeFolders(root=self.layout.native)

    @property
    def open(self) -> bool:
        """Whether the node may reach what the machine reaches: once asked for, until `down`."""
        return self.egress or (self.folders.root / "forwarding").exists()

    @property
    def processes(self) -> Processes:
        """What runs."""
        return Processes(folders=self.folders)

    def start(self, steps: Steps) -> None:
        """Bring the node up to the point where containers can be imported and the API answers."""
        with steps.step(
            "network of the node",
            log="network",
            remedy="needs root; `make down` removes what another run left;"
            f" {addresses.LINK_RANGE}, {addresses.POD_RANGE} and {addresses.SERVICE_RANGE}"
            " must not be routed elsewhere",
        ) as step:
            inside = self._namespaces(step.shell)
            self._configure()
            if self.open:
                namespaces.open_egress(step.shell, self.folders.root / "forwarding")
        with steps.step(
            "etcd, kube-apiserver, containerd",
            log="control-plane",
            remedy=f"their logs are in {self.folders.logs}",
        ) as step:
            started = self._ensure(components.control(self.folders, self.layout.bin), inside)
            control_plane.wait_ready(
                components.apiserver_settings(self.folders),
                alive=lambda: self.processes.running("kube-apiserver") is not None,
            )
            self._wait(lambda: self._ctr(step.shell, inside, "version"), "containerd answers")
            step.note = started

    def join(self, steps: Steps) -> None:
        """Start the rest once the sandbox image is there, and wait until the node is Ready."""
        with steps.step(
            "kubelet, scheduler, controllers, kube-proxy, CoreDNS",
            log="node",
            remedy=f"their logs are in {self.folders.logs}",
        ) as step:
            inside = self.inside()
            started = self._ensure(components.agents(self.folders, self.layout.bin), inside)
            kubectl = self.layout.bin / "kubectl"
            flags = (f"--kubeconfig={self.layout.kubeconfig}",)
            step.shell.run(
                kubectl, *flags, "apply", "--server-side", "--force-conflicts", "-f", "-",
                given=dns.manifests(),
            )  # fmt: skip
            query = (kubectl, *flags, "get", "node", addresses.NODE_NAME, "-o", NODE_READY)
            self._wait(lambda: step.shell.run(*query) == "True", "the node is Ready")
            step.note = started

    def inside(self) -> Inside:
        """Return the way into the node's namespaces; ValueError when it does not run."""
        holder = self.processes.running(HOLDER)
        if holder is None:
            raise ValueError("the native node does not run")
        return Inside(holder=holder.pid)

    def import_image(self, shell: Shell, archive: Path) -> None:
        """Import an OCI archive into containerd, named as inside the archive."""
        self._run_ctr(shell, "images", "import", "--no-unpack=false", str(archive))

    def images(self, shell: Shell) -> set[str]:
        """Return the names of the images that containerd has."""
        return set(self._run_ctr(shell, "images", "list", "--quiet").split())

    def remove_image(self, shell: Shell, name: str) -> None:
        """Remove an image that is no longer used."""
        self._run_ctr(shell, "images", "remove", name)

    def stop(self, steps: Steps) -> None:
        """End everything and remove everything but the cache."""
        with steps.step(
            "stop the native node",
            log="stop",
            remedy="run `make down` again; `mount | grep klambda` and `ps` show what is left",
        ) as step:
            ended = self._clean(step.shell)
            namespaces.remove_created(self.folders.root / "created.json")
            step.shell.run("rm", "-rf", self.folders.root)  # images: many files, rm is quicker
            step.note = f"{ended} processes ended"

    def _namespaces(self, shell: Shell) -> Inside:
        foreign = self.processes.foreign()
        if foreign:
            raise ValueError(f"another checkout's cluster runs here: {', '.join(foreign)}")
        if self.processes.running(HOLDER) is not None:
            return self.inside()
        self._clean(shell)
        self.folders.root.mkdir(parents=True, exist_ok=True)
        program = programs.PAUSE.path(self.layout)
        holder = namespaces.hold(program, self.processes.environment())
        inside = Inside(holder=holder)
        cgroups.create()
        namespaces.private_mounts(shell, inside, self.folders.root / "created.json")
        filters = namespaces.connect(shell, inside)
        facts = {"bridge_filter": filters, "snapshotter": snapshotter(shell, self.folders.root)}
        (self.folders.root / "facts.json").write_text(json.dumps(facts))
        self.processes.record.write(HOLDER, holder, "")  # last: only a whole one is found again
        return inside

    def _clean(self, shell: Shell) -> int:
        ended = self.processes.end_all()
        namespaces.disconnect(shell, self.folders.root / "forwarding")
        cgroups.remove()
        return ended

    def _configure(self) -> None:
        """Write keys, kubeconfigs and configuration files."""
        facts = json.loads((self.folders.root / "facts.json").read_text())
        configuration.write(
            self.folders,
            kubeconfig=self.layout.kubeconfig,
            sandbox_image=self.sandbox_image,
            snapshotter=facts["snapshotter"],
            bridge_filter=facts["bridge_filter"],
            name_servers=self._name_servers() if self.open else [],
        )

    def _ensure(self, wanted: list[components.Component], inside: Inside) -> str:
        started = [each.name for each in wanted if self.processes.ensure(each, inside)]
        return f"started {', '.join(started)}" if started else "already running"

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        reason = ""
        while time.monotonic() < deadline:
            try:
                if condition():
                    return
            except CommandFailed as error:
                reason = str(error)
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"not within {READY_SECONDS:.0f} s: {what}\n{reason}")

    def _ctr(self, shell: Shell, inside: Inside, *words: str) -> bool:
        inside.run(shell, "ctr", "--namespace=k8s.io", *words)
        return True

    def _run_ctr(self, shell: Shell, *words: str) -> str:
        return self.inside().run(shell, "ctr", "--namespace=k8s.io", *words)

    def _name_servers(self) -> list[str]:
        for path in RESOLV_CONFS:
            if path.exists() and (servers := dns.upstreams(path.read_text())):
                return servers
        return []


NODE_READY = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'


def snapshotter(shell: Shell, folder: Path) -> str:
    """Return the snapshotter this folder's filesystem allows.

    `native` copies whole images (seconds instead of milliseconds), but works where overlay mounts
    do not: in containers whose own root is an overlay.
    """
    probe = folder / "probe"
    layers = {name: probe / name for name in ("lower", "upper", "work", "merged")}
    for layer in layers.values():
        layer.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={layers['lower']},upperdir={layers['upper']},workdir={layers['work']}"
    script = f"mount -t overlay overlay -o {options} {layers['merged']}"
    try:
        works = shell.succeeds("unshare", "--mount", "sh", "-c", script)
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    return "overlayfs" if works else "native"
