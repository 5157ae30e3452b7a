"""Requests to AWS's services (or what speaks their protocols), signed as AWS's SDKs sign them.

Place: ``aws`` sends what is signed here. Invariants: pure (time and keys are arguments); POST to
the endpoint's own path, with the hash of the body signed. The other half of ``auth.sigv4``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from klambda_gateway.auth.sigv4 import ALGORITHM, TERMINATOR, signing_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """An access key for other services."""

    access_key: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def signed_headers(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    keys: Keys,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """The headers of a POST, with ``Authorization``."""
    parts = urlsplit(url)
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {key.lower(): value for key, value in headers.items()}
    signed |= {"host": parts.netloc, "x-amz-date": stamp}
    if keys.token:
        signed["x-amz-security-token"] = keys.token
    names = sorted(signed)
    canonical = "\n".join(
        (
            "POST",
            parts.path or "/",
            "",
            *(f"{name}:{' '.join(signed[name].split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{stamp[:8]}/{region}/{service}/{TERMINATOR}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode()
    key = signing_key(keys.secret, stamp[:8], region, service)
    signature = hmac.new(key, text, hashlib.sha256).hexdigest()
    signed["authorization"] = (
        f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature}"
    )
    return signed
