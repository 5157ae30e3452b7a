"""Our signature of a GetObject is the one that botocore makes."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from klambda_gateway.auth.signer import Credentials
from klambda_gateway.code.signing import signed_get

NOW = datetime(2026, 11, 21, 12, 0, 1, tzinfo=UTC)
KEY = Credentials(access_key_id="AKIA", secret_access_key="secret/+")


@pytest.mark.parametrize(
    "endpoint", ["http://minio:9000", "https://s3.eu-west-1.amazonaws.com", "http://[::1]:80/"]
)
@pytest.mark.parametrize(
    "key", ["code.zip", "a/b c/d+e.zip", "ümlaut~_-.zip", "a//b/../c", "a%2Fb", "q?x=1&y#z"]
)
@pytest.mark.parametrize("version", [None, "3/L4kqtJ+x="])
def test_it_is_botocores(endpoint: str, key: str, version: str | None) -> None:
    query = {} if version is None else {"versionId": version}
    path = f"/bucket/{quote(key, safe='/~')}"
    url, headers = signed_get(endpoint, path, query, region="eu-west-1", credentials=KEY, now=NOW)
    request = botocore.awsrequest.AWSRequest(method="GET", url=url)
    request.context["timestamp"] = "20261121T120001Z"
    request.headers["X-Amz-Date"] = "20261121T120001Z"
    request.headers["X-Amz-Content-SHA256"] = headers["x-amz-content-sha256"]
    request.headers["Host"] = headers["host"]
    signer = botocore.auth.S3SigV4Auth(
        botocore.credentials.Credentials(KEY.access_key_id, KEY.secret_access_key),
        "s3",
        "eu-west-1",
    )
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert headers["Authorization"].endswith(f"Signature={signer.signature(text, request)}")
    assert "Credential=AKIA/20261121/eu-west-1/s3/aws4_request" in headers["Authorization"]


def test_without_credentials_nothing_is_signed() -> None:
    url, headers = signed_get("http://m", "/b/k", {}, region="r", credentials=None, now=NOW)
    assert (url, headers) == ("http://m/b/k", {})
    assert "secret" not in repr(KEY)
