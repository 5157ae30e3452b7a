"""kind: Kubernetes in a Docker container, where a Docker engine answers.

`kind-config.yaml` maps the gateway's node port to 127.0.0.1:8080. Images are built by the engine.
KIND_IMAGE= chooses the node's image, and with it the version of Kubernetes; else kind does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import programs
from tools.cluster.images.builders import Docker
from tools.cluster.images.contexts import Context
from tools.cluster.layout import Layout
from tools.cluster.native import addresses
from tools.cluster.shell import Shell
from tools.cluster.steps import Steps

NAME = "klambda"
CONTEXT = "klambda"
CREATE_WAIT = "180s"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindCluster:
    """One kind cluster named `klambda`."""

    layout: Layout
    image: str = ""

    @property
    def builder(self) -> Docker:
        """Return what builds its images."""
        return Docker(layout=self.layout)

    @property
    def configuration(self) -> Path:
        """Return the cluster's description."""
        return self.layout.repository / "kind-config.yaml"

    def start(self, steps: Steps) -> None:
        """Create the cluster unless it is there."""
        programs.ensure_clients(self.layout, steps, programs.KIND)
        with steps.step(
            "kind cluster",
            log="kind",
            remedy="is 127.0.0.1:8080 free? `make down`, then `make up`, starts afresh",
        ) as step:
            shell = step.shell
            if NAME in shell.run("kind", "get", "clusters").split():
                shell.run(
                    "kind", "export", "kubeconfig", f"--name={NAME}",
                    f"--kubeconfig={self.layout.kubeconfig}",
                )  # fmt: skip
                step.note = "already there"
            else:
                self.layout.kubeconfig.unlink(missing_ok=True)
                shell.stream(
                    "kind", "create", "cluster", f"--name={NAME}", f"--wait={CREATE_WAIT}",
                    f"--config={self.configuration}", f"--kubeconfig={self.layout.kubeconfig}",
                    *([f"--image={self.image}"] if self.image else []),
                )  # fmt: skip
            self._rename_context(shell)

    def load(self, steps: Steps, contexts: Sequence[Context]) -> None:
        """Copy the images into the node (kind leaves out those that are there)."""
        with steps.step(
            "load images", log="load", remedy="is the disk full? `docker system df`"
        ) as step:
            references = [context.reference() for context in contexts]
            step.shell.stream("kind", "load", "docker-image", f"--name={NAME}", *references)

    def reference(self, context: Context) -> str:
        """Return the image's own name."""
        return context.reference()

    def values(self) -> Mapping[str, object]:
        """Return the node port that is mapped to this machine."""
        service = {"type": "NodePort", "nodePort": addresses.GATEWAY_NODE_PORT}
        return {"gateway": {"service": service}}

    def expose(self, steps: Steps) -> None:
        """Nothing to do: Docker maps the port."""

    def stop(self, steps: Steps) -> None:
        """Delete the cluster."""
        with steps.step(
            "delete the kind cluster", log="stop", remedy="is the Docker engine running?"
        ) as step:
            step.shell.run("kind", "delete", "cluster", f"--name={NAME}")

    def parts(self) -> list[str]:
        """Return Docker's view of the node."""
        shell = Shell(environment={"PATH": self.layout.search_path()})
        listing = shell.run(
            "docker", "ps", f"--filter=label=io.x-k8s.kind.cluster={NAME}",
            "--format={{.Names}}  {{.Status}}  {{.Image}}",
        )  # fmt: skip
        return listing.splitlines()

    def _rename_context(self, shell: Shell) -> None:
        flag = f"--kubeconfig={self.layout.kubeconfig}"
        names = shell.run("kubectl", flag, "config", "get-contexts", "-o", "name").split()
        created = f"kind-{NAME}"
        if created in names:
            if CONTEXT in names:
                shell.run("kubectl", flag, "config", "delete-context", CONTEXT)
            shell.run("kubectl", flag, "config", "rename-context", created, CONTEXT)
        shell.run("kubectl", flag, "config", "set-context", CONTEXT, "--namespace=default")
