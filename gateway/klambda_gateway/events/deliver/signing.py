"""Requests to AWS's services (or what speaks their protocols), signed as AWS's SDKs sign them.

Place: ``aws`` sends what is signed here. Invariants: pure (time and keys are arguments); POST to
the endpoint's own path, with the hash of the body signed. Signature: ``klambda_core.signer``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from klambda_core.signer import Credentials, authorization, stamp_of


def signed_headers(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    keys: Credentials,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """The headers of a POST, with ``Authorization``."""
    parts = urlsplit(url)
    signed = {key.lower(): value for key, value in headers.items()}
    signed |= {"host": parts.netloc, "x-amz-date": stamp_of(now)}
    if keys.session_token:
        signed["x-amz-security-token"] = keys.session_token
    signed["authorization"] = authorization(
        "POST", parts.path or "/", "", signed, hashlib.sha256(body).hexdigest(),
        credentials=keys, region=region, service=service,
    )  # fmt: skip
    return signed
