"""init's own tests, run as part of the whole: vet, staticcheck, format, unit tests, fuzzing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.instance_peer import go

SOURCE = Path(__file__).parents[3] / "runtimes" / "init"
STATICCHECK = "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
FUZZING = "20s"
TARGETS = [
    (str(path.parent.relative_to(SOURCE)), target)
    for path in sorted(SOURCE.rglob("*_test.go"))
    for target in re.findall(r"^func (Fuzz\w+)", path.read_text(), re.MULTILINE)
]


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


def test_staticcheck() -> None:
    """Its module is fetched and compiled once, by Go's own cache."""
    run("run", STATICCHECK, "./...")


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
    """With the race detector, which wants a C compiler: `make integration` installs one."""
    if shutil.which("gcc") is None:
        run("test", "./...")
        pytest.skip("no gcc on this machine: without the race detector")
    run("test", "-race", "./...", race=True)


@pytest.mark.full
@pytest.mark.parametrize(("package", "target"), TARGETS)
def test_fuzz(package: str, target: str) -> None:
    """Frames, log records, zips and both HTTP surfaces; `test_packages` tries their seeds."""
    run("test", f"./{package}", "-run", "^$", "-fuzz", f"^{target}$", "-fuzztime", FUZZING)


MEMORY_MB = 15
"""Of init, idle and after 100,000 invocations (issue 5)."""


@pytest.mark.full
def test_memory_after_100_000_invocations() -> None:
    text = run("test", "-run", "^$", "-bench", "Warm", "-benchtime", "100000x", ".")
    found = dict(re.findall(r"init (idle|after \d+ invocations): VmRSS: (\d+) kB", text))
    assert set(found) == {"idle", "after 100000 invocations"}, text
    assert max(map(int, found.values())) <= MEMORY_MB << 10, found


def test_every_surface_is_fuzzed() -> None:
    assert {package.rpartition("/")[2] for package, _ in TARGETS} == {
        "extensionapi", "frame", "logs", "runtimeapi", "unpack",
    }  # fmt: skip
