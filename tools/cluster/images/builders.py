"""Two ways to build a Dockerfile: buildah without a daemon or registry, and Docker.

Both give an image by its content name and, for loading, an archive in the cache. buildah keeps
its store in the cache and runs in a mount namespace of its own: the machine's image store is not
touched, and what it mounts goes when it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tools.cluster.images.base import Base
from tools.cluster.images.contexts import TAG_LENGTH, Context
from tools.cluster.layout import Layout
from tools.cluster.shell import Shell

KEPT_ARCHIVES = 3
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class Builder(Protocol):
    """Builds images."""

    def base(self) -> str:
        """Return what identifies the base image, for the tags."""
        ...

    def ready(self, context: Context) -> bool:
        """Whether the image was built before."""
        ...

    def build(self, context: Context, shell: Shell) -> None:
        """Build the image."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """Builds with buildah on a base made from Debian's packages."""

    layout: Layout
    foundation: Base = field(default_factory=Base)

    def base(self) -> str:
        """Return the recipe's name."""
        return self.foundation.reference()

    def ready(self, context: Context) -> bool:
        """Whether the archive is in the cache."""
        return self.archive(context).exists()

    def archive(self, context: Context) -> Path:
        """Return the image's archive: uncompressed, it is imported on this machine."""
        return self.layout.cache / "images" / f"{context.name}-{context.tag()}.tar"

    def build(self, context: Context, shell: Shell) -> None:
        """Build the image and write its archive."""
        if context.base:
            self._ensure_base(shell)
        reference = context.reference()
        arguments = {**context.arguments, "BASE": self.base()}
        shell.stream(
            *self.command("build"), "--layers", "--isolation=chroot", "--pull-never",
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            *trust_options(Path(CA_BUNDLE)),
            f"--tag={reference}", context.place,
        )  # fmt: skip
        archive = self.archive(context)
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_name(f"partial-{archive.name}")
        partial.unlink(missing_ok=True)
        shell.stream(
            *self.command("push"), reference,
            f"docker-archive:{partial}:{reference}",
        )  # fmt: skip
        partial.rename(archive)
        self._forget_old(context)

    def push(self, context: Context, reference: str, shell: Shell) -> None:
        """Push the image to a registry under another name."""
        source = f"docker-archive:{self.archive(context)}"
        shell.stream(*self.command("pull"), source)
        shell.stream(*self.command("push"), context.reference(), f"docker://{reference}")

    def _ensure_base(self, shell: Shell) -> None:
        reference = self.foundation.reference()
        if shell.succeeds(*self.command("inspect"), "--type=image", reference):
            return
        archive = self.foundation.make(self.layout.cache, shell)
        container = shell.run(*self.command("from"), "scratch").strip()
        shell.stream(*self.command("add"), container, str(archive), "/")
        shell.stream(*self.command("config"), "--cmd", "/bin/bash", container)
        shell.stream(*self.command("commit"), "--rm", container, reference)

    def _forget_old(self, context: Context) -> None:
        """Remove all but the newest archives of an image; layers stay as the build's cache."""
        archives = self.archive(context).parent.glob(f"{context.name}-{'?' * TAG_LENGTH}.tar")
        newest = sorted(archives, key=lambda path: path.stat().st_mtime, reverse=True)
        for archive in newest[KEPT_ARCHIVES:]:
            archive.unlink()

    def command(self, verb: str) -> list[str]:
        """Return the beginning of a call of buildah, with our own store."""
        store = self.layout.cache / "containers"
        return [
            "unshare", "--mount", "--propagation=slave",
            "buildah", f"--root={store / 'root'}", f"--runroot={store / 'run'}",
            "--storage-driver=overlay", verb,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """Builds with the Docker engine; the base comes from its registry."""

    layout: Layout
    image: str = "docker.io/library/debian:trixie-slim"

    def base(self) -> str:
        """Return the base image's name."""
        return self.image

    def ready(self, context: Context) -> bool:
        """Whether the engine has the image."""
        shell = Shell(environment={})
        return shell.succeeds("docker", "image", "inspect", context.reference())

    def build(self, context: Context, shell: Shell) -> None:
        """Build the image in the engine."""
        arguments = {**context.arguments, "BASE": self.base()}
        shell.stream(
            "docker", "build",
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            f"--tag={context.reference()}", context.place,
        )  # fmt: skip

    def push(self, context: Context, reference: str, shell: Shell) -> None:
        """Push the image to a registry under another name."""
        shell.stream("docker", "tag", context.reference(), reference)
        shell.stream("docker", "push", reference)


def trust_options(bundle: Path) -> list[str]:
    """Return how a build sees the machine's certificate authorities.

    Where a proxy signs TLS anew, its authority is in the machine's bundle only; the file is laid
    over the base's own for the build and never becomes part of the image.
    """
    return [f"--volume={bundle}:{CA_BUNDLE}:ro"] if bundle.exists() else []
