"""What a signed request says about itself: access key, scope, signed headers, signature.

Clients say it in ``Authorization``, or in the query (*presigned*).

Place: ``auth.gate`` reads the claim, looks the access key up and lets ``sigv4`` check it.
Invariants: pure; nothing of a claim is proven; what all requests of one client and day have in
common is read once. Not here: whether the claim is true (``sigv4``), aws-chunked bodies.
Source: AWS IAM user guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_core.signer import ALGORITHM, TERMINATOR

STAMP: Final = "%Y%m%dT%H%M%SZ"
"""A request's time, as signed."""
LONGEST_PRESIGNED: Final = 604_800
"""Seconds a presigned URL may last: seven days (IAM user guide)."""
SCOPES_KEPT: Final = 4096
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING: Final = frozenset(
    {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        UNSIGNED_TRAILER,
    }
)
"""Bodies whose pieces are signed, or not at all: ``chunked`` takes them apart."""

Headers = Sequence[tuple[bytes, bytes]]

# The sentences of this module are those that AWS's services answer with, published by many who met
# them (S); those about X-Amz-Expires are S3's.
_BOTH: Final = (
    "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
)
_QUERY_MUST: Final = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date")
_UNLIMITED_S: Final = 300
"""What a presigned request lasts that does not say it: as long as a signed one (O)."""

_USUAL: Final = re.compile(
    ALGORITHM + r" +Credential=([^,\s=]+), ?SignedHeaders=([a-z0-9;-]+)", re.ASCII
)
_PARTS: Final = re.compile(r"(\w+)=([^,\s]+)")
_HEX64: Final = re.compile(r"[0-9a-f]{64}")


class Signable(NamedTuple):
    """A request as it came over the wire. Header names are lower case."""

    method: str
    path: bytes
    query: bytes
    headers: Headers
    fields: Mapping[bytes, bytes] | None = None
    """The same headers by name, when no name comes twice."""

    def header(self, name: bytes) -> str | None:
        """The first value of a header."""
        if self.fields is not None:
            found = self.fields.get(name)
            return None if found is None else found.decode("latin-1")
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a client's signatures of one day have in common."""

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]

    @property
    def text(self) -> str:
        """The credential scope, as signed."""
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"

    def claim(
        self,
        *,
        stamp: str,
        signature: str,
        payload: str | None,
        token: str | None,
        lifetime: int | None = None,
    ) -> Claim:
        """Return the claim of one request."""
        return Claim(self, stamp, signature, payload, token, lifetime)


class Claim(NamedTuple):
    """What a signed request says about itself; nothing of it is proven yet."""

    common: Scope
    stamp: str
    signature: str
    payload: str | None
    """The content hash the client declares, ``UNSIGNED-PAYLOAD``, or None: hash of the body."""
    token: str | None = None
    lifetime: int | None = None
    """Seconds; given exactly when the request is presigned."""

    @property
    def access_key(self) -> str:
        """The id of the access key."""
        return self.common.access_key

    @property
    def scope(self) -> str:
        """The credential scope, as signed."""
        return self.common.text


def read_claim(request: Signable) -> Claim:
    """Find and parse the signature of a request. Raises 403 errors."""
    authorization = request.header(b"authorization")
    presigned = b"X-Amz-Algorithm=" in request.query
    if authorization is not None:
        if presigned:
            raise invalid(_BOTH)
        return _from_header(request, authorization)
    if presigned:
        return _from_query(request)
    raise LambdaError(errors.MISSING_AUTHENTICATION_TOKEN, "Missing Authentication Token")


def _from_header(request: Signable, authorization: str) -> Claim:
    stamp = request.header(b"x-amz-date") or _http_date(request.header(b"date"))
    # A client's header changes in its end only: the signature.
    start, _, signature = authorization.rpartition(", Signature=")
    scope = _scope_of(start) if _HEX64.fullmatch(signature) else None
    if scope is None or stamp is None:
        return _claim_of(request, authorization, stamp)
    return _in_headers(request, scope, stamp, signature)


@lru_cache(maxsize=SCOPES_KEPT)
def _scope_of(start: str) -> Scope | None:
    """Read all but the signature, in the usual order; None when it is written otherwise."""
    found = _USUAL.fullmatch(start)
    if found is None:
        return None
    try:
        return _scope(found[1], found[2])
    except LambdaError:
        return None


def _claim_of(request: Signable, authorization: str, stamp: str | None) -> Claim:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm.startswith("AWS") and algorithm != ALGORITHM:
        raise incomplete(f"Unsupported AWS 'algorithm': '{algorithm}'.")
    if not all("=" in piece for piece in re.split(r"[,\s]+", rest.strip())):
        raise incomplete(
            "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with "
            f"SHA-256 and encoded with Base64): '{_hashed(authorization)}'."
        )
    parts = dict(_PARTS.findall(rest))
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if name not in parts]
    problems = [f"Authorization header requires '{name}' parameter." for name in missing]
    if stamp is None:
        problems.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    if problems or stamp is None:
        proof = _hashed(authorization)
        shown = f"(Hashed with SHA-256 and encoded with Base64) Authorization={proof}"
        raise incomplete(" ".join([*problems, shown]))
    scope = _scope(parts["Credential"], parts["SignedHeaders"])
    return _in_headers(request, scope, stamp, parts["Signature"])


def _in_headers(request: Signable, scope: Scope, stamp: str, signature: str) -> Claim:
    payload = request.header(b"x-amz-content-sha256")
    _check_payload(payload)
    return scope.claim(
        stamp=stamp,
        signature=signature,
        payload=payload,
        token=request.header(b"x-amz-security-token"),
    )


def _hashed(header: str) -> str:
    """A header that is no signature, as AWS shows it (S: published by many who met it)."""
    return b64encode(sha256(header.encode("latin-1")).digest()).decode()


def _from_query(request: Signable) -> Claim:
    given = _query_members(request.query)
    missing = [f"X-Amz-{name}" for name in _QUERY_MUST if not given.get(f"X-Amz-{name}")]
    if missing:
        problems = [f"AWS query-string parameters must include '{name}'." for name in missing]
        raise incomplete(" ".join([*problems, "Re-examine the query-string parameters."]))
    if given["X-Amz-Algorithm"] != ALGORITHM:
        raise incomplete(f"Unsupported AWS 'algorithm': '{given['X-Amz-Algorithm']}'.")
    lifetime = _lifetime(given.get("X-Amz-Expires", str(_UNLIMITED_S)))
    payload = given.get("X-Amz-Content-Sha256", request.header(b"x-amz-content-sha256"))
    scope = _scope(given["X-Amz-Credential"], given["X-Amz-SignedHeaders"])
    _check_payload(payload)
    return scope.claim(
        stamp=given["X-Amz-Date"],
        signature=given["X-Amz-Signature"],
        payload=payload,
        token=given.get("X-Amz-Security-Token"),
        lifetime=lifetime,
    )


def _lifetime(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise incomplete("X-Amz-Expires should be a number")
    seconds = int(text)
    if seconds < 0:
        raise incomplete("X-Amz-Expires must be non-negative")
    if seconds > LONGEST_PRESIGNED:
        raise incomplete(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires "
            f"must be less than {LONGEST_PRESIGNED} seconds"
        )
    return seconds


def _query_members(query: bytes) -> Mapping[str, str]:
    pairs = (piece.partition(b"=") for piece in query.split(b"&") if piece)
    return {
        unquote_to_bytes(key).decode("latin-1"): unquote_to_bytes(value).decode("latin-1")
        for key, _, value in pairs
    }


def _scope(credential: str, signed: str) -> Scope:
    parts = credential.split("/")
    if len(parts) < 5:
        raise incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            f"keyid/date/region/service/term, got '{credential}'"
        )
    date, region, service, terminator = parts[-4:]
    if terminator != TERMINATOR:
        raise invalid(
            f"Credential should be scoped with a valid terminator: '{TERMINATOR}', "
            f"not '{terminator}'."
        )
    names = tuple(signed.lower().split(";"))
    if "host" not in names:
        raise invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    return Scope(
        access_key="/".join(parts[:-4]),
        date=date,
        region=region,
        service=service,
        signed_headers=names,
    )


def _check_payload(payload: str | None) -> None:
    if payload is not None and not (
        payload == UNSIGNED or payload in STREAMING or _HEX64.fullmatch(payload)
    ):
        raise invalid(f"The payload hash '{payload}' is not supported.")


def _http_date(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value).astimezone(UTC).strftime(STAMP)
    except (ValueError, TypeError):
        return value


def invalid(message: str) -> LambdaError:
    """A signature that cannot be accepted."""
    return LambdaError(errors.INVALID_SIGNATURE, message)


def incomplete(message: str) -> LambdaError:
    """A signature that does not say all it must."""
    return LambdaError(errors.INCOMPLETE_SIGNATURE, message)
