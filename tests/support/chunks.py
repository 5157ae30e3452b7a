"""aws-chunked bodies with signatures, as a client makes them (S3 API reference)."""

from __future__ import annotations

import hashlib
import hmac

from klambda_core.signer import ALGORITHM, signing_key
from klambda_gateway.auth.claim import Signable, read_claim

EMPTY = hashlib.sha256(b"").hexdigest()


def signed_chunks(request: Signable, secret: str, *pieces: bytes, trailer: str = "") -> bytes:
    """The pieces, and a trailer (``name:value``); the request's own signature begins the chain."""
    claim = read_claim(request)
    scope = claim.common
    key = signing_key(secret, scope.date, scope.region, scope.service)
    previous, wire = claim.signature, b""

    def signature(kind: str, content: str) -> str:
        text = f"{ALGORITHM}-{kind}\n{claim.stamp}\n{claim.scope}\n{previous}\n{content}"
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    for piece in (*pieces, b""):
        previous = signature("PAYLOAD", f"{EMPTY}\n{hashlib.sha256(piece).hexdigest()}")
        wire += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece
        wire += b"\r\n" if piece else b""
    if trailer:
        digest = hashlib.sha256(f"{trailer}\n".encode()).hexdigest()
        told = signature("TRAILER", digest)
        wire += f"{trailer}\r\nx-amz-trailer-signature:{told}\r\n".encode()
    return wire + b"\r\n"
