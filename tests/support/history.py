"""Sources of the past, for what must work across an upgrade."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def before_last_change(*paths: str) -> str | None:
    """Return the commit before the last one that changed these; None when git does not know it."""
    git = ["git", "-C", str(REPOSITORY), "log", "--format=%H", "-2", "--", *paths]
    done = subprocess.run(git, capture_output=True, text=True)
    commits = done.stdout.split()
    return commits[1] if done.returncode == 0 and len(commits) == 2 else None


def extract(commit: str, folder: Path, *paths: str) -> None:
    """Write the sources of a commit into a folder."""
    git = ["git", "-C", str(REPOSITORY), "archive", commit, *paths]
    archive = subprocess.run(git, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
