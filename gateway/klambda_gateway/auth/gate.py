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

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.auth.caller import Caller as Caller
from klambda_gateway.auth.keys import AccessKey, KeyFinder
from klambda_gateway.auth.sigv4 import Claim, Signable, Verifier, read_claim


def utc_now() -> datetime:
    """The clock of production."""
    return datetime.now(UTC)


class Gate:
    """Turns signatures into callers."""

    def __init__(
        self,
        keys: KeyFinder,
        *,
        region: str,
        account_of: Callable[[str], str],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """``account_of`` gives the 12 digits of a namespace."""
        self._keys = keys
        self._verifier = Verifier(region)
        self._account_of = account_of
        self._now = now

    def identify(self, request: Signable, body: bytes) -> Caller:
        """Check the signature of a request. Raises the 403 errors of ``errors``."""
        return self.identify_hashed(request, hashlib.sha256(body).hexdigest())

    def identify_hashed(self, request: Signable, body_sha256: str) -> Caller:
        """``identify`` for a body that was hashed already (any text when it is not signed)."""
        claim = read_claim(request)
        key = self._keys.find(claim.access_key)
        if key is None or not _token_fits(key, claim):
            raise LambdaError(
                errors.UNRECOGNIZED_CLIENT,
                "The security token included in the request is invalid.",
            )
        self._verifier.check(
            request,
            claim,
            secret=key.secret,
            body_sha256=body_sha256,
            now=self._now(),
        )
        return Caller(
            access_key_id=key.access_key_id,
            namespace=key.namespace,
            account=self._account_of(key.namespace),
            user=key.user,
            groups=key.groups,
            role=key.role if key.session else "",
            session=key.session,
            service=claim.service,
        )


def _token_fits(key: AccessKey, claim: Claim) -> bool:
    given, wanted = claim.token or "", key.token or ""
    return hmac.compare_digest(given.encode(), wanted.encode())
