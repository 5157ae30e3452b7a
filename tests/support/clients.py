"""AWS's own clients, unmodified, from their registries: made once, kept in the cache folder.

A client's folder is named by what it is made from; a lock makes several checkouts wait for one
another, a stamp says that the folder is complete.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.support.java import RELEASE, jars
from tools.cluster.layout import Layout

PROGRAMS = Path(__file__).parents[1] / "e2e" / "clients"
OLD_BOTO3 = "boto3==1.34.162", "botocore==1.34.162"
"""The newest of 1.34: it sends trailing slashes on some paths."""
SAM = ("aws-sam-cli==1.170.0",)
JAVASCRIPT = "@aws-sdk/client-lambda@3.1164.0"
LIMIT_S = 600


def python_with(*requirements: str) -> Path:
    """A virtual environment with these packages; its ``bin``."""

    def make(folder: Path) -> None:
        run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        run([*pip, "--disable-pip-version-check", *requirements])

    return _made(requirements[0].partition("=")[0], "\n".join(requirements), make) / "bin"


def javascript(program: str) -> Path:
    """A program beside AWS SDK for JavaScript v3."""

    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"type": "module"}')
        run(["npm", "install", "--silent", "--no-audit", "--no-fund", JAVASCRIPT], folder)

    folder = _made("javascript", JAVASCRIPT, make)
    source = PROGRAMS / program
    copy = folder / f"{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}-{program}"
    shutil.copyfile(source, copy)
    return copy


def go(program: str) -> Path:
    """A Go program with AWS SDK for Go v2, compiled."""
    sources = PROGRAMS / program

    def make(folder: Path) -> None:
        shutil.copytree(sources, folder)
        run(["go", "build", "-o", "client", "."], folder)

    text = "".join(path.read_text() for path in sorted(sources.iterdir()))
    return _made(program, text, make) / "client"


def java(program: str) -> list[str]:
    """The command of a Java program with AWS SDK for Java v2, compiled."""
    source = PROGRAMS / "java" / f"{program}.java"
    libraries = os.pathsep.join(map(str, jars(source.with_name("jars.lock"))))

    def make(folder: Path) -> None:
        run(["javac", "--release", RELEASE, "-d", str(folder), "-cp", libraries, str(source)])

    classes = _made("java", source.read_text() + libraries, make)
    return ["java", "-cp", f"{classes}{os.pathsep}{libraries}", program]


def run(words: list[str], folder: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a program and return its output; a failure shows its own words."""
    done = subprocess.run(
        words, cwd=folder, env=None if env is None else dict(env), capture_output=True, text=True,
        timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def _made(name: str, content: str, make: Callable[[Path], None]) -> Path:
    root = Layout.of(os.environ).cache / "clients"
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / ".complete"
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            stamp.touch()
    return folder
