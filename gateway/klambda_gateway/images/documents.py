"""What a registry's documents say: manifests, indexes of platforms, configurations. Pure.

Sources: the OCI image specification (image-index, manifest, config) and Docker's schema 2, which
differ only in their media types.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from klambda_core.crd import Image
from klambda_gateway.images.reference import Reference
from klambda_gateway.images.trouble import INVALID, ImageTrouble, NoImage

INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ARCHITECTURES: Final = {"x86_64": "amd64", "arm64": "arm64"}
"""Lambda's names of architectures and the images' (Go's)."""
INIT_LABEL: Final = "io.klambda.init"


def document(text: bytes, what: str) -> dict[str, Any]:
    """Parse a registry's answer. Raises ImageTrouble."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ImageTrouble(INVALID, f"{what} is no JSON object.")
    return found


def platform_of(index: Mapping[str, Any], architecture: str, name: str) -> str | None:
    """The digest of the manifest for an architecture; None when this is a manifest already."""
    if "manifests" not in index:
        return None
    wanted = ARCHITECTURES[architecture]
    seen = []
    for each in index["manifests"]:
        platform = each.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == ("linux", wanted):
            return str(each["digest"])
        seen.append(f"{platform.get('os')}/{platform.get('architecture')}")
    raise ImageTrouble(INVALID, f"{name} has no image for linux/{wanted}, only {', '.join(seen)}.")


def config_of(manifest: Mapping[str, Any], name: str) -> str:
    """The digest of a manifest's configuration."""
    config = manifest.get("config")
    digest = config.get("digest") if isinstance(config, dict) else None
    if not isinstance(digest, str) or not manifest.get("layers"):
        raise NoImage(f"{name} is no container image (its manifest has no layers).")
    return digest


def image_of(
    reference: Reference, uri: str, digest: str, config: Mapping[str, Any], architecture: str
) -> Image:
    """The image with what it says about its start."""
    own = config.get("architecture") or ARCHITECTURES[architecture]
    if own != ARCHITECTURES[architecture]:
        raise ImageTrouble(
            INVALID,
            f"{uri} is an image for {own}, but the function's architecture is {architecture}.",
        )
    start = config.get("config") or {}
    return Image(
        uri=uri,
        resolved=reference.pinned(digest),
        entry_point=start.get("Entrypoint") or None,
        command=start.get("Cmd") or None,
        working_directory=start.get("WorkingDir") or None,
        init=INIT_LABEL in (start.get("Labels") or {}),
    )
