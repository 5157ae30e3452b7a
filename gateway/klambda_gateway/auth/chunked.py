"""aws-chunked bodies: taken apart, and each piece's signature checked.

Theory. A client that does not know its body's hash when it signs declares ``STREAMING-…`` in its
place and sends the body in chunks, each with a signature that covers the one before it:

    <size in hex>[;chunk-signature=<hex>]CRLF <bytes> CRLF … 0[;chunk-signature=<hex>]CRLF
    [<trailer>:<value>CRLF … [x-amz-trailer-signature:<hex>CRLF]] CRLF

The chain begins with the request's own signature, so no chunk can be left out, moved or taken from
another request. ``-TRAILER`` variants end with checksums, which are signed too when chunks are.

Place: ``gate`` decodes after the request's signature was found true. Invariants: pure; what comes
out is exactly what was signed; a body that is not framed so is a client's error, never ours.
Not here: chunks of HTTP/1.1 itself, which the server has undone.
Sources: Amazon S3 API reference, "Transferring payload in multiple chunks" and "Trailing checksums"
(the only place where AWS writes the format down); botocore's ``AwsChunkedWrapper``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from anycrc import Model

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_core.signer import ALGORITHM
from klambda_gateway.auth.claim import STREAMING, UNSIGNED_TRAILER, Claim, Signable
from klambda_gateway.auth.sigv4 import mismatch

SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"

LINE_MAX: Final = 4096
"""Bytes of a chunk's head or a trailer."""
TRAILERS_MAX: Final = 16
_EMPTY: Final = hashlib.sha256(b"").hexdigest()
_SIGNATURE: Final = b"chunk-signature="
_TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"
_CRLF: Final = b"\r\n"

CRC32C: Final = Model("CRC32C")
CRC64NVME: Final = Model("CRC64-NVME")

_CHECKSUMS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "x-amz-checksum-crc32c": lambda data: CRC32C.calc(data).to_bytes(4, "big"),
    "x-amz-checksum-crc64nvme": lambda data: CRC64NVME.calc(data).to_bytes(8, "big"),
    "x-amz-checksum-sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
}
"""Checked when they come: all that AWS's clients know."""


def is_chunked(claim: Claim) -> bool:
    """Whether the body of a request must be taken apart."""
    return claim.payload in STREAMING


def decode(request: Signable, claim: Claim, body: bytes, key: bytes) -> bytes:
    """The body that the client meant. Raises 403 for a wrong signature, 400 for wrong framing.

    ``key``: the signing key of the claim's scope.
    """
    chain = _Chain(claim, key) if claim.payload != UNSIGNED_TRAILER else None
    reader = _Reader(body)
    pieces: list[bytes] = []
    while True:
        size, signature = _head(reader.line())
        piece = reader.take(size)
        if chain is not None:
            chain.chunk(piece, signature)
        if size == 0:
            break
        reader.end()
        pieces.append(piece)
    data = b"".join(pieces)
    trailers = _trailers(reader)
    if claim.payload == SIGNED_TRAILER and chain is not None:
        chain.trailer(trailers, trailers.pop(_TRAILER_SIGNATURE, ""))
    _check_length(request, data)
    _check_sums(trailers, data)
    return data


@dataclass(slots=True)
class _Reader:
    """A place in the body."""

    body: bytes
    at: int = 0

    def line(self) -> bytes:
        """The bytes up to the next CRLF."""
        end = self.body.find(_CRLF, self.at, self.at + LINE_MAX)
        if end < 0:
            raise _malformed("a line is not ended")
        line = self.body[self.at : end]
        self.at = end + len(_CRLF)
        return line

    def take(self, size: int) -> bytes:
        """So many bytes."""
        piece = self.body[self.at : self.at + size]
        if len(piece) != size:
            raise _malformed("the last chunk is not complete")
        self.at += size
        return piece

    def end(self) -> None:
        """A CRLF."""
        if self.take(len(_CRLF)) != _CRLF:
            raise _malformed("a chunk is longer than it says")


class _Chain:
    """Signatures, each of which covers the one before."""

    def __init__(self, claim: Claim, key: bytes) -> None:
        self._claim = claim
        self._key = key
        self._previous = claim.signature

    def chunk(self, piece: bytes, signature: str) -> None:
        """Check the next chunk's."""
        digest = hashlib.sha256(piece).hexdigest()
        self._check(f"{ALGORITHM}-PAYLOAD", f"{_EMPTY}\n{digest}", signature)

    def trailer(self, trailers: Mapping[str, str], signature: str) -> None:
        """Check that of the trailers, in the order they came."""
        text = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        digest = hashlib.sha256(text.encode()).hexdigest()
        self._check(f"{ALGORITHM}-TRAILER", digest, signature)

    def _check(self, algorithm: str, content: str, signature: str) -> None:
        claim = self._claim
        text = f"{algorithm}\n{claim.stamp}\n{claim.scope}\n{self._previous}\n{content}"
        expected = hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise mismatch()
        self._previous = expected


def _head(line: bytes) -> tuple[int, str]:
    """A chunk's size and signature (empty when it has none)."""
    size, _, extension = line.partition(b";")
    if not 0 < len(size) <= 8 or not all(c in b"0123456789abcdefABCDEF" for c in size):
        raise _malformed("a chunk's size is not hexadecimal")
    signature = extension.removeprefix(_SIGNATURE) if extension.startswith(_SIGNATURE) else b""
    return int(size, 16), signature.decode("latin-1")


def _trailers(reader: _Reader) -> dict[str, str]:
    """What follows the last chunk, up to an empty line or the end."""
    trailers: dict[str, str] = {}
    while reader.at < len(reader.body):
        line = reader.line()
        if not line:
            break
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or len(trailers) >= TRAILERS_MAX:
            raise _malformed("a trailer is not name and value")
        trailers[name.strip().lower()] = value.strip()
    if reader.at != len(reader.body):
        raise _malformed("something follows its end")
    return trailers


def _check_length(request: Signable, data: bytes) -> None:
    declared = request.header(b"x-amz-decoded-content-length")
    if declared is not None and declared != str(len(data)):
        raise _malformed(f"it has {len(data)} bytes, X-Amz-Decoded-Content-Length says {declared}")


def _check_sums(trailers: Mapping[str, str], data: bytes) -> None:
    for name, value in trailers.items():
        compute = _CHECKSUMS.get(name)
        if compute is not None and base64.b64encode(compute(data)).decode() != value:
            raise _malformed(f"{name} does not match")


def _malformed(what: str) -> LambdaError:
    """Our own words (O): Lambda's documentation has no such case."""
    return errors.serialization(f"The aws-chunked body cannot be read: {what}.")
