"""aws-chunked bodies: AWS's own examples, then everything that must not pass."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import zlib

import awscrt.checksums
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core.errors import LambdaError
from klambda_core.signer import signing_key
from klambda_gateway.auth.chunked import decode
from klambda_gateway.auth.claim import Claim, Scope, Signable

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = f"{SIGNED}-TRAILER"
UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY = hashlib.sha256(b"").hexdigest()


def request(**headers: str) -> Signable:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Signable(method="PUT", path=b"/", query=b"", headers=given)


def claim(payload: str, seed: str) -> Claim:
    """The request of AWS's example: S3, us-east-1, 24 May 2013."""
    scope = Scope(
        access_key="AKIAIOSFODNN7EXAMPLE",
        date="20130524",
        region="us-east-1",
        service="s3",
        signed_headers=("host",),
    )
    return scope.claim(stamp="20130524T000000Z", signature=seed, payload=payload, token=None)


KEY = signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3")
A64, A1 = b"a" * 65536, b"a" * 1024


def framed(*chunks: tuple[bytes, str], tail: bytes = b"\r\n") -> bytes:
    body = b""
    for data, signature in chunks:
        extension = f";chunk-signature={signature}" if signature else ""
        body += f"{len(data):x}{extension}\r\n".encode() + data
        if data:
            body += b"\r\n"
    return body + tail


def test_awss_example_of_signed_chunks() -> None:
    """S3 API reference, "Example calculations": all four signatures are AWS's."""
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    body = framed(
        (A64, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
        (A1, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
        (b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    )
    assert len(body) == 66824, "Content-Length in AWS's example"
    sized = request(x_amz_decoded_content_length="66560")
    assert decode(sized, claim(SIGNED, seed), body, KEY) == A64 + A1


def test_awss_example_of_signed_trailers() -> None:
    """S3 API reference, "Trailing checksums": all five signatures are AWS's."""
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    body = framed(
        (A64, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
        (A1, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
        (b"", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
        tail=b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
        b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
    )
    assert decode(request(), claim(SIGNED_TRAILER, seed), body, KEY) == A64 + A1


def signature(previous: str, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    scope = "20130524/us-east-1/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n{scope}\n{previous}\n{EMPTY}\n{digest}"
    return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()


def chain(*pieces: bytes, seed: str = "5eed") -> list[tuple[bytes, str]]:
    chunks, previous = [], seed
    for piece in (*pieces, b""):
        previous = signature(previous, piece)
        chunks.append((piece, previous))
    return chunks


def refusal(payload: str, body: bytes, **headers: str) -> LambdaError:
    with pytest.raises(LambdaError) as refused:
        decode(request(**headers), claim(payload, "5eed"), body, KEY)
    return refused.value


def test_a_chunk_can_not_be_changed_left_out_moved_or_added() -> None:
    one, two, end = chain(b"one", b"two")
    assert decode(request(), claim(SIGNED, "5eed"), framed(one, two, end), KEY) == b"onetwo"
    wrong = [
        framed((b"ONE", one[1]), two, end),
        framed(two, end),
        framed(one, end),
        framed(two, one, end),
        framed(one, one, two, end),
        framed((b"one", ""), (b"two", ""), (b"", "")),
        framed(one, two, (b"", "0" * 64)),
    ]
    for body in wrong:
        assert refusal(SIGNED, body).error.name == "InvalidSignatureException"
    with pytest.raises(LambdaError):
        decode(request(), claim(SIGNED, "5eed")._replace(signature="other"), framed(end), KEY)


def test_signed_trailers_need_their_signature() -> None:
    body = framed(*chain(b"one"), tail=b"x-amz-checksum-sha1:x\r\n\r\n")
    assert refusal(SIGNED_TRAILER, body).error.name == "InvalidSignatureException"


@pytest.mark.parametrize("name", ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"])
def test_checksums_of_unsigned_bodies_are_checked(name: str) -> None:
    data = b"what boto3 sends over https"
    sums = {
        "crc32": zlib.crc32(data).to_bytes(4, "big"),
        "crc32c": awscrt.checksums.crc32c(data).to_bytes(4, "big"),
        "crc64nvme": awscrt.checksums.crc64nvme(data).to_bytes(8, "big"),
        "sha1": hashlib.sha1(data).digest(),
        "sha256": hashlib.sha256(data).digest(),
    }
    value = base64.b64encode(sums[name]).decode()
    chunks = [(data, ""), (b"", "")]
    good = framed(*chunks, tail=f"x-amz-checksum-{name}:{value}\r\n\r\n".encode())
    assert decode(request(), claim(UNSIGNED, "5eed"), good, KEY) == data
    bad = framed((data + b"!", ""), (b"", ""), tail=good[good.index(b"x-amz") :])
    assert refusal(UNSIGNED, bad).status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"3",
        b"3\r\nabc",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nab",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n",
        b"\xb2\r\nab\r\n0\r\n\r\n",
        b"fffffffff\r\n",
        b"ffffffff\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nno trailer\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\nmore",
        b"3\r\nabc\r\n0\r\n" + b"a:b\r\n" * 17 + b"\r\n",
        b"3;" + b"x" * 5000 + b"\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_wrong_framing_is_the_clients_error(body: bytes) -> None:
    if body.count(b"a:b") == 17:
        body = body.replace(b"a:b\r\n" * 17, b"".join(b"a%d:b\r\n" % n for n in range(17)))
    refused = refusal(UNSIGNED, body)
    assert (refused.status, refused.error.name) == (400, "SerializationException")


def test_the_declared_length_must_be_true() -> None:
    body = framed((b"abc", ""), (b"", ""))
    assert refusal(UNSIGNED, body, x_amz_decoded_content_length="4").status == 400


@given(st.binary(max_size=200))
def test_no_bytes_are_our_fault(body: bytes) -> None:
    for payload in (SIGNED, SIGNED_TRAILER, UNSIGNED):
        with contextlib.suppress(LambdaError):
            assert decode(request(), claim(payload, "5eed"), body, KEY) in body


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5))
def test_what_was_signed_comes_out(pieces: list[bytes]) -> None:
    body = framed(*chain(*pieces))
    assert decode(request(), claim(SIGNED, "5eed"), body, KEY) == b"".join(pieces)
