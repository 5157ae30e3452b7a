"""SigV4, the client's half, for reading one object of a bucket. Pure.

Theory: see ``auth.sigv4``, whose key derivation is used. S3 differs from other services in that the
path is encoded once, and that the body's hash is a header. Source: Amazon S3 API reference,
"Authenticating Requests: Using the Authorization Header". Place: ``fetching``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from klambda_gateway.auth.sigv4 import ALGORITHM, TERMINATOR, signing_key

_SERVICE: Final = "s3"
_EMPTY: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key of the S3-compatible service."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


def signed_get(
    endpoint: str,
    path: str,
    query: Mapping[str, str],
    *,
    region: str,
    credentials: Credentials | None,
    now: datetime,
) -> tuple[str, dict[str, str]]:
    """Address and headers of a GET; ``path`` is encoded, the query is not."""
    encoded = "&".join(
        f"{quote(key, safe='-_.~')}={quote(value, safe='-_.~')}"
        for key, value in sorted(query.items())
    )
    url = endpoint.rstrip("/") + path + (f"?{encoded}" if encoded else "")
    if credentials is None:
        return url, {}
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {
        "host": urlsplit(url).netloc,
        "x-amz-content-sha256": _EMPTY,
        "x-amz-date": stamp,
    }
    names = ";".join(signed)
    lines = [f"{name}:{value}\n" for name, value in signed.items()]
    canonical = f"GET\n{path}\n{encoded}\n{''.join(lines)}\n{names}\n{_EMPTY}"
    scope = f"{stamp[:8]}/{region}/{_SERVICE}/{TERMINATOR}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = signing_key(credentials.secret_access_key, stamp[:8], region, _SERVICE)
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, "
        f"Signature={signature}"
    )
    return url, {**signed, "Authorization": authorization}
