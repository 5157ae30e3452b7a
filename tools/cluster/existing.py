"""The cluster of the current kubeconfig: nothing of it is started or stopped, only Klambda.

Images go to REGISTRY=, or straight into kind or minikube when the context is one of theirs. The
gateway is reached by `kubectl port-forward`, which runs in the background until `make down`: it is
started again when it ends, as it does with each gateway pod. What the chart should know about the
cluster comes from the user, in VALUES=.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import programs, record
from tools.cluster.images.builders import Buildah, Docker
from tools.cluster.images.contexts import Context
from tools.cluster.layout import Layout
from tools.cluster.shell import Shell
from tools.cluster.steps import Steps

FORWARD = "port-forward"
FORWARD_AGAIN = """trap 'kill $child; exit' TERM
while :; do "$@" & child=$!; wait $child; sleep 0.3; done"""
FORWARD_SECONDS = 30.0
POLL_SECONDS = 0.1
GATEWAY = ("127.0.0.1", 8080)
DEFAULT_CLASS = (
    r"jsonpath={.items[?(@.metadata.annotations.storageclass\.kubernetes\.io/is-default-class"
    r'=="true")].metadata.name}'
)
KIND_PREFIX = "kind-"
NAMESPACE = "klambda"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingCluster:
    """Somebody's cluster."""

    layout: Layout
    registry: str
    docker: bool
    described: bool = False  # in VALUES=

    @property
    def builder(self) -> Buildah | Docker:
        """Return Docker where it answers, else buildah."""
        return Docker(layout=self.layout) if self.docker else Buildah(layout=self.layout)

    @property
    def folder(self) -> Path:
        """Return where the port-forward is written down."""
        return self.layout.state / "existing"

    def start(self, steps: Steps) -> None:
        """Copy the current context's kubeconfig and see that the cluster answers."""
        programs.ensure_clients(self.layout, steps)
        with steps.step(
            "the cluster of the current kubeconfig",
            log="existing",
            remedy="`kubectl get nodes` must work in this shell (KUBECONFIG, current context)",
        ) as step:
            view = step.shell.run("kubectl", "config", "view", "--minify", "--flatten", "--raw")
            self.layout.kubeconfig.touch(mode=0o600)
            self.layout.kubeconfig.write_text(view)
            step.shell.run("kubectl", "get", "nodes", timeout=30)
            step.note = self._context(step.shell)
        with steps.step(
            "a place for the store's volume",
            log="existing",
            remedy="say `store: {persistence: {storageClass: ...}}` (or hostPath, on one node) in"
            " a file of values: make up CLUSTER=existing VALUES=<file>",
        ) as step:
            step.note = self._storage(step.shell)

    def load(self, steps: Steps, contexts: Sequence[Context]) -> None:
        """Push to the registry, or load into kind or minikube."""
        with steps.step(
            "load images",
            log="load",
            remedy="make up CLUSTER=existing REGISTRY=<registry>/<path>, one you may push to and"
            " the nodes may pull from",
        ) as step:
            current = self._context(step.shell)
            for context in contexts:
                self._load(step.shell, current, context)
            step.note = self.registry or current

    def reference(self, context: Context) -> str:
        """Return the name in the registry, if there is one."""
        return context.reference(self.registry) if self.registry else context.reference()

    def values(self) -> Mapping[str, object]:
        """Nothing: the chart's defaults fit any cluster."""
        return {}

    def expose(self, steps: Steps) -> None:
        """Start the port-forward unless it runs."""
        written = record.Record(self.folder)
        if written.find(FORWARD) is not None:
            return
        with steps.step(
            "forward 127.0.0.1:8080 to the gateway",
            log=FORWARD,
            remedy="end what listens there; `kubectl -n klambda get pods` shows the gateway",
        ) as step:
            if accepts(GATEWAY):
                raise ValueError(f"something else listens on {GATEWAY[0]}:{GATEWAY[1]}")
            self.folder.mkdir(parents=True, exist_ok=True)
            command = [
                "sh", "-c", FORWARD_AGAIN, FORWARD,
                "kubectl", f"--kubeconfig={self.layout.kubeconfig}", f"--namespace={NAMESPACE}",
                "port-forward", "service/klambda-gateway", f"{GATEWAY[1]}:8080",
            ]  # fmt: skip
            with (self.folder / f"{FORWARD}.log").open("ab") as log:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip
            written.write(FORWARD, process.pid, "")
            deadline = time.monotonic() + FORWARD_SECONDS
            while not accepts(GATEWAY):
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"no answer; see {self.folder / f'{FORWARD}.log'}")
                time.sleep(POLL_SECONDS)
            step.note = f"pid {process.pid}"

    def stop(self, steps: Steps) -> None:
        """Uninstall Klambda and end the port-forward; functions and CRDs are the user's."""
        with steps.step(
            "uninstall Klambda", log="stop", remedy="does the cluster still answer?"
        ) as step:
            step.shell.run(
                "helm", f"--kubeconfig={self.layout.kubeconfig}", "uninstall", "klambda",
                f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait",
            )  # fmt: skip
            record.end([started.pid for started in record.Record(self.folder).all()])
            step.note = "functions are kept; `kubectl delete crd -l app.kubernetes.io/name=klambda`"

    def parts(self) -> list[str]:
        """Return the port-forward."""
        return [f"{each.name:<26}pid {each.pid}" for each in record.Record(self.folder).all()]

    def _storage(self, shell: Shell) -> str:
        """Return whose volume it will be; ValueError when it would wait for one for ever."""
        flag = f"--kubeconfig={self.layout.kubeconfig}"
        found = shell.run("kubectl", flag, "get", "storageclass", "-o", DEFAULT_CLASS).split()
        if found:
            return f"storage class {found[0]}"
        if self.described:
            return "no default storage class; VALUES= decides"
        raise ValueError("the cluster has no default storage class")

    def _context(self, shell: Shell) -> str:
        flag = f"--kubeconfig={self.layout.kubeconfig}"
        return shell.run("kubectl", flag, "config", "current-context").strip()

    def _load(self, shell: Shell, current: str, context: Context) -> None:
        if self.registry:
            self.builder.push(context, self.reference(context), shell)
        elif current.startswith(KIND_PREFIX):
            name = current.removeprefix(KIND_PREFIX)
            shell.stream("kind", "load", "docker-image", f"--name={name}", context.reference())
        elif current == "minikube":
            shell.stream("minikube", "image", "load", context.reference())
        else:
            raise ValueError(f"how do images get to {current}? There is no REGISTRY")


def accepts(address: tuple[str, int]) -> bool:
    """Whether something listens there."""
    try:
        with socket.create_connection(address, timeout=1):
            return True
    except OSError:
        return False
