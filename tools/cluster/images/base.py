"""The base image where there is no registry: Debian trixie from its packages, like `-slim`.

Made once by mmdebstrap and kept in the cache; only the recipe's hash names it (Debian's security
updates come with a new recipe or an emptied cache). Dockerfiles take it as the argument BASE.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.shell import Shell

SUITE = "trixie"
PACKAGES = ("ca-certificates",)
# What Debian's own slim image leaves out.
LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/linda/*",
    "/usr/share/lintian/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The base image's recipe."""

    suite: str = SUITE
    packages: tuple[str, ...] = PACKAGES

    def command(self, target: Path) -> list[str]:
        """Return the call of mmdebstrap."""
        return [
            "mmdebstrap",
            "--variant=apt",
            f"--include={','.join(self.packages)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
            self.suite,
            str(target),
        ]

    def key(self) -> str:
        """Return the recipe's hash."""
        return hashlib.sha256("\0".join(self.command(Path("-"))).encode()).hexdigest()[:12]

    def reference(self) -> str:
        """Return the name it has in our own image store."""
        return f"localhost/klambda-base:{self.key()}"

    def archive(self, cache: Path) -> Path:
        """Return where its archive lies."""
        return cache / "images" / f"base-{self.suite}-{self.key()}.tar"

    def make(self, cache: Path, shell: Shell) -> Path:
        """Make the archive unless it is there."""
        archive = self.archive(cache)
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True)
            partial = archive.with_name(f"partial-{archive.name}")
            shell.stream(*self.command(partial))
            partial.rename(archive)
        return archive
