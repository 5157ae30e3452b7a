"""A client of registries: manifests and configurations by digest, with the token dance.

Place: ``finder`` uses it. Sources: the OCI distribution specification; Docker's token
authentication (a 401 names the realm that gives out tokens). Invariants: what is asked for by its
digest is what came; answers are bounded; HTTPS, except for registries that the installation lists
as insecure; a token's realm cannot lead from a secure registry to plain HTTP.
Not here: which image a function means, credentials (``credentials``).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import aiohttp

from klambda_gateway.images import documents
from klambda_gateway.images.reference import Reference
from klambda_gateway.images.trouble import DENIED, INVALID, NOT_FOUND, UNREACHABLE, ImageTrouble

TIMEOUT_S: Final = 15.0
LIMIT: Final = 4 << 20
"""Bytes of a manifest or configuration: the specification's own limit for manifests."""
_ACCEPT: Final = ", ".join((*documents.MANIFESTS, *documents.INDEXES))
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Registry:
    """One registry, as far as one image needs it."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        reference: Reference,
        *,
        basic: str | None,
        insecure: Collection[str],
    ) -> None:
        """``basic``: the value of an Authorization header; ``insecure``: hosts of plain HTTP."""
        self._session = session
        self._reference = reference
        self._basic = basic
        self._plain = reference.registry in insecure
        self._headers: dict[str, str] = {}

    async def manifest(self, version: str) -> tuple[str, bytes]:
        """The digest and the text of a manifest or index, by tag or digest. Raises ImageTrouble."""
        text = await self._get(f"manifests/{version}", {"Accept": _ACCEPT})
        digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
        if version.startswith("sha256:") and digest != version:
            raise ImageTrouble(
                INVALID, f"{self._reference.host} sent something else for {version}."
            )
        return digest, text

    async def blob(self, digest: str) -> bytes:
        """A small blob. Raises ImageTrouble."""
        text = await self._get(f"blobs/{digest}", {})
        if f"sha256:{hashlib.sha256(text).hexdigest()}" != digest:
            raise ImageTrouble(INVALID, f"{self._reference.host} sent something else for {digest}.")
        return text

    async def _get(self, path: str, headers: Mapping[str, str]) -> bytes:
        scheme = "http" if self._plain else "https"
        url = f"{scheme}://{self._reference.host}/v2/{self._reference.repository}/{path}"
        status, challenge, body = await self._fetch(url, {**headers, **self._headers})
        if status == HTTPStatus.UNAUTHORIZED and not self._headers:
            self._headers = await self._authorisation(challenge)
            status, _, body = await self._fetch(url, {**headers, **self._headers})
        if status == HTTPStatus.OK:
            return body
        raise self._refused(status)

    async def _fetch(self, url: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._session.get(url, headers=headers) as answer,
            ):
                body = await answer.content.read(LIMIT + 1)
                while len(body) <= LIMIT and (more := await answer.content.read(LIMIT)):
                    body += more
                challenge = answer.headers.get("WWW-Authenticate", "")
                status = answer.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            where = self._reference.host
            text = f"Registry {where} cannot be reached: {str(error) or type(error).__name__}"
            raise ImageTrouble(UNREACHABLE, text, retry=True) from None
        if len(body) > LIMIT:
            raise ImageTrouble(INVALID, f"{self._reference.name}: a document of over 4 MiB.")
        return status, challenge, body

    async def _authorisation(self, challenge: str) -> dict[str, str]:
        """The header that a 401 asks for; empty when there is none to be had."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic" and self._basic is not None:
            return {"Authorization": f"Basic {self._basic}"}
        members = dict(_CHALLENGE.findall(rest))
        realm = members.pop("realm", "")
        allowed = ("http://", "https://") if self._plain else ("https://",)
        if scheme.lower() != "bearer" or not realm.startswith(allowed):
            return {}
        wanted = {key: members[key] for key in ("service", "scope") if key in members}
        headers = {"Authorization": f"Basic {self._basic}"} if self._basic else {}
        status, _, body = await self._fetch(f"{realm}?{urlencode(wanted)}", headers)
        if status != HTTPStatus.OK:
            return {}
        answer = documents.document(body, "The registry's token")
        token = answer.get("token") or answer.get("access_token")
        return {"Authorization": f"Bearer {token}"} if isinstance(token, str) else {}

    def _refused(self, status: int) -> ImageTrouble:
        name = f"{self._reference.name}:{self._reference.version}".replace(":sha256:", "@sha256:")
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            text = f"The registry does not let us read {name}: see functionImages.pullSecrets."
            return ImageTrouble(DENIED, text, retry=True)
        if status == HTTPStatus.NOT_FOUND:
            return ImageTrouble(NOT_FOUND, f"There is no image {name}.", retry=True)
        text = f"Registry {self._reference.host} answered {status} for {name}."
        return ImageTrouble(UNREACHABLE, text, retry=True)
