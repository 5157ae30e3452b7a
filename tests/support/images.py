"""Images for end-to-end tests: built with buildah on our base, pushed to a test's registry."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

from tests.support.registry import PASSWORD, USER, Registry
from tools.cluster import programs
from tools.cluster.images import catalogue, contexts
from tools.cluster.images.builders import CA_BUNDLE, Buildah, trust_options
from tools.cluster.layout import Layout
from tools.cluster.shell import Shell
from tools.cluster.steps import Steps


def build_and_push(
    folder: Path, extra: Mapping[str, Path], registry: Registry, names: Mapping[str, str]
) -> None:
    """Build stages of a Dockerfile and push each under its name: ``names`` by stage."""
    layout = Layout.of(os.environ)
    builder = Buildah(layout=layout)
    shell = Shell(environment={"PATH": layout.search_path()}, log=layout.logs / "test-images.log")
    init = _init(layout, builder)
    files = contexts.tree(folder) | dict(extra)
    context = contexts.Context(name="test-images", files=files)
    frozen = context.frozen(layout.state / "contexts" / context.name)
    for stage, name in names.items():
        shell.stream(
            *builder.command("build"), "--layers", "--isolation=chroot", "--pull-never",
            f"--build-arg=BASE={builder.base()}", f"--build-arg=INIT={init}",
            *trust_options(Path(CA_BUNDLE)), f"--target={stage}", f"--tag=localhost/{name}",
            frozen.place,
        )  # fmt: skip
        push(shell, builder, registry, f"localhost/{name}", name)


def push(shell: Shell, builder: Buildah, registry: Registry, image: str, name: str) -> None:
    """Push an image of the builder's store."""
    shell.stream(
        *builder.command("push"), "--tls-verify=false", f"--creds={USER}:{PASSWORD}",
        image, f"docker://{registry.host}/{name}",
    )  # fmt: skip


def _init(layout: Layout, builder: Buildah) -> str:
    """The name of the image that carries init; `make up` has built it."""
    steps = Steps(out=io.StringIO(), logs=layout.logs, environment=dict)
    program = programs.INIT
    context = contexts.init(
        program.path(layout), program.module / "Dockerfile", version=program.version()
    ).frozen(catalogue.folder(layout, contexts.Context(name="init", files={})))
    catalogue.ensure(steps, builder, [context])
    return context.reference()
