"""How an S3-compatible service is spoken to: addresses, signed headers, errors, listings. Pure.

Theory: see ``signer``. S3 differs from other services in that the path is encoded once, and that
the body's hash is a header: the service compares it with what arrives. A bucket stands in the path
(*path style*, which every service understands) or in front of the host. Source: Amazon S3 API
reference, "Authenticating Requests", "Error responses", "ListObjectsV2".
Place: the gateway reads packages with it, the store keeps blobs with it.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from klambda_core.signer import Credentials, authorization, stamp_of

EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
_SERVICE: Final = "s3"
_CODE: Final = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]*)</Message>")
_NEXT: Final = re.compile(r"<NextContinuationToken>([^<]*)</NextContinuationToken>")
_PREFIXES: Final = re.compile(
    r"<CommonPrefixes(?:\s[^>]*)?>.*?<Prefix>([^<]*)</Prefix>.*?</CommonPrefixes>", re.DOTALL
)
_CONTENTS: Final = re.compile(r"<Contents(?:\s[^>]*)?>(.*?)</Contents>", re.DOTALL)
_MEMBER: Final = re.compile(r"<(Key|Size|LastModified)>([^<]*)</\1>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A bucket of a service, and how it is reached."""

    endpoint: str
    """``http://minio:9000``."""
    bucket: str
    region: str
    path_style: bool = True
    credentials: Credentials | None = None
    """None: unsigned requests."""

    def url(self, key: str) -> str:
        """The address of an object, of the bucket itself for an empty key."""
        endpoint, path = self.endpoint.rstrip("/"), quote(key, safe="/~")
        if self.path_style:
            return f"{endpoint}/{self.bucket}/{path}" if key else f"{endpoint}/{self.bucket}"
        scheme, _, host = endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{host}/{path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object of a listing."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of ListObjectsV2; ``next`` is the token of the following one."""

    entries: tuple[Entry, ...]
    prefixes: tuple[str, ...]
    next: str | None


def signed_request(
    method: str,
    place: Place,
    key: str,
    query: Mapping[str, str],
    *,
    now: datetime,
    payload_sha256: str = EMPTY_SHA256,
) -> tuple[str, dict[str, str]]:
    """Address and headers of a request; nothing of it is encoded yet."""
    encoded = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(query.items())
    )
    address = place.url(key)
    url = address + (f"?{encoded}" if encoded else "")
    credentials = place.credentials
    if credentials is None:
        return url, {}
    parts = urlsplit(address)
    signed = {
        "host": parts.netloc,
        "x-amz-content-sha256": payload_sha256,
        "x-amz-date": stamp_of(now),
    }
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    proof = authorization(
        method, parts.path or "/", encoded, signed, payload_sha256,
        credentials=credentials, region=place.region, service=_SERVICE,
    )  # fmt: skip
    return url, {**signed, "Authorization": proof}


def error_of(text: str) -> tuple[str, str] | None:
    """Code and message of an error's body, None when it is none of S3's."""
    code, message = _CODE.search(text), _MESSAGE.search(text)
    if code is None:
        return None
    name = html.unescape(code[1])
    return name, html.unescape(message[1]) if message else name


def listing_of(text: str) -> Listing:
    """A page of ListObjectsV2. Raises ValueError for what is none."""
    if "<ListBucketResult" not in text:
        raise ValueError("no ListBucketResult")
    following = _NEXT.search(text)
    return Listing(
        entries=tuple(_entry(found[1]) for found in _CONTENTS.finditer(text)),
        prefixes=tuple(html.unescape(found[1]) for found in _PREFIXES.finditer(text)),
        next=html.unescape(following[1]) if following and following[1] else None,
    )


def _entry(text: str) -> Entry:
    members = {found[1]: html.unescape(found[2]) for found in _MEMBER.finditer(text)}
    if len(members) != 3:
        raise ValueError("an entry lacks a member")
    return Entry(
        key=members["Key"],
        size=int(members["Size"]),
        modified=datetime.fromisoformat(members["LastModified"]),
    )
