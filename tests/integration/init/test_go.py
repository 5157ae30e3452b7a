"""init's own tests, run as part of the whole: vet, format, unit tests (with the race detector)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.instance_peer import go

SOURCE = Path(__file__).parents[3] / "runtimes" / "init"


def run(*arguments: str, race: bool = False) -> str:
    tool = go()
    if tool is None:
        pytest.skip("no Go tool on this machine")
    environment = os.environ | {"CGO_ENABLED": "1" if race else "0"}
    done = subprocess.run(
        [tool, *arguments], cwd=SOURCE, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_vet() -> None:
    run("vet", "./...")


def test_format() -> None:
    tool = go()
    if tool is None:
        pytest.skip("no Go tool on this machine")
    gofmt = Path(tool).resolve().with_name("gofmt")
    done = subprocess.run([gofmt, "-l", SOURCE], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_there_is_nothing_but_the_standard_library() -> None:
    lines = run("list", "-m", "all").splitlines()
    assert lines == ["klambda.io/init"]


@pytest.mark.slow
def test_packages() -> None:
    """With the race detector where there is a C compiler."""
    race = shutil.which("gcc") is not None
    run("test", *(["-race"] if race else []), "./...", race=race)
