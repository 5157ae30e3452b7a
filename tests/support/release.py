"""Klambda's own release in the running cluster: Helm as a user runs it, and a release of the past.

``former`` builds chart and images of an earlier commit, so that an upgrade is what users go
through: other programs, other runtime images, other CRDs, at the same time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support import history
from tests.support.cluster import CONTROL_PLANE, LAYOUT, REPOSITORY, Cluster, wait_until
from tools.cluster import programs
from tools.cluster.images import catalogue, contexts
from tools.cluster.layout import Layout
from tools.cluster.native.cluster import NativeCluster
from tools.cluster.steps import Steps

PARTS = ("gateway", "operator", "store")
CHART = REPOSITORY / "helm" / "klambda"
PYTHON = "python3.13"
GATHER = """
import json, sys
from pathlib import Path
from tools.cluster.images import contexts
folder, runtime, init, version, base = sys.argv[1:]
here = Path.cwd()
wanted = [
    contexts.control_plane(here, base=base),
    contexts.runtime(here, runtime, init=Path(init), init_version=version, base=base),
]
for each in wanted:
    each.frozen(Path(folder) / each.name)
print(json.dumps([[each.name, dict(each.arguments)] for each in wanted]))
"""
"""Run in a former tree: what goes into its images only its own tools know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """A release of the past: its chart, and values that name its images."""

    chart: Path
    values: Path


def helm(cluster: Cluster, *words: str) -> str:
    done = subprocess.run(["helm", *words], env=cluster.env, capture_output=True, text=True)
    assert done.returncode == 0, f"helm {' '.join(words)}: {done.stderr}"
    return done.stdout


def upgrade(cluster: Cluster, *flags: str, former: Former | None = None) -> None:
    """Install or upgrade to this checkout's release, or to a former one."""
    chart, values = (CHART, LAYOUT.values) if former is None else (former.chart, former.values)
    helm(
        cluster, "upgrade", "--install", "klambda", str(chart), "--namespace", CONTROL_PLANE,
        "--values", str(values), "--wait", "--timeout", "180s", *flags,
    )  # fmt: skip


def uninstall(cluster: Cluster) -> None:
    """Uninstall and wait until the parts are gone.

    A gateway on its way out would still take requests, without its rights to start anything.
    """
    helm(cluster, "uninstall", "klambda", "--namespace", CONTROL_PLANE, "--wait")
    wait_until("the parts are gone", lambda: not any(cluster.pods_of(part) for part in PARTS))


def running(cluster: Cluster, part: str) -> list[dict[str, Any]]:
    """Return the pods of a part that are not on their way out."""
    return [p for p in cluster.pods_of(part) if "deletionTimestamp" not in p["metadata"]]


def former(folder: Path) -> Former:
    """Build the release of the commit before the chart's last change; native node only."""
    layout = Layout(repository=folder / "tree", state=folder / "state", cache=LAYOUT.cache)
    history.extract(history.before_last_change("helm/klambda") or "HEAD", layout.repository)
    control_plane, runtime = _images(layout)
    chart = layout.repository / "helm" / "klambda"
    values = yaml.safe_load(LAYOUT.values.read_text())
    values["images"]["controlPlane"] = control_plane
    values["runtimes"] = {PYTHON: {"image": runtime}}
    schema = yaml.safe_load((chart / "values.schema.json").read_text())
    (folder / "values.yaml").write_text(yaml.safe_dump(known(values, schema)))
    return Former(chart=chart, values=folder / "values.yaml")


def _images(layout: Layout) -> tuple[str, str]:
    """Build and load the control plane and the Python runtime; return their names."""
    steps = Steps(out=sys.stderr, logs=layout.logs, environment=dict)
    cluster = NativeCluster(layout=LAYOUT)
    base = cluster.builder.base()
    module = layout.repository / "runtimes" / "init"
    init = programs.Program(name="init", module=module, version_variable="main.version")
    programs.ensure(layout, steps, [init])
    images = _contexts(layout, init.path(layout), init.version(), base)
    catalogue.ensure(steps, cluster.builder, images)
    cluster.load(steps, images)
    return images[0].reference(), images[1].reference()


def _contexts(layout: Layout, init: Path, version: str, base: str) -> list[contexts.Context]:
    """Return what the images are built of: the control plane's and the runtime's."""
    folder = layout.state / "contexts"
    done = subprocess.run(
        [sys.executable, "-c", GATHER, str(folder), PYTHON, str(init), version, base],
        cwd=layout.repository, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [
        contexts.Context(
            name=name,
            files=contexts.tree(folder / name),
            arguments=arguments,
            base=base,
            folder=folder / name,
        )
        for name, arguments in json.loads(done.stdout)
    ]


def known(values: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the values that a schema has a place for."""
    properties = schema.get("properties", {})
    if not properties:
        return values
    return {
        name: known(value, properties[name]) if isinstance(value, dict) else value
        for name, value in values.items()
        if name in properties
    }
