"""Our signatures are botocore's, and our own verifier takes them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from klambda_core.signer import Credentials
from klambda_gateway.auth.claim import Signable, read_claim
from klambda_gateway.auth.sigv4 import Verifier
from klambda_gateway.events.deliver.signing import signed_headers

NOW = datetime(2026, 11, 27, 2, 30, 5, tzinfo=UTC)
KEYS = Credentials(access_key_id="AKIAABCDEFGHIJKLMNOP", secret_access_key="s3cret/+=")


@pytest.mark.parametrize("url", ["http://sqs.local:9324/", "https://sqs.eu-west-1.amazonaws.com/"])
@pytest.mark.parametrize("token", [None, "a-token=="])
@pytest.mark.parametrize("service", ["sqs", "sns"])
def test_as_botocore_signs(url: str, token: str | None, service: str) -> None:
    body = b'{"QueueName":"q"}'
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "AmazonSQS.SendMessage",
    }
    keys = replace(KEYS, session_token=token)
    ours = signed_headers(
        url, body, headers, keys=keys, region="eu-west-1", service=service, now=NOW
    )
    request: Any = botocore.awsrequest.AWSRequest("POST", url, headers=headers, data=body)
    credentials = botocore.credentials.Credentials(
        keys.access_key_id, keys.secret_access_key, token
    )
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        botocore.auth.SigV4Auth(credentials, service, "eu-west-1").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours["x-amz-date"] == request.headers["X-Amz-Date"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")
    assert ours["host"] == urlsplit(url).netloc


def test_our_verifier_takes_it() -> None:
    body = b"Action=Publish"
    headers = signed_headers(
        "http://x/", body, {"Content-Type": "a/b"}, keys=KEYS, region="us-east-1", service="sns",
        now=NOW,
    )  # fmt: skip
    request = Signable(
        method="POST",
        path=b"/",
        query=b"",
        headers=[(key.encode(), value.encode()) for key, value in headers.items()],
    )
    Verifier("us-east-1").check(
        request,
        read_claim(request),
        secret=KEYS.secret_access_key,
        body_sha256=hashlib.sha256(body).hexdigest(),
        now=NOW,
    )
