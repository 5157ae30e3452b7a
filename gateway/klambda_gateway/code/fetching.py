"""Packages from elsewhere: an S3-compatible bucket, or an address on the web.

Place: the API fetches what a request's S3Bucket and S3Key name, the leading gateway what an
object's ``s3`` or ``url`` names. Invariants: only buckets and hosts that the chart allows are
asked, after every redirect again; a package goes to a file and is bounded, never held; buckets are
read with the installation's own credentials, signed (SigV4), so that no function sees them.
Texts: aws-contract a.4; developer guide, "Troubleshoot deployment issues". Not here: what a zip
must be (``zips``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from klambda_core import errors, limits
from klambda_core.crd.code import S3Source, Sources
from klambda_core.errors import LambdaError
from klambda_core.s3 import Place, error_of, signed_request
from klambda_core.signer import Credentials
from klambda_gateway.auth.gate import utc_now
from klambda_gateway.code.sources import FORBIDDEN, INVALID, UNAVAILABLE
from klambda_gateway.code.upload import PIECE, Upload
from klambda_kube.trust import Trust

CONNECT_S: Final = 10.0
SILENCE_S: Final = 30.0
REDIRECTS: Final = 5
AT_ONCE: Final = 4
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the chart says of sources."""

    endpoint: str = ""
    """Of an S3-compatible service; empty: no code from S3."""
    region: str = "us-east-1"
    credentials: Credentials | None = None
    """None: unsigned requests, for buckets that everybody may read."""
    buckets: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """``example.org``, ``example.org:8443``, ``*.example.org``."""


class Unfetched(Exception):
    """A package could not be had: Lambda's error, and the reason in a condition."""

    def __init__(self, reason: str, error: LambdaError) -> None:
        super().__init__(error.message)
        self.reason = reason
        self.error = error


class Fetcher:
    """Fetches packages. Use in one event loop; ``close()`` it there."""

    def __init__(
        self,
        allowed: Allowed,
        *,
        trust: Trust = True,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._allowed = allowed
        self._trust = trust
        self._now = now
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, sources: Sources) -> Upload:
        """What the ``s3`` or ``url`` of an object names. Raises Unfetched."""
        if sources.s3 is not None:
            return await self.s3(sources.s3)
        return await self.url(sources.url or "", sources.sha256 or "")

    async def s3(self, source: S3Source) -> Upload:
        """An object of a bucket. Raises Unfetched."""
        allowed = self._allowed
        if not allowed.endpoint:
            raise Unfetched(FORBIDDEN, _no_s3())
        if not _matches(source.bucket, allowed.buckets):
            raise Unfetched(FORBIDDEN, _denied(source, "AccessDenied", "Access Denied"))
        query = {} if source.version_id is None else {"versionId": source.version_id}
        place = Place(
            endpoint=allowed.endpoint,
            bucket=source.bucket,
            region=allowed.region,
            credentials=allowed.credentials,
        )
        url, headers = signed_request("GET", place, source.key, query, now=self._now())
        async with self._turns, self._get(url, headers) as response:
            if response.status != HTTPStatus.OK:
                raise _s3_refusal(source, response.status, await _beginning(response))
            return await _received(response)

    async def url(self, url: str, sha256: str) -> Upload:
        """What lies at an address, when it has the digest. Raises Unfetched."""
        async with self._turns:
            upload = await self._followed(url)
        if upload.ref.sha256 == sha256:
            return upload
        found = upload.ref.sha256
        upload.close()
        text = f"What lies at {_shown(url)} has the sha256 {found}, not {sha256}."
        raise Unfetched(INVALID, errors.invalid_parameter(text))

    async def _followed(self, url: str) -> Upload:
        for _ in range(REDIRECTS + 1):
            self._check_host(url)
            async with self._get(url, {}) as response:
                if response.status in _MOVED and "Location" in response.headers:
                    url = urljoin(url, response.headers["Location"])
                    continue
                if response.status != HTTPStatus.OK:
                    text = f"{_shown(url)} answers {response.status}."
                    raise Unfetched(UNAVAILABLE, errors.invalid_parameter(text))
                return await _received(response)
        raise Unfetched(
            UNAVAILABLE, errors.invalid_parameter(f"{_shown(url)} is redirected too often.")
        )

    def _check_host(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port, parts = "", None, urlsplit("")
        names = (host, f"{host}:{port}") if port else (host,)
        known = parts.scheme in ("http", "https") and not parts.username
        if not known or not any(_matches(name, self._allowed.hosts) for name in names):
            text = (
                f"{_shown(url)} is not on a host that this installation allows: add it to the "
                "chart's sources.url.hosts."
            )
            raise Unfetched(FORBIDDEN, errors.invalid_parameter(text))

    @asynccontextmanager
    async def _get(
        self, url: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
            # The bytes are what is hashed: nothing may unpack them on the way.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._trust),
                timeout=timeout,
                auto_decompress=False,
            )
        try:
            request = self._session.get(
                URL(url, encoded=True), headers=headers, allow_redirects=False
            )
            async with request as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text = f"{_shown(url)} cannot be read: {type(error).__name__}."
            raise Unfetched(UNAVAILABLE, errors.unavailable(text)) from error


async def _received(response: aiohttp.ClientResponse) -> Upload:
    upload = Upload()
    try:
        async for piece in response.content.iter_chunked(PIECE):
            await asyncio.to_thread(upload.write, piece)
            if len(upload) > limits.UNZIPPED_MAX:
                raise Unfetched(INVALID, errors.unzipped_too_big(limits.UNZIPPED_MAX))
    except BaseException:
        upload.close()
        raise
    return upload


async def _beginning(response: aiohttp.ClientResponse) -> str:
    return (await response.content.read(16 * limits.KIB)).decode("utf-8", "replace")


def _s3_refusal(source: S3Source, status: int, text: str) -> Unfetched:
    name, words = error_of(text) or (_word(status), _word(status))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unfetched(UNAVAILABLE, errors.unavailable(_occurred(name, words)))
    if name in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return Unfetched(FORBIDDEN, _denied(source, name, words))
    return Unfetched(UNAVAILABLE, errors.invalid_parameter(_occurred(name, words)))


def _occurred(code: str, message: str) -> str:
    return f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"


def _denied(source: S3Source, code: str, message: str) -> LambdaError:
    return LambdaError(
        errors.ACCESS_DENIED,
        "Your access has been denied by S3, please make sure your request credentials have "
        f"permission to GetObject for {source.bucket}/{source.key}. S3 Error Code: {code}. "
        f"S3 Error Message: {message}",
    )


def _no_s3() -> LambdaError:
    return errors.invalid_parameter(
        "Code in S3 is not supported by this installation: set the chart's sources.s3.endpoint, "
        "or upload the code as ZipFile."
    )


def _word(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "") if status in set(HTTPStatus) else str(status)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of these; ``*.x`` stands for what is below x, ``*`` for all."""
    return any(
        pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))
        for pattern in patterns
    )


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    return url.partition("?")[0][:200]
