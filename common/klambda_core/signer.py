"""SigV4, the client's half: the signature of a request that a program of ours sends. Pure.

Theory: a hash of the request is signed with a key that is derived from the secret, the day, the
region and the service. The server's half (the gateway's ``auth.sigv4``) derives the same key.
Place: ``s3`` reads and writes buckets with it, the gateway tells SQS and SNS of outcomes. Not here:
which headers a service wants. Source: AWS IAM user guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key of another service."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def stamp_of(now: datetime) -> str:
    """The value of ``x-amz-date``."""
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of a scope."""
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def authorization(
    method: str,
    path: str,
    query: str,
    signed: Mapping[str, str],
    payload_sha256: str,
    *,
    credentials: Credentials,
    region: str,
    service: str,
) -> str:
    """The header of a request; ``path`` and ``query`` are encoded as the service wants them.

    ``signed``: the headers, names in lower case, ``x-amz-date`` among them.
    """
    names = sorted(signed)
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in names)
    canonical = f"{method}\n{path}\n{query}\n{lines}\n{';'.join(names)}\n{payload_sha256}"
    stamp = signed["x-amz-date"]
    scope = f"{stamp[:8]}/{region}/{service}/{TERMINATOR}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = signing_key(credentials.secret_access_key, stamp[:8], region, service)
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return (
        f"{ALGORITHM} Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={signature}"
    )
