"""The text that a client hashed and signed, put together again from the bytes that arrived.

    method, path, query, the signed headers, their names, hash of the body

Place: ``sigv4`` signs what is made here and compares. Invariants: pure; the path enters as it was
sent, still encoded, and is encoded once more, as every service but S3 wants it; a query that was
signed as sent and one that was encoded anew are the same request.
Source: AWS IAM user guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from klambda_core.signer import ALGORITHM
from klambda_gateway.auth.claim import Claim, Signable

PATHS_KEPT: Final = 4096

_NO_QUERY: Final = [""]


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
