"""Shell commands of our documents, run as a reader pastes them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.cluster import REPOSITORY, Cluster

BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(document: str, start: str, end: str = "\n## ") -> list[str]:
    """Return the shell blocks between a passage's first words and what ends it, in order."""
    text = (REPOSITORY / document).read_text()
    _, found, rest = text.partition(start)
    assert found, f"{document} has no {start!r}"
    passage, _, _ = rest.partition(end)
    return BLOCK.findall(passage)


def paste(
    cluster: Cluster,
    script: str,
    *,
    folder: Path = REPOSITORY,
    timeout: float = 100,
    **variables: str,
) -> str:
    """Run it in a shell that has sourced `.klambda/env`; return what it printed."""
    environment: Mapping[str, str] = {**cluster.env, **variables}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
