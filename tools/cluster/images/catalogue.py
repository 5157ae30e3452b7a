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

RUNTIMES = ("python3.13", "nodejs22.x", "nodejs24.x", "java21", "provided.al2023")
DEFAULT_RUNTIMES = ("python3.13", "nodejs22.x", "provided.al2023")
"""What `make up` builds unasked."""


def chosen(layout: Layout, wanted: str) -> tuple[str, ...]:
    """Return the runtimes to build: the default ones and those of RUNTIMES, until `down`.

    `wanted` is a list of identifiers or the word `all`; ValueError for one that there is not.
    """
    words = set(wanted.replace(",", " ").split())
    if words == {"all"}:
        words = set(RUNTIMES)
    if unknown := sorted(words.difference(RUNTIMES)):
        raise ValueError(f"RUNTIMES: no runtime {', '.join(unknown)}; all or {', '.join(RUNTIMES)}")
    memory = layout.state / "runtimes"
    if memory.exists():
        words.update(memory.read_text().split())
    result = tuple(each for each in RUNTIMES if each in words.union(DEFAULT_RUNTIMES))
    layout.state.mkdir(parents=True, exist_ok=True)
    memory.write_text("\n".join(result) + "\n")
    return result


def application(
    layout: Layout, steps: Steps, *, base: str, runtimes: Sequence[str]
) -> list[Context]:
    """Return Klambda's images: the control plane, and one for each runtime with init in it."""
    programs.ensure(layout, steps, [programs.INIT])
    init = programs.INIT
    images = [
        contexts.runtime(
            layout.repository,
            identifier,
            init=init.path(layout),
            init_version=init.version(),
            base=base,
        )
        for identifier in runtimes
    ]
    carrier = contexts.init(init.path(layout), init.module / "Dockerfile", version=init.version())
    wanted = [contexts.control_plane(layout.repository, base=base), carrier, *images]
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
