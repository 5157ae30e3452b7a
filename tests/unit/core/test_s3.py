"""What is said to an S3-compatible service, and what it says: signatures are those of botocore."""

from __future__ import annotations

from datetime import UTC, datetime

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from klambda_core.s3 import Entry, Place, error_of, listing_of, signed_request
from klambda_core.signer import Credentials

NOW = datetime(2026, 11, 21, 12, 0, 1, tzinfo=UTC)
KEY = Credentials(access_key_id="AKIA", secret_access_key="secret/+")


@pytest.mark.parametrize(
    "endpoint", ["http://minio:9000", "https://s3.eu-west-1.amazonaws.com", "http://[::1]:80/"]
)
@pytest.mark.parametrize(
    "key",
    ["code.zip", "a/b c/d+e.zip", "ümlaut~_-.zip", "a//b/../c", "a%2Fb", "q?x=1&y#z", ""],
)
@pytest.mark.parametrize("query", [{}, {"versionId": "3/L4kqtJ+x="}, {"prefix": "a/", "list": "2"}])
@pytest.mark.parametrize(("method", "payload"), [("GET", "e3b0"), ("PUT", "ab" * 32)])
@pytest.mark.parametrize("token", [None, "to/ken="])
def test_the_signature_is_botocores(
    endpoint: str, key: str, query: dict[str, str], method: str, payload: str, token: str | None
) -> None:
    credentials = Credentials(
        access_key_id="AKIA", secret_access_key="secret/+", session_token=token
    )
    place = Place(endpoint=endpoint, bucket="bucket", region="eu-west-1", credentials=credentials)
    url, headers = signed_request(method, place, key, query, now=NOW, payload_sha256=payload)
    request = botocore.awsrequest.AWSRequest(method=method, url=url)
    request.context["timestamp"] = "20261121T120001Z"
    request.headers["X-Amz-Date"] = "20261121T120001Z"
    request.headers["X-Amz-Content-SHA256"] = payload
    request.headers["Host"] = headers["host"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    signer = botocore.auth.S3SigV4Auth(
        botocore.credentials.Credentials("AKIA", "secret/+", token), "s3", "eu-west-1"
    )
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert headers["Authorization"].endswith(f"Signature={signer.signature(text, request)}")
    assert "Credential=AKIA/20261121/eu-west-1/s3/aws4_request" in headers["Authorization"]


def test_without_credentials_nothing_is_signed() -> None:
    place = Place(endpoint="http://m", bucket="b", region="r")
    assert signed_request("GET", place, "k", {}, now=NOW) == ("http://m/b/k", {})
    assert "secret" not in repr(KEY)


@pytest.mark.parametrize(
    ("path_style", "key", "url"),
    [
        (True, "a/b", "https://s3.example:8443/box/a/b"),
        (True, "", "https://s3.example:8443/box"),
        (False, "a/b", "https://box.s3.example:8443/a/b"),
        (False, "", "https://box.s3.example:8443/"),
    ],
)
def test_the_bucket_stands_in_the_path_or_before_the_host(
    path_style: bool, key: str, url: str
) -> None:
    place = Place(
        endpoint="https://s3.example:8443/",
        bucket="box",
        region="r",
        path_style=path_style,
        credentials=KEY,
    )
    signed, headers = signed_request("GET", place, key, {}, now=NOW)
    assert (signed, headers["host"]) == (url, url.split("/")[2])


LISTING = """<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>box</Name><Prefix>a/</Prefix>
<KeyCount>2</KeyCount><IsTruncated>true</IsTruncated>
<NextContinuationToken>x&amp;y=</NextContinuationToken>
<Contents><Key>a/&lt;1&gt;</Key><LastModified>2026-11-21T12:00:01.500Z</LastModified>
<ETag>&quot;d&quot;</ETag><Size>7</Size><Owner><ID>1</ID></Owner><StorageClass>S</StorageClass></Contents>
<Contents xmlns="x"><LastModified>2026-11-21T12:00:01Z</LastModified><Size>0</Size><Key>a/2</Key></Contents>
<CommonPrefixes><Prefix>a/b/</Prefix></CommonPrefixes>
</ListBucketResult>"""  # noqa: E501 - as the API reference writes it


def test_a_listing_is_read() -> None:
    page = listing_of(LISTING)
    assert page.entries == (
        Entry(key="a/<1>", size=7, modified=NOW.replace(microsecond=500_000)),
        Entry(key="a/2", size=0, modified=NOW),
    )
    assert page.prefixes == ("a/b/",)
    assert page.next == "x&y="
    last = LISTING.replace("<NextContinuationToken>x&amp;y=</NextContinuationToken>", "")
    assert listing_of(last).next is None


@pytest.mark.parametrize(
    "text",
    ["", "<html>", LISTING.replace("<Size>7</Size>", ""), LISTING.replace(">7<", ">seven<"),
     LISTING.replace("2026-11-21T12:00:01.500Z", "yesterday")],
)  # fmt: skip
def test_what_is_no_listing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        listing_of(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Error><Code>NoKey</Code><Message>a &amp; b</Message></Error>", ("NoKey", "a & b")),
        ("<Error><Code>SlowDown</Code></Error>", ("SlowDown", "SlowDown")),
        ("<html>502</html>", None),
    ],
)  # fmt: skip
def test_an_error_is_read(text: str, expected: tuple[str, str] | None) -> None:
    assert error_of(text) == expected
