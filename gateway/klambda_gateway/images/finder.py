"""From an image's name to the image: allowed, found, pinned, its configuration read.

Place: CreateFunction and UpdateFunctionCode ask before they write, the leading gateway asks for
what kubectl wrote (``code.resolver``). Invariants: a name with a tag is looked up each time; a
digest is looked up once and remembered. Not here: the registry's protocol (``registry``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp

from klambda_core.crd import Image
from klambda_gateway.images import documents
from klambda_gateway.images.credentials import basic_by_registry
from klambda_gateway.images.reference import Reference, parse
from klambda_gateway.images.registry import Registry
from klambda_gateway.images.trouble import NOT_ALLOWED, ImageTrouble
from klambda_kube.trust import Trust

REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """What the chart says of functions' images."""

    registries: tuple[str, ...] = ()
    """Registries that may be used; empty: any."""
    insecure: tuple[str, ...] = ()
    """Registries that speak plain HTTP."""
    pull_secrets: tuple[str, ...] = ()


class Images(Protocol):
    """What the API and the resolver need."""

    async def find(self, uri: str, digest: str | None, architecture: str) -> Image:
        """Return the image; ``digest`` says which one the name's tag means."""
        ...


Secrets = Callable[[Sequence[str]], Awaitable[list[Mapping[str, Any]]]]


class ImageFinder:
    """Finds images in registries."""

    def __init__(self, settings: ImageSettings, secrets: Secrets, *, trust: Trust = True) -> None:
        """``secrets`` reads Secrets of Klambda's own namespace; absent ones are left out."""
        self._settings = settings
        self._secrets = secrets
        self._trust = trust
        self._known: OrderedDict[tuple[str, str], Image] = OrderedDict()

    async def find(self, uri: str, digest: str | None, architecture: str) -> Image:
        """As ``Images`` has it. Raises ImageTrouble."""
        reference = parse(uri)
        version = digest or reference.version
        key = (reference.pinned(version), architecture)
        if (known := self._known.get(key)) is not None:
            return known.model_copy(update={"uri": uri})
        self._check(reference)
        basic = basic_by_registry(await self._secrets(self._settings.pull_secrets))
        connector = aiohttp.TCPConnector(ssl=self._trust)
        async with aiohttp.ClientSession(connector=connector) as session:
            registry = Registry(
                session,
                reference,
                basic=basic.get(reference.registry),
                insecure=self._settings.insecure,
            )
            image = await _read(registry, reference, uri, version, architecture)
        if version.startswith("sha256:"):
            self._remember(key, image)
        self._remember((image.resolved, architecture), image)
        return image

    def _check(self, reference: Reference) -> None:
        allowed = self._settings.registries
        if allowed and reference.registry not in allowed:
            text = f"Registry {reference.registry} is not among functionImages.registries."
            raise ImageTrouble(NOT_ALLOWED, text)

    def _remember(self, key: tuple[str, str], image: Image) -> None:
        self._known[key] = image
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


async def _read(
    registry: Registry, reference: Reference, uri: str, version: str, architecture: str
) -> Image:
    digest, text = await registry.manifest(version)
    manifest = documents.document(text, f"The manifest of {uri}")
    chosen = documents.platform_of(manifest, architecture, uri)
    if chosen is not None:
        digest, text = await registry.manifest(chosen)
        manifest = documents.document(text, f"The manifest of {uri}")
    config = await registry.blob(documents.config_of(manifest, uri))
    read = documents.document(config, f"The configuration of {uri}")
    return documents.image_of(reference, uri, digest, read, architecture)
