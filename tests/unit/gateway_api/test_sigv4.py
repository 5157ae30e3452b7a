"""Signatures: botocore signs, we verify; then everything that must not pass."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core.errors import LambdaError
from klambda_gateway.auth.canonical import canonical_path, canonical_queries
from klambda_gateway.auth.claim import Signable, read_claim
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.sigv4 import Verifier
from tests.support.chunks import signed_chunks
from tests.unit.gateway_api.fakes import ACCOUNT, KEY_ID, REGION, SECRET, OneKey, raw_request

HOST = "http://127.0.0.1:8080"
ARN = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af%3A%24LATEST"


def signed(
    method: str = "GET",
    path: str = "/2015-03-31/functions",
    body: bytes = b"",
    *,
    signer: str = "header",
    secret: str = SECRET,
    token: str | None = None,
    service: str = "lambda",
    region: str = REGION,
    key_id: str = KEY_ID,
    headers: dict[str, str] | None = None,
) -> tuple[Signable, bytes]:
    credentials = botocore.credentials.Credentials(key_id, secret, token)
    request = botocore.awsrequest.AWSRequest(
        method=method, url=HOST + path, data=body, headers=headers or {}
    )
    request.context["payload_signing_enabled"] = True
    if signer == "header":
        auth: Any = botocore.auth.SigV4Auth(credentials, service, region)
    else:
        auth = botocore.auth.SigV4QueryAuth(credentials, service, region, expires=60)
    auth.add_auth(request)
    raw = raw_request(request.prepare())
    return raw.signable, raw.body


def check(
    signable: Signable, body: bytes = b"", *, now: datetime | None = None, secret: str = SECRET
) -> None:
    Verifier(REGION).check(
        signable,
        read_claim(signable),
        secret=secret,
        body_sha256=hashlib.sha256(body).hexdigest(),
        now=now or datetime.now(UTC),
    )


PATHS = [
    "/",
    "/2015-03-31/functions",
    "/2015-03-31/functions/",
    f"/2015-03-31/functions/{ARN}/invocations?Qualifier=%24LATEST",
    "/2018-10-31/layers?find=LayerVersion&Arn=arn%3Aaws%3Alambda",
    "/2017-03-31/tags/arn%3Aaws?tagKeys=b&tagKeys=a&tagKeys=%C3%A9%20%2B%2F%3D",
    "/a%2Fb/c%20d/%C3%A4%E2%82%AC?x=%7E~.-_",
    "/a//b/./c/../d?empty=&bare&z=1&a=2",
    "/q?b=2&a=1&a=0&B=3&%61=4",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("signer", ["header", "query"])
def test_what_botocore_signs_passes(path: str, signer: str) -> None:
    check(*signed("POST", path, b'{"a": "\xc3\xa9"}', signer=signer))


SAFE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


@given(st.lists(st.tuples(SAFE, SAFE), max_size=4), st.lists(SAFE, max_size=4), st.binary())
def test_any_path_query_and_body_that_botocore_signs_passes(
    query: list[tuple[str, str]], segments: list[str], body: bytes
) -> None:
    path = "/" + "/".join(quote(segment, safe="~") for segment in segments)
    text = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in query)
    check(*signed("PUT", f"{path}?{text}" if text else path, body))


def test_folded_and_repeated_headers() -> None:
    signable, body = signed(headers={"x-amz-meta": "  a   b ", "x-other": "1"})
    check(signable, body)


def refused(signable: Signable, body: bytes = b"", **more: Any) -> str:
    with pytest.raises(LambdaError) as caught:
        check(signable, body, **more)
    assert caught.value.status == 403
    return f"{caught.value.error.name}: {caught.value.message}"


def changed(signable: Signable, **members: Any) -> Signable:
    values = {
        "method": signable.method,
        "path": signable.path,
        "query": signable.query,
        "headers": signable.headers,
    }
    return Signable(**(values | members))


def test_every_part_is_under_the_signature() -> None:
    signable, body = signed("POST", "/a/b?x=1", b"body")
    mismatch = "InvalidSignatureException: The request signature we calculated does not match"
    assert refused(signable, b"other").startswith(mismatch)
    assert refused(changed(signable, method="PUT"), body).startswith(mismatch)
    assert refused(changed(signable, path=b"/a/c"), body).startswith(mismatch)
    assert refused(changed(signable, query=b"x=2"), body).startswith(mismatch)
    assert refused(changed(signable, query=b"x=1&y=2"), body).startswith(mismatch)
    assert refused(signable, body, secret="other").startswith(mismatch)
    moved = [(k, b"evil" if k == b"host" else v) for k, v in signable.headers]
    assert refused(changed(signable, headers=moved), body).startswith(mismatch)


def test_a_declared_payload_hash_must_be_true_and_unsigned_is_allowed() -> None:
    unsigned = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    signable, _ = signed("POST", "/", b"body", headers=unsigned)
    check(signable, b"anything")
    declared = {"X-Amz-Content-SHA256": hashlib.sha256(b"body").hexdigest()}
    signable, body = signed("POST", "/", b"body", headers=declared)
    check(signable, body)
    assert "does not match" in refused(signable, b"other")
    strange = {"X-Amz-Content-SHA256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}
    signable, body = signed("POST", "/", b"body", headers=strange)
    assert "is not supported" in refused(signable, body)


def test_a_presigned_url_may_leave_the_body_open() -> None:
    """As the JavaScript SDK's presigner spells it: the declaration is a member of the query."""
    credentials = botocore.credentials.Credentials(KEY_ID, SECRET)
    url = f"{HOST}/?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
    request = botocore.awsrequest.AWSRequest(method="POST", url=url)
    botocore.auth.S3SigV4QueryAuth(credentials, "lambda", REGION, expires=60).add_auth(request)
    signable = raw_request(request.prepare()).signable
    check(signable, b"anything")
    assert "does not match" in refused(
        changed(signable, query=signable.query.replace(b"=UNSIGNED-PAYLOAD", b"=" + b"0" * 64))
    )


UNCHUNKED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def test_the_gate_takes_aws_chunked_bodies_apart() -> None:
    gate = Gate(OneKey(), region=REGION, account_of=lambda _: ACCOUNT)
    wire = b"4\r\nbody\r\n0\r\nx-amz-checksum-crc32:22U5Jw==\r\n\r\n"
    signable, _ = signed("POST", "/", headers={"X-Amz-Content-SHA256": UNCHUNKED})
    with pytest.raises(LambdaError, match="x-amz-checksum-crc32 does not match"):
        gate.authenticate(signable, wire)
    good = wire.replace(b"22U5Jw==", b64encode(zlib.crc32(b"body").to_bytes(4, "big")))
    assert gate.authenticate(signable, good)[1] == b"body"
    with pytest.raises(LambdaError, match="aws-chunked"):
        gate.identify_hashed(signable, "")

    signable, _ = signed("POST", "/", headers={"X-Amz-Content-SHA256": CHUNKED})
    wire = signed_chunks(signable, SECRET, b"body")
    assert gate.authenticate(signable, wire)[1] == b"body"
    assert gate.admit(signable, wire)[1] == b"body"
    with pytest.raises(LambdaError, match="does not match"):
        gate.authenticate(signable, wire.replace(b"body", b"evil"))


CHUNKED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def test_a_plain_body_comes_back_as_it_is() -> None:
    gate = Gate(OneKey(), region=REGION, account_of=lambda _: ACCOUNT)
    signable, body = signed("POST", "/", b"body")
    assert gate.authenticate(signable, body)[1] is body


@pytest.mark.parametrize("seconds", [-301, 301])
def test_the_clock_may_be_five_minutes_off(seconds: int) -> None:
    signable, body = signed()
    now = datetime.now(UTC)
    text = refused(signable, body, now=now + timedelta(seconds=seconds))
    assert "Signature expired" in text if seconds > 0 else "Signature not yet current" in text
    check(signable, body, now=now + timedelta(seconds=seconds * 290 // 301))


def test_a_presigned_url_ends_after_its_lifetime() -> None:
    signable, body = signed(signer="query")
    check(signable, body, now=datetime.now(UTC) + timedelta(seconds=55))
    text = refused(signable, body, now=datetime.now(UTC) + timedelta(seconds=65))
    assert "Signature expired" in text


def test_another_region_is_refused_in_awss_words() -> None:
    text = refused(*signed(region="eu-west-1"))
    assert text == "InvalidSignatureException: Credential should be scoped to a valid region. "


SCOPE = "20260101/us-east-1/lambda/aws4_request"
STAMP = "20260101T000000Z"


@pytest.mark.parametrize(
    ("authorization", "stamp", "error"),
    [
        (None, STAMP, "MissingAuthenticationTokenException: Missing Authentication Token"),
        (  # S: what AWS says to bearer tokens and basic authentication
            "Bearer x",
            STAMP,
            (
                "IncompleteSignatureException: Invalid key=value pair (missing equal-sign) in "
                "Authorization header (hashed with SHA-256 and encoded with Base64): "
                "'uTem/WB082UJMN2ajD6lH6UChGpTAddMJSx2iu923No='."
            ),
        ),
        (
            "Basic a2V5OnNlY3JldA==",
            "yesterday",
            (
                "IncompleteSignatureException: Authorization header requires 'Credential' "
                "parameter. Authorization header requires 'Signature' parameter. Authorization "
                "header requires 'SignedHeaders' parameter. "
                "(Hashed with SHA-256 and encoded with Base64) "
                "Authorization=KxN06y6JA9nM0wUIsuk39yFLcDWojyqwBp7DZYhwstk="
            ),
        ),
        (
            "AWS5-HMAC-SHA256 Credential=a",
            STAMP,
            "IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS5-HMAC-SHA256'.",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a",
            STAMP,
            "IncompleteSignatureException: Authorization header requires 'Signature' parameter.",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c",
            STAMP,
            "IncompleteSignatureException",
        ),
        (
            f"AWS4-HMAC-SHA256 Credential=k/{SCOPE},SignedHeaders=host,Signature=c",
            "yesterday",
            "IncompleteSignatureException",
        ),
        (
            f"AWS4-HMAC-SHA256 Credential=k/{SCOPE},SignedHeaders=date,Signature=c",
            STAMP,
            "InvalidSignatureException: 'Host'",
        ),
    ],
)
def test_what_is_no_signature(authorization: str | None, stamp: str, error: str) -> None:
    headers = [(b"x-amz-date", stamp.encode())]
    if authorization is not None:
        headers.append((b"authorization", authorization.encode()))
    signable = Signable(method="GET", path=b"/", query=b"", headers=headers)
    assert refused(signable).startswith(error)


@given(st.text(max_size=200), st.binary(max_size=200))
def test_garbage_is_refused_cleanly(text: str, query: bytes) -> None:
    header = ("AWS4-HMAC-SHA256 " + text).encode()
    signable = Signable(
        method="GET",
        path=b"/",
        query=b"X-Amz-Algorithm=" + query,
        headers=[(b"authorization", header), (b"x-amz-date", text.encode())],
    )
    refused(signable)
    refused(changed(signable, headers=[]))


def test_the_gate_knows_keys_and_tokens() -> None:
    def identify(signable: Signable, body: bytes, token: str | None = None) -> str:
        gate = Gate(OneKey(token), region=REGION, account_of=lambda _: ACCOUNT)
        return gate.authenticate(signable, body)[0].arn

    assert identify(*signed()) == f"arn:aws:iam::{ACCOUNT}:user/klambda-admin"
    assert identify(*signed(token="t"), token="t")
    for request, wanted in ((signed(token="t"), None), (signed(), "t"), (signed(token="u"), "t")):
        with pytest.raises(LambdaError, match="security token included in the request is invalid"):
            identify(*request, token=wanted)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        (b"", "/"),
        (b"/", "/"),
        (b"//", "/"),
        (b"/a/../b", "/b"),
        (b"/a/./b/", "/a/b/"),
        (b"/a/..", "/"),
        (b"/%2F", "/%252F"),
    ],
)
def test_canonical_paths(path: bytes, canonical: str) -> None:
    assert canonical_path(path) == canonical


def test_canonical_queries_sort_and_leave_the_signature_out() -> None:
    assert canonical_queries(b"b=1&a=2&X-Amz-Signature=f", presigned=True) == ["a=2&b=1"]
    assert canonical_queries(b"a=%7e", presigned=False) == ["a=~", "a=%7e"]
