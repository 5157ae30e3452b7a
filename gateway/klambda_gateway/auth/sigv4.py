"""AWS Signature Version 4, the server's half: read what a request claims, and check it.

Theory. A client hashes a *canonical request* (method, path, query, chosen headers, hash of the
body), signs ``algorithm, time, scope, that hash`` with a key derived from its secret and the scope,
and sends access key id, scope, names of the signed headers and the signature: in ``Authorization``,
or in the query (*presigned*). We rebuild the same text from the bytes that arrived.

Place: ``auth.gate`` reads the claim, looks the access key up, calls ``Verifier.check``.
Invariants: pure (the clock is an argument); what is compared with secrets is compared in constant
time; the path enters as it was sent, still encoded, and is encoded once more, as every service but
S3 wants it. Not here: where keys come from, who may do what, aws-chunked bodies.
Source: AWS IAM user guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_core.signer import ALGORITHM, TERMINATOR, signing_key

SKEW = timedelta(minutes=5)
"""How far a request's time may be from ours (IAM user guide)."""
LONGEST_PRESIGNED = 604_800
"""Seconds a presigned URL may last: seven days (IAM user guide)."""
KEYS_KEPT = 1024
SCOPES_KEPT = 4096
PATHS_KEPT = 4096
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = frozenset(
    {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }
)
"""Bodies whose pieces are signed, or not at all: ``chunked`` takes them apart."""

Headers = Sequence[tuple[bytes, bytes]]

_NO_QUERY = [""]
_STAMP = "%Y%m%dT%H%M%SZ"
_USUAL = re.compile(ALGORITHM + r" +Credential=([^,\s=]+), ?SignedHeaders=([a-z0-9;-]+)", re.ASCII)
_PARTS = re.compile(r"(\w+)=([^,\s]+)")
_HEX64 = re.compile(r"[0-9a-f]{64}")


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
    if authorization is not None:
        return _from_header(request, authorization)
    if b"X-Amz-Algorithm=" in request.query:
        return _from_query(request)
    raise LambdaError(errors.MISSING_AUTHENTICATION_TOKEN, "Missing Authentication Token")


def _from_header(request: Signable, authorization: str) -> Claim:
    stamp = request.header(b"x-amz-date") or _http_date(request.header(b"date"))
    # A client's header changes in its end only: the signature.
    start, _, signature = authorization.rpartition(", Signature=")
    scope = _scope_of(start) if _HEX64.fullmatch(signature) else None
    if scope is None or stamp is None:
        return _claim_of(request, authorization, stamp)
    payload = request.header(b"x-amz-content-sha256")
    _check_payload(payload)
    return scope.claim(
        stamp=stamp,
        signature=signature,
        payload=payload,
        token=request.header(b"x-amz-security-token"),
    )


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
    if algorithm != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{algorithm}'.")
    parts = dict(_PARTS.findall(rest))
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if name not in parts]
    problems = [f"Authorization header requires '{name}' parameter." for name in missing]
    if stamp is None:
        problems.append(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    if problems or stamp is None:
        raise _incomplete(" ".join(problems))
    payload = request.header(b"x-amz-content-sha256")
    scope = _scope(parts["Credential"], parts["SignedHeaders"])
    _check_payload(payload)
    return scope.claim(
        stamp=stamp,
        signature=parts["Signature"],
        payload=payload,
        token=request.header(b"x-amz-security-token"),
    )


def _from_query(request: Signable) -> Claim:
    given = _query_members(request.query)
    wanted = ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")
    missing = [f"X-Amz-{name}" for name in wanted if f"X-Amz-{name}" not in given]
    if missing:
        raise _incomplete(f"AWS query-string parameters must include {', '.join(missing)}.")
    if given["X-Amz-Algorithm"] != ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': '{given['X-Amz-Algorithm']}'.")
    lifetime = given["X-Amz-Expires"]
    if not (lifetime.isascii() and lifetime.isdigit() and len(lifetime) <= 6):
        raise _incomplete("X-Amz-Expires should be a number of seconds.")
    if int(lifetime) > LONGEST_PRESIGNED:
        raise _incomplete("X-Amz-Expires must be less than a week (in seconds).")
    payload = given.get("X-Amz-Content-Sha256", request.header(b"x-amz-content-sha256"))
    scope = _scope(given["X-Amz-Credential"], given["X-Amz-SignedHeaders"])
    _check_payload(payload)
    return scope.claim(
        stamp=given["X-Amz-Date"],
        signature=given["X-Amz-Signature"],
        payload=payload,
        token=given.get("X-Amz-Security-Token"),
        lifetime=int(lifetime),
    )


def _query_members(query: bytes) -> Mapping[str, str]:
    pairs = (piece.partition(b"=") for piece in query.split(b"&") if piece)
    return {
        unquote_to_bytes(key).decode("latin-1"): unquote_to_bytes(value).decode("latin-1")
        for key, _, value in pairs
    }


def _scope(credential: str, signed: str) -> Scope:
    parts = credential.split("/")
    if len(parts) < 5:
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            f"keyid/date/region/service/term, got '{credential}'"
        )
    date, region, service, terminator = parts[-4:]
    if terminator != TERMINATOR:
        raise _invalid(
            f"Credential should be scoped with a valid terminator: '{TERMINATOR}', "
            f"not '{terminator}'."
        )
    names = tuple(signed.split(";"))
    if "host" not in names:
        raise _invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
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
        raise _invalid(f"The payload hash '{payload}' is not supported.")


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
            raise _invalid(
                f"Credential should be scoped to a valid region, not '{region}'. "
                f"The region of this installation is '{self._region}'."
            )
        check_time(claim, now)
        if claim.payload not in (None, UNSIGNED, body_sha256, *STREAMING):
            raise mismatch()
        payload = claim.payload or body_sha256
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
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got '{claim.stamp}'.")
    if claim.stamp[:8] != claim.common.date:
        raise _invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{claim.common.date}' != '{claim.stamp[:8]}', from '{claim.stamp}'."
        )
    if signed > now + SKEW:
        raise _invalid(
            f"Signature not yet current: {claim.stamp} is still later than "
            f"{(now + SKEW).strftime(_STAMP)} ({now.strftime(_STAMP)} + 5 min.)"
        )
    if claim.lifetime is None:
        if signed < now - SKEW:
            raise _invalid(
                f"Signature expired: {claim.stamp} is now earlier than "
                f"{(now - SKEW).strftime(_STAMP)} ({now.strftime(_STAMP)} - 5 min.)"
            )
    elif signed + timedelta(seconds=claim.lifetime) < now:
        end = signed + timedelta(seconds=claim.lifetime)
        raise _invalid(
            f"Signature expired: {end.strftime(_STAMP)} is now earlier than {now.strftime(_STAMP)}"
        )


@lru_cache(maxsize=256)
def _moment(stamp: str) -> datetime | None:
    """A stamp's time. Remembered: clients sign many requests in one second."""
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def canonical_request(request: Signable, claim: Claim, query: str, payload: str) -> bytes:
    """The text whose hash is signed."""
    names = claim.common.signed_headers
    signed = "".join(_signed_lines(request, names))
    path = canonical_path(request.path)
    text = f"{request.method}\n{path}\n{query}\n{signed}\n{';'.join(names)}\n{payload}"
    return text.encode("latin-1")


def string_to_sign(claim: Claim, canonical: bytes) -> bytes:
    """Algorithm, time, scope and the canonical request's hash."""
    digest = hashlib.sha256(canonical).hexdigest()
    return f"{ALGORITHM}\n{claim.stamp}\n{claim.common.text}\n{digest}".encode()


@lru_cache(maxsize=PATHS_KEPT)
def canonical_path(path: bytes) -> str:
    """The path as sent, without empty and dot segments, encoded once more."""
    if b"//" in path or b"/." in path:
        path = _without_dots(path)
    return quote_from_bytes(path, safe="/~") or "/"


def _without_dots(path: bytes) -> bytes:
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    tail = b"/" if kept and not segments[-1] else b""  # as botocore, not as RFC 3986
    return b"/" + b"/".join(kept) + tail


def canonical_queries(query: bytes, *, presigned: bool) -> list[str]:
    """The query as it may have been signed: encoded anew by the book, else exactly as sent.

    Clients that sign a ready-made URL sort its pieces and do not encode them again; both
    spellings name the same request.
    """
    if not query:
        return _NO_QUERY
    pieces = [piece for piece in query.split(b"&") if piece]
    if presigned:
        pieces = [piece for piece in pieces if not piece.startswith(b"X-Amz-Signature=")]
    pairs = [piece.partition(b"=")[::2] for piece in pieces]
    encoded = sorted((_encode_again(key), _encode_again(value)) for key, value in pairs)
    canonical = "&".join(f"{key}={value}" for key, value in encoded)
    sent = sorted((key.decode("latin-1"), value.decode("latin-1")) for key, value in pairs)
    verbatim = "&".join(f"{key}={value}" for key, value in sent)
    return [canonical] if verbatim == canonical else [canonical, verbatim]


def _encode_again(part: bytes) -> str:
    return quote(unquote_to_bytes(part), safe="-_.~")


def _signed_lines(request: Signable, names: Sequence[str]) -> list[str]:
    if request.fields is not None:
        get = request.fields.get
        return [f"{name}:{_trimmed(get(name.encode('latin-1'), b''))}\n" for name in names]
    wanted = frozenset(names)
    values: dict[str, str] = {}
    for key, raw in request.headers:
        name = key.decode("latin-1")
        if name in wanted:
            value = _trimmed(raw)
            values[name] = f"{values[name]},{value}" if name in values else value
    return [f"{name}:{values.get(name, '')}\n" for name in names]


def _trimmed(value: bytes) -> str:
    return b" ".join(value.split()).decode("latin-1")


def _http_date(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value).astimezone(UTC).strftime(_STAMP)
    except (ValueError, TypeError):
        return value


def _invalid(message: str) -> LambdaError:
    return LambdaError(errors.INVALID_SIGNATURE, message)


def _incomplete(message: str) -> LambdaError:
    return LambdaError(errors.INCOMPLETE_SIGNATURE, message)


def mismatch() -> LambdaError:
    """AWS's sentence for a signature that is not ours (K)."""
    return _invalid(
        "The request signature we calculated does not match the signature you provided. Check "
        "your AWS Secret Access Key and signing method. Consult the service documentation for "
        "details."
    )
