"""Libraries as files of a function's zip: fetched once from PyPI or npm, kept in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.cluster import LAYOUT

Files = dict[str, str | bytes]
LEFT_OUT = {"tests", "__pycache__", ".bin", ".package-lock.json"}


def of_python(packages: Sequence[str]) -> Files:
    """Packages of PyPI for the runtime's Python, at the root of the zip; without tests."""
    platforms = [f"--platform={name}_x86_64" for name in ("manylinux_2_28", "manylinux2014")]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--python-version=3.13", *platforms, "--only-binary=:all:",
    ]  # fmt: skip
    words = sorted(packages)

    def install(folder: Path) -> None:
        subprocess.run([*command, f"--target={folder}", *words], check=True)

    return _files(_made("python", words, install))


def of_node(packages: Sequence[str]) -> Files:
    """Packages of npm, as the zip's node_modules."""
    words = sorted(packages)

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--omit=dev"]
        subprocess.run([*command, *words], cwd=folder, check=True)

    folder = _made("node", words, install) / "node_modules"
    return {f"node_modules/{path}": content for path, content in _files(folder).items()}


def _made(language: str, packages: list[str], install: Callable[[Path], None]) -> Path:
    name = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    folder = LAYOUT.cache / "libraries" / f"{language}-{name}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        install(partial)
        partial.rename(folder)
    return folder


def _files(folder: Path) -> Files:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not LEFT_OUT.intersection(path.relative_to(folder).parts)
    }
