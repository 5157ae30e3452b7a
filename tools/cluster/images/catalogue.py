"""Which images there are, and building those that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools.cluster import programs
from tools.cluster.images import contexts
from tools.cluster.images.builders import Builder
from tools.cluster.images.contexts import Context
from tools.cluster.layout import Layout
from tools.cluster.steps import Steps

RUNTIMES = ("python3.13", "nodejs22.x")


def application(layout: Layout, steps: Steps, *, base: str) -> list[Context]:
    """Return Klambda's images: the control plane, and one for each runtime with init in it."""
    programs.ensure(layout, steps, [programs.INIT])
    init = programs.INIT
    runtimes = [
        contexts.runtime(
            layout.repository,
            identifier,
            init=init.path(layout),
            init_version=init.version(),
            base=base,
        )
        for identifier in RUNTIMES
    ]
    wanted = [contexts.control_plane(layout.repository, base=base), *runtimes]
    return [each.frozen(folder(layout, each)) for each in wanted]


def folder(layout: Layout, context: Context) -> Path:
    """Return where an image's context is frozen."""
    return layout.state / "contexts" / context.name


def ensure(steps: Steps, builder: Builder, wanted: Sequence[Context]) -> None:
    """Build the images that were not built before."""
    for context in wanted:
        if builder.ready(context):
            continue
        with steps.step(
            f"build image {context.name}:{context.tag()}",
            log=f"image-{context.name}",
            remedy="Debian's mirror and the package registries must be reachable; run it again,"
            " finished layers are kept",
        ) as step:
            builder.build(context, step.shell)
