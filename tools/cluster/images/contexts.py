"""What each image is made of, and the tag that follows from it.

A context is a list of files with their place in the build context; its digest covers places,
contents, executable bits and build arguments. `frozen` copies it into a folder, which is then all
that the builder sees: sources that are edited meanwhile belong to the next run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.compiled import modules

TAG_LENGTH = 12
REGISTRY = "docker.io/klambda"
LEFT_OUT = {"__pycache__", ".mypy_cache", ".ruff_cache", "node_modules"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The files of a build, by their place in it, and the build arguments."""

    name: str  # e.g. "runtime-python3.13"
    files: Mapping[str, Path]
    arguments: Mapping[str, str] = field(default_factory=dict)
    base: str = ""  # what identifies the base image; nothing for FROM scratch
    folder: Path | None = None  # where it lies, once frozen

    def digest(self) -> str:
        """Return the hash of everything that goes in."""
        digest = hashlib.sha256(f"{self.base}\0{sorted(self.arguments.items())}\0".encode())
        for place, source in sorted(self.files.items()):
            content = source.read_bytes()
            executable = os.access(source, os.X_OK)
            digest.update(f"{place}\0{executable:d}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    @property
    def place(self) -> Path:
        """Return the folder to build in; ValueError before it is frozen."""
        if self.folder is None:
            raise ValueError(f"the context of {self.name} is not frozen")
        return self.folder

    def tag(self) -> str:
        """Return the image's tag."""
        return self.digest()[:TAG_LENGTH]

    def reference(self, registry: str = REGISTRY) -> str:
        """Return the image's full name."""
        return f"{registry}/{self.name}:{self.tag()}"

    def frozen(self, folder: Path) -> Context:
        """Copy the files into an emptied folder and return the context of the copies."""
        shutil.rmtree(folder, ignore_errors=True)
        for place, source in self.files.items():
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
            target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        return replace(self, files={place: folder / place for place in self.files}, folder=folder)


def tree(folder: Path, place: str = "") -> dict[str, Path]:
    """Return all files below a folder by their place in a context."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        left_out = LEFT_OUT.intersection(relative.parts) or path.name.endswith(".egg-info")
        if path.is_file() and not left_out:
            found[str(Path(place) / relative)] = path
    return found


def control_plane(repository: Path, *, base: str) -> Context:
    """Return the image of gateway, operator and store."""
    files = {
        "Dockerfile": repository / "Dockerfile",
        "requirements/control-plane.lock": repository / "requirements" / "control-plane.lock",
    }
    for folder in ("common", "gateway", "operator", "store"):
        files |= tree(repository / folder, folder)
    # The hot modules a second time, and what compiles them: a layer that only they move.
    files["requirements/compiler.lock"] = repository / "requirements" / "compiler.lock"
    for place in (*map(modules.place, modules.MODULES), *modules.COMPILER):
        files[f"hot/{place}"] = repository / place
    return Context(name="control-plane", files=files, base=base)


def runtime(
    repository: Path, identifier: str, *, init: Path, init_version: str, base: str
) -> Context:
    """Return a runtime's image: its folder, what all of them share, and init."""
    folder = repository / "runtimes"
    files = tree(folder / identifier) | tree(folder / "shared") | {"init": init}
    arguments = {"INIT_VERSION": init_version}
    return Context(name=f"runtime-{identifier}", files=files, arguments=arguments, base=base)


def init(program: Path, dockerfile: Path, *, version: str) -> Context:
    """Return the image that carries init alone, for images that do not."""
    files = {"Dockerfile": dockerfile, "init": program}
    return Context(name="init", files=files, arguments={"INIT_VERSION": version})


def pause(program: Path, dockerfile: Path) -> Context:
    """Return the image that holds a pod's namespaces (native node only)."""
    return Context(name="pause", files={"Dockerfile": dockerfile, "pause": program})
