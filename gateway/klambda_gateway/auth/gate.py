"""Authentication: from a signed request to the caller it proves.

Place: first thing that happens to a request. Invariants: synchronous, nothing but memory is asked;
an unknown key and a wrong session token read the same. Texts: aws-contract a.2.
Not here: what the caller may do (``authorizer``).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_core.signer import signing_key
from klambda_gateway.auth import chunked
from klambda_gateway.auth.caller import Caller as Caller
from klambda_gateway.auth.claim import (
    STREAMING,
    UNSIGNED,
    UNSIGNED_TRAILER,
    Claim,
    Scope,
    Signable,
    read_claim,
)
from klambda_gateway.auth.keys import AccessKey, KeyFinder
from klambda_gateway.auth.sigv4 import Verifier, mismatch

UNHASHED: Final = STREAMING | {UNSIGNED}
"""Declarations beside which the body's own hash is not looked at."""

LAMBDA: Final = "lambda"
"""The service that signatures are scoped to."""
CALLERS_KEPT = 4096


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


class SessionFinder(Protocol):
    """Where the gate gets the keys of sessions from."""

    def find(self, access_key_id: str, token: str, now: float) -> AccessKey | None:
        """The key of a session, None when it is not ours. Raises ExpiredTokenException."""
        ...


class Gate:
    """Turns signatures into callers."""

    def __init__(
        self,
        keys: KeyFinder,
        *,
        region: str,
        account_of: Callable[[str], str],
        sessions: SessionFinder | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """``account_of`` gives the 12 digits of a namespace, or raises when they are not its."""
        self._keys = keys
        self._sessions = sessions
        self._verifier = Verifier(region)
        self._account_of = account_of
        self._now = now
        self._callers: dict[tuple[str, str], tuple[AccessKey, Caller]] = {}

    def authenticate(self, request: Signable, body: bytes) -> tuple[Caller, bytes]:
        """Who sent a request, and the body that they meant: taken apart when it is aws-chunked.

        Raises the 403 errors of ``errors``, 400 for a body that is not framed as it says.
        """
        claim = read_claim(request)
        hashed = "" if claim.payload in UNHASHED else hashlib.sha256(body).hexdigest()
        key = self._proven(request, claim, hashed)
        if chunked.is_chunked(claim):
            signing = _signing_key(key, claim.common)
            body = chunked.decode(request, claim, body, signing)
        return self._caller(key, claim.common.service), body

    def admit(self, request: Signable, body: bytes) -> tuple[Caller, bytes]:
        """``authenticate`` at a function URL: for lambda, and with a body that is signed.

        "Lambda doesn't support unsigned payloads" (CloudFront developer guide, "Restrict access to
        an AWS Lambda function URL origin"; S: ``UNSIGNED-PAYLOAD``, in headers or the query, is a
        mismatch). By the same sentence no chunks without signatures. That chunks with signatures
        are taken is not confirmed: AWS writes of them at S3 only.
        """
        claim = read_claim(request)
        if claim.common.service != LAMBDA:
            raise wrong_service()
        if claim.payload in (UNSIGNED, UNSIGNED_TRAILER):
            raise mismatch()
        return self.authenticate(request, body)

    def identify_hashed(self, request: Signable, body_sha256: str) -> Caller:
        """Check the signature of a request whose body was hashed (any text: it is not signed)."""
        claim = read_claim(request)
        if chunked.is_chunked(claim):
            raise LambdaError(
                errors.INVALID_SIGNATURE, "An aws-chunked body is not supported here."
            )
        return self._caller(self._proven(request, claim, body_sha256), claim.common.service)

    def _proven(self, request: Signable, claim: Claim, body_sha256: str) -> AccessKey:
        key = self._keys.find(claim.access_key) or self._session(claim)
        if key is None or not _token_fits(key, claim):
            raise LambdaError(
                errors.UNRECOGNIZED_CLIENT,
                "The security token included in the request is invalid.",
            )
        self._verifier.check(
            request, claim, secret=key.secret, body_sha256=body_sha256, now=self._now()
        )
        return key

    def _session(self, claim: Claim) -> AccessKey | None:
        if self._sessions is None or not claim.token:
            return None
        return self._sessions.find(claim.access_key, claim.token, self._now().timestamp())

    def _caller(self, key: AccessKey, service: str) -> Caller:
        """Return whom a key stands for; remembered for as long as the key is the same."""
        account = self._account_of(key.namespace)
        known = self._callers.get((key.access_key_id, service))
        if known is not None and known[0] is key and known[1].account == account:
            return known[1]
        caller = Caller(
            access_key_id=key.access_key_id,
            namespace=key.namespace,
            account=account,
            user=key.user,
            groups=key.groups,
            role=key.role if key.session else "",
            session=key.session,
            granted=key.granted,
            service=service,
        )
        if len(self._callers) >= CALLERS_KEPT:
            self._callers.clear()
        self._callers[key.access_key_id, service] = (key, caller)
        return caller


def wrong_service() -> LambdaError:
    """The signature is for another service (S)."""
    text = f"Credential should be scoped to correct service: '{LAMBDA}'. "
    return LambdaError(errors.INVALID_SIGNATURE, text)


def _signing_key(key: AccessKey, scope: Scope) -> bytes:
    return signing_key(key.secret, scope.date, scope.region, scope.service)


def _token_fits(key: AccessKey, claim: Claim) -> bool:
    given, wanted = claim.token or "", key.token or ""
    if not given and not wanted:
        return True
    return hmac.compare_digest(given.encode(), wanted.encode())
