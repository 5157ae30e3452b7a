"""Amazon's Signature Version 4, the server's half: is a claim true?

Theory. A client hashes a *canonical request* (method, path, query, chosen headers, hash of the
body), signs ``algorithm, time, scope, that hash`` with a key derived from its secret and the scope,
and sends access key id, scope, names of the signed headers and the signature. We sign the same text
(``canonical``) with the secret that we know.

Place: ``auth.gate`` reads the claim (``claim``), looks the access key up, calls ``Verifier.check``.
Invariants: pure (the clock is an argument); what is compared with secrets is compared in constant
time. Not here: where keys come from, who may do what, aws-chunked bodies.
Source: AWS IAM user guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from klambda_core.errors import LambdaError
from klambda_core.signer import signing_key
from klambda_gateway.auth.canonical import canonical_queries, canonical_request, string_to_sign
from klambda_gateway.auth.claim import (
    STAMP,
    STREAMING,
    UNSIGNED,
    Claim,
    Scope,
    Signable,
    incomplete,
    invalid,
)

SKEW: Final = timedelta(minutes=5)
"""How far a request's time may be from ours (IAM user guide)."""
KEYS_KEPT: Final = 1024


class Verifier:
    """Checks claims for one region; keeps derived signing keys."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._keys: dict[tuple[str, str, str, str], SigningKey] = {}

    def check(
        self, request: Signable, claim: Claim, *, secret: str, body_sha256: str, now: datetime
    ) -> None:
        """Raise InvalidSignatureException unless the claim is true, timely and for our region."""
        region = claim.common.region
        if region != self._region:
            raise invalid("Credential should be scoped to a valid region. ")
        check_time(claim, now)
        declared = claim.payload
        if declared not in (None, UNSIGNED, body_sha256) and declared not in STREAMING:
            raise mismatch()
        payload = declared or body_sha256
        key = self._signing_key(secret, claim.common)
        for query in canonical_queries(request.query, presigned=claim.lifetime is not None):
            text = string_to_sign(claim, canonical_request(request, claim, query, payload))
            if hmac.compare_digest(key.sign(text), claim.signature.encode()):
                return
        raise mismatch()

    def _signing_key(self, secret: str, scope: Scope) -> SigningKey:
        identity = (secret, scope.date, scope.region, scope.service)
        key = self._keys.get(identity)
        if key is None:
            if len(self._keys) >= KEYS_KEPT:
                self._keys.clear()
            key = self._keys[identity] = SigningKey(signing_key(*identity))
        return key


class SigningKey:
    """HMAC-SHA256 under one key, with the key's part of it done ahead (RFC 2104)."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(each ^ 0x36 for each in block))
        self._outer = hashlib.sha256(bytes(each ^ 0x5C for each in block))

    def sign(self, text: bytes) -> bytes:
        """Return the signature, in hex."""
        inner = self._inner.copy()
        inner.update(text)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest().encode()


def check_time(claim: Claim, now: datetime) -> None:
    """Raise unless the request was signed for now. Texts: as AWS's (K)."""
    signed = _moment(claim.stamp)
    if signed is None:
        raise incomplete(
            f"Date must be in ISO-8601 'basic format'. Got '{claim.stamp}'. "
            "See http://en.wikipedia.org/wiki/ISO_8601"
        )
    if claim.stamp[:8] != claim.common.date:
        raise invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{claim.common.date}' != '{claim.stamp[:8]}', from '{claim.stamp}'."
        )
    if signed > now + SKEW:
        raise invalid(
            f"Signature not yet current: {claim.stamp} is still later than "
            f"{(now + SKEW).strftime(STAMP)} ({now.strftime(STAMP)} + 5 min.)"
        )
    if claim.lifetime is None:
        if signed < now - SKEW:
            raise invalid(
                f"Signature expired: {claim.stamp} is now earlier than "
                f"{(now - SKEW).strftime(STAMP)} ({now.strftime(STAMP)} - 5 min.)"
            )
    elif signed + timedelta(seconds=claim.lifetime) < now:
        end = signed + timedelta(seconds=claim.lifetime)
        raise invalid(
            f"Signature expired: {end.strftime(STAMP)} is now earlier than {now.strftime(STAMP)}"
        )


@lru_cache(maxsize=256)
def _moment(stamp: str) -> datetime | None:
    """A stamp's time. Remembered: clients sign many requests in one second."""
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def mismatch() -> LambdaError:
    """AWS's sentence for a signature that is not ours (K)."""
    return invalid(
        "The request signature we calculated does not match the signature you provided. Check "
        "your AWS Secret Access Key and signing method. Consult the service documentation for "
        "details."
    )
