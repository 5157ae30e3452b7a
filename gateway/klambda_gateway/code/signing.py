"""How one object of a bucket is asked for. Pure.

Theory: see ``auth.signer``. S3 differs from other services in that the path is encoded once, and
that the body's hash is a header. Source: Amazon S3 API reference,
"Authenticating Requests: Using the Authorization Header". Place: ``fetching``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit

from klambda_gateway.auth.signer import Credentials, authorization, stamp_of

_SERVICE: Final = "s3"
_EMPTY: Final = hashlib.sha256(b"").hexdigest()


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
    signed = {
        "host": urlsplit(url).netloc,
        "x-amz-content-sha256": _EMPTY,
        "x-amz-date": stamp_of(now),
    }
    proof = authorization(
        "GET", path, encoded, signed, _EMPTY,
        credentials=credentials, region=region, service=_SERVICE,
    )  # fmt: skip
    return url, {**signed, "Authorization": proof}
