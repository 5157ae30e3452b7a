"""Rendering the chart with Helm, for tests of any tier."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools.cluster import programs
from tools.cluster.layout import REPOSITORY, Layout
from tools.cluster.steps import Steps

CHART = REPOSITORY / "helm" / "klambda"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, where it is there: the CRDs are long."""
SCENARIOS = ("default", "local", "ha", "namespaced")


@cache
def helm() -> str:
    """The helm binary: `HELM`, the user's own, or ours, which is built when it is missing."""
    if found := os.environ.get("HELM") or shutil.which("helm"):
        return found
    layout = Layout.of(os.environ)
    steps = Steps(out=sys.stderr, logs=layout.logs, environment=dict)
    programs.ensure(layout, steps, [programs.HELM])
    return str(layout.bin / "helm")


def run_helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run helm, whatever it answers."""
    return subprocess.run([helm(), *words], capture_output=True, text=True)


def values_of(scenario: str) -> Path:
    """The values file of a scenario."""
    return CHART / "ci" / f"{scenario}-values.yaml"


def template(*words: str) -> str:
    """The rendered chart as text; fails with Helm's message."""
    done = run_helm("template", "klambda", str(CHART), "--namespace", "klambda", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text: str) -> list[dict[str, Any]]:
    """The objects in a rendered chart."""
    return [each for each in yaml.load_all(text, LOADER) if each]


def only(found: Sequence[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The one object of that kind and name."""
    (one,) = [each for each in found if each["kind"] == kind and each["metadata"]["name"] == name]
    return one
