"""Compiling, once for what goes in: sources, compiler, interpreter.

Invariants: a folder in the cache is complete or not there; its name is the hash of everything that
goes in. Not here: which modules (``modules``).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tools.compiled.modules import FOLDERS, MODULES, place

CONFIGURATION: Final = """\
[mypy]
mypy_path = {folders}
explicit_package_bases = True
namespace_packages = True
follow_imports = skip
ignore_missing_imports = True
check_untyped_defs = True
# What is outside the list is untyped here; `make type` sees all of it and is the judge.
allow_untyped_defs = True
warn_return_any = False
warn_unused_ignores = False
"""
SETUP: Final = """\
import sys
from mypyc.build import mypycify
from setuptools import setup

sources = sys.argv.pop().split()
extensions = mypycify(["--config-file=mypy.ini", *sources], opt_level="1", debug_level="0")
setup(name="compiled", packages=[], ext_modules=extensions)
"""


class NotCompiled(Exception):
    """There is nothing here to compile with."""


class Refused(NotCompiled):
    """The compiler refused the sources."""


def key(repository: Path) -> str:
    """Return the hash of everything that goes in."""
    digest = hashlib.sha256(f"{CONFIGURATION}{SETUP}".encode())
    for part in (version("mypy"), version("setuptools"), str(sysconfig.get_config_var("SOABI"))):
        digest.update(f"{part}\0".encode())
    for module in MODULES:
        digest.update((repository / place(module)).read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def find(repository: Path, cache: Path) -> Path | None:
    """Return the folder with the compiled modules, if they were built."""
    target = cache / "compiled" / key(repository)
    return target if target.exists() else None


def ensure(repository: Path, cache: Path) -> Path:
    """Return the folder with the compiled modules, built if need be. Raises NotCompiled."""
    target = cache / "compiled" / key(repository)
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="partial-", dir=target.parent) as directory:
            made = Path(directory) / "out"
            compile_to(repository, made)
            with contextlib.suppress(OSError):  # somebody was faster
                made.rename(target)
    return target


def compile_to(repository: Path, target: Path) -> None:
    """Compile into a folder. Raises NotCompiled."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise NotCompiled(f"there is no C compiler ({compiler})")
    if not (header := Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise NotCompiled(f"Python's headers are missing ({header})")
    with tempfile.TemporaryDirectory(prefix="klambda-compiled-") as directory:
        work = Path(directory)
        for module in MODULES:
            copy = work / place(module)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repository / place(module), copy)
        (work / "mypy.ini").write_text(
            CONFIGURATION.format(folders=":".join(sorted(set(FOLDERS.values()))))
        )
        (work / "setup.py").write_text(SETUP)
        done = subprocess.run(
            [
                sys.executable, "setup.py", "build_ext", "--build-lib", str(target),
                "--build-temp", "objects", " ".join(place(module) for module in MODULES),
            ],
            cwd=work, env=os.environ | {"MYPYPATH": ""}, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    if done.returncode:
        raise Refused("\n".join(done.stdout.splitlines()[-20:]))


def overlay(repository: Path, compiled: Path, target: Path) -> Path:
    """Lay sources and compiled modules together as the image has them; return the folder."""
    for package, folder in FOLDERS.items():
        shutil.copytree(
            repository / folder / package,
            target / package,
            ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )
    shutil.copytree(compiled, target, dirs_exist_ok=True)
    return target
