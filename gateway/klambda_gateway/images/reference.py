"""Names of images, as Docker and Kubernetes read them. Pure.

``[registry/]repository[:tag][@digest]``: the part before the first slash is a registry when it
looks like a host; without one it is Docker Hub, whose unqualified names lie below ``library/``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from klambda_gateway.images.trouble import NoImageName

HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATTERN = re.compile(
    rf"(?P<name>(?:(?P<host>(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+(?=:\d)"
    rf"|\[[0-9a-f:]+\])(?::\d+)?)/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*))"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image's name, taken apart; ``name`` is registry and repository as the user wrote them."""

    name: str
    registry: str
    repository: str
    tag: str
    digest: str | None

    @property
    def host(self) -> str:
        """Where the registry's API is."""
        return _HUB_HOST if self.registry == HUB else self.registry

    @property
    def version(self) -> str:
        """What a manifest is asked for by: the digest before the tag."""
        return self.digest or self.tag

    def pinned(self, digest: str) -> str:
        """The same image by a digest."""
        return f"{self.name}@{digest}"


def parse(text: str) -> Reference:
    """Read a name. Raises ImageTrouble."""
    found = _PATTERN.fullmatch(text)
    if found is None or len(found["name"]) > 255:
        raise NoImageName(f"{text} is no image's name: registry/repository:tag")
    registry, path = found["host"] or HUB, found["path"]
    if registry in {HUB, "index.docker.io"}:
        registry, path = HUB, path if "/" in path else f"library/{path}"
    return Reference(
        name=found["name"],
        registry=registry,
        repository=path,
        tag=found["tag"] or "latest",
        digest=found["digest"],
    )
