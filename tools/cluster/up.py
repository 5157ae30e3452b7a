"""`make up`, `make down`, `make status`: the order in which things are done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import cluster as kinds
from tools.cluster import demo, environment
from tools.cluster.cluster import Cluster
from tools.cluster.existing import ExistingCluster
from tools.cluster.images import catalogue
from tools.cluster.images.contexts import Context
from tools.cluster.kind import KindCluster
from tools.cluster.layout import Layout
from tools.cluster.native.cluster import NativeCluster
from tools.cluster.release import NAMESPACE, Release
from tools.cluster.shell import CommandFailed, Shell
from tools.cluster.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user may say, as variables of make: CLUSTER, REGISTRY, VALUES, EGRESS and so on."""

    cluster: str = ""
    registry: str = ""
    values: Path | None = None
    egress: bool = False
    node_image: str = ""
    runtimes: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Options:
        """Read them from the environment."""
        return cls(
            cluster=variables.get("CLUSTER", ""),
            registry=variables.get("REGISTRY", "").rstrip("/"),
            values=Path(variables["VALUES"]).absolute() if variables.get("VALUES") else None,
            egress=variables.get("EGRESS", "") not in {"", "0", "no", "false"},
            node_image=variables.get("KIND_IMAGE", ""),
            runtimes=variables.get("RUNTIMES", ""),
        )


def select(layout: Layout, kind: str, options: Options, *, docker: bool) -> Cluster:
    """Return the cluster of a kind."""
    if kind == "native":
        return NativeCluster(layout=layout, egress=options.egress)
    if kind == "kind":
        return KindCluster(layout=layout, image=options.node_image)
    return ExistingCluster(
        layout=layout,
        registry=options.registry,
        docker=docker,
        described=options.values is not None,
    )


def up(layout: Layout, steps: Steps) -> None:
    """Bring up the cluster, Klambda on it, and an answer."""
    options = Options.of(os.environ)
    cluster = _chosen(layout, steps, options)
    cluster.start(steps)
    contexts = build(layout, steps, cluster, options.runtimes)
    cluster.load(steps, contexts)
    references = {context.name: cluster.reference(context) for context in contexts}
    release = Release(layout=layout, described=options.values)
    release.apply(steps, references, {**cluster.values(), **demo.values()})
    cluster.expose(steps)
    credentials = environment.write(layout, steps)
    demo.run(layout, steps, credentials)
    steps.say("Klambda is up. Next:  . .klambda/env  then  aws lambda list-functions")


def build(layout: Layout, steps: Steps, cluster: Cluster, runtimes: str) -> list[Context]:
    """Build the images that are missing and return them all."""
    chosen = catalogue.chosen(layout, runtimes)
    base = cluster.builder.base()
    contexts = catalogue.application(layout, steps, base=base, runtimes=chosen)
    catalogue.ensure(steps, cluster.builder, contexts)
    return contexts


def images(layout: Layout, steps: Steps) -> None:
    """Build the images without touching a cluster."""
    options = Options.of(os.environ)
    docker = kinds.docker_answers()
    kind = kinds.choose(options.cluster, docker=docker)
    cluster = select(layout, kind, options, docker=docker)
    for context in build(layout, steps, cluster, options.runtimes):
        steps.say(context.reference())


def down(layout: Layout, steps: Steps) -> None:
    """Undo `up`; the cache and installed packages stay."""
    kind = kinds.recorded(layout) or "native"  # a run that was killed early wrote nothing
    cluster = select(layout, kind, Options.of(os.environ), docker=kinds.docker_answers())
    cluster.stop(steps)
    shutil.rmtree(layout.state, ignore_errors=True)
    steps.say(f"gone; what was built is kept in {layout.cache}")


def run_demo(layout: Layout, steps: Steps) -> None:
    """Deploy and invoke the example on the running cluster."""
    demo.run(layout, steps, environment.write(layout, steps))


def status(layout: Layout, steps: Steps) -> None:
    """Tell what runs, in which version, and how much memory it takes."""
    del steps
    kind = kinds.recorded(layout)
    if kind is None:
        print("no cluster: run `make up`")
        return
    print(f"cluster: {kind}, kubeconfig {layout.kubeconfig}")
    cluster = select(layout, kind, Options.of(os.environ), docker=kind == "kind")
    for line in cluster.parts():
        print(f"  {line}")
    shell = Shell(environment={"PATH": layout.search_path()})
    kubectl = ("kubectl", f"--kubeconfig={layout.kubeconfig}")
    queries = (
        ("get", "nodes"),
        ("--namespace", NAMESPACE, "get", "pods", "-o", "wide"),
        ("get", "functions.klambda.io", "--all-namespaces"),
        ("get", "pods", "--all-namespaces", "-l", "app.kubernetes.io/managed-by=klambda"),
    )
    for query in queries:
        print(f"\n$ kubectl {' '.join(query)}")
        try:
            print(shell.run(*kubectl, *query, timeout=20).rstrip())
        except CommandFailed as error:
            print(error)


def _chosen(layout: Layout, steps: Steps, options: Options) -> Cluster:
    """Return the cluster to bring up: the recorded one, unless another is asked for."""
    docker = kinds.docker_answers()
    recorded = kinds.recorded(layout)
    with steps.step(
        "choose the kind of cluster",
        log="choose",
        remedy="`make down` takes away the running one; CLUSTER=native|kind|existing chooses",
    ) as step:
        kind = kinds.choose(options.cluster or recorded or "", docker=docker)
        if recorded is not None and recorded != kind:
            raise ValueError(f"a cluster of kind {recorded} is up already")
        kinds.record(layout, kind)
        step.note = kind
    return select(layout, kind, options, docker=docker)
