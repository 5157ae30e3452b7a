"""Cold start of the Python hello function: fresh pod, image present, request to answer.

Run by `make bench-cold` against the cluster of `make up`, one function after another so that the
cluster is otherwise idle and has room (their instances go after IDLE seconds: a node of two cores
holds about 25). Every sample is a function of its own that has never run. Prints the
distribution of the whole request as its caller sees it, of each phase as init tells it in the
REPORT line, and of warm requests to the same functions for comparison. Milliseconds. With variables
or layers, functions with and without them take turns.
"""

from __future__ import annotations

import argparse
import base64
import functools
import json
import re
import secrets
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import java
from tests.support.cluster import Cluster, wait_until, zip_of

PHASE = re.compile(r"(\w+) ([\d.]+) ms")
SOURCE = "def handler(event, context):\n    return 'hello'\n"
NODE_SOURCE = "export const handler = async () => 'hello';\n"
WARM = 20  # warm requests per function
IDLE = 10  # seconds


def manifest(name: str, runtime: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a hello function in `runtime`, with these members of its spec besides."""
    return {
        "apiVersion": "klambda.io/v1alpha1",
        "kind": "Function",
        "metadata": {"name": name},
        "spec": {"runtime": runtime, "scaling": {"idleSeconds": IDLE}, **code(runtime), **extra},
    }


@functools.cache
def code(runtime: str) -> dict[str, Any]:
    """The function's code and handler."""
    if runtime.startswith("java"):
        with tempfile.TemporaryDirectory() as folder:
            classes = java.compiled(Path(__file__).with_name("java"), (), Path(folder))
        packed = base64.b64encode(zip_of(classes)).decode()
        return {"handler": "hello.Hello::handler", "memorySize": 512, "code": {"zip": packed}}
    files = {"app.py": SOURCE} if runtime.startswith("python") else {"app.mjs": NODE_SOURCE}
    return {"handler": "app.handler", "code": {"files": files}}


def dress(cluster: Cluster, prefix: str, variables: int, layers: int) -> dict[str, Any]:
    """Members of a spec: so many variables, and layers that are published for it."""
    extra: dict[str, Any] = {}
    if variables:
        names = (f"VARIABLE_{number}" for number in range(variables))
        extra["environment"] = {"variables": dict.fromkeys(names, "value")}
    if layers:
        made = [
            cluster.aws.publish_layer_version(
                LayerName=f"{prefix}-{number}",
                Content={"ZipFile": zip_of({f"python/layer_{number}.py": "HERE = True\n"})},
            )
            for number in range(layers)
        ]
        extra["layers"] = [each["LayerVersionArn"] for each in made]
    return extra


def undress(cluster: Cluster, prefix: str, layers: int) -> None:
    """Delete the layers again."""
    for number in range(layers):
        cluster.aws.delete_layer_version(LayerName=f"{prefix}-{number}", VersionNumber=1)


def phases(log: str) -> dict[str, float]:
    """Return init's phases (name → ms) from the REPORT line of a log tail."""
    _, _, text = log.partition("Phases: ")
    return {name: float(value) for name, value in PHASE.findall(text)}


def sample(cluster: Cluster, name: str, rows: dict[str, list[float]]) -> None:
    """Invoke a function that has no instance, then again while it has one."""
    began = time.perf_counter()
    answer = cluster.invoke_raw(name, LogType="Tail")
    rows["request to answer"].append((time.perf_counter() - began) * 1000)
    if answer["Payload"] != b'"hello"':
        sys.exit(f"{name} answered {answer['Payload']!r}")
    for phase, value in phases(answer["Log"]).items():
        rows[f"  {phase}"].append(value)
    for _ in range(WARM):
        began = time.perf_counter()
        cluster.invoke_raw(name)
        rows["warm request"].append((time.perf_counter() - began) * 1000)


def table(rows: dict[str, list[float]]) -> str:
    """Render the distributions as a Markdown table."""
    lines = ["| ms | n | min | p50 | p90 | p99 | max |", "|---|--:|--:|--:|--:|--:|--:|"]
    for name, values in rows.items():
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        figures = (min(values), cuts[49], cuts[89], cuts[98], max(values))
        cells = " | ".join(f"{figure:.1f}" for figure in figures)
        lines.append(f"| {name} | {len(values)} | {cells} |")
    return "\n".join(lines)


def left(cluster: Cluster, name: str) -> bool:
    """Tell whether anything of a function is still there."""
    return any(cluster.children(name).values())


def read_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", default="python3.13")
    parser.add_argument("--samples", type=int, default=30, help="of each kind")
    parser.add_argument("--variables", type=int, default=0, help="environment variables of each")
    parser.add_argument("--layers", type=int, default=0, help="small layers of each")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds of quiet before each")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = read_options(words)
    cluster = Cluster()
    prefix = f"bench-cold-{secrets.token_hex(3)}"
    dressed = f"{options.variables} variables, {options.layers} layers"
    kinds = ["plain", dressed] if options.variables or options.layers else ["plain"]
    turns = [(kind, turn) for turn in range(options.samples) for kind in kinds]
    names = [f"{prefix}-{kinds.index(kind)}-{turn}" for kind, turn in turns]
    rows: dict[str, dict[str, list[float]]] = {kind: defaultdict(list) for kind in kinds}
    try:
        extra = {"plain": {}, dressed: dress(cluster, prefix, options.variables, options.layers)}
        items = [
            manifest(name, options.runtime, extra[kind])
            for name, (kind, _) in zip(names, turns, strict=True)
        ]
        cluster.kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}),
        )
        cluster.kubectl("wait", "fn", *names, "--for=condition=Ready", "--timeout=120s")
        for number, (name, (kind, _)) in enumerate(zip(names, turns, strict=True), 1):
            time.sleep(options.pause)
            sample(cluster, name, rows[kind])
            took = rows[kind]["request to answer"][-1]
            print(f"{number}/{len(names)}  {took:7.1f} ms  {kind}", flush=True)
    finally:
        undress(cluster, prefix, options.layers)
        cluster.kubectl("delete", "fn", *names, "--ignore-not-found", "--wait=false")
        wait_until(
            "all are gone", lambda: not any(left(cluster, name) for name in names), timeout=120
        )
    for kind in kinds:
        print(
            f"\n{options.runtime}, {kind}, one at a time, {options.pause:g} s apart\n\n"
            f"{table(rows[kind])}"
        )


if __name__ == "__main__":
    main()
