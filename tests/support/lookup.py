"""What became of an asynchronous invocation, asked as a user would: signed by botocore."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import botocore.auth
import botocore.awsrequest


def look(client: Any, request_id: str) -> dict[str, Any]:
    """Ask the gateway that a boto3 Lambda client talks to. Raises HTTPError."""
    return ask(client, "GET", f"async-invocations/{request_id}")


def ask(client: Any, method: str, path: str, document: object = None) -> dict[str, Any]:
    """Ask for what is beside Lambda's API, below /klambda/v1. Raises HTTPError."""
    url = f"{client.meta.endpoint_url}/klambda/v1/{path}"
    body = None if document is None else json.dumps(document).encode()
    request: Any = botocore.awsrequest.AWSRequest(method, url, data=body)
    credentials = client._request_signer._credentials
    botocore.auth.SigV4Auth(credentials, "lambda", client.meta.region_name).add_auth(request)
    signed = urllib.request.Request(url, data=body, headers=dict(request.headers), method=method)
    with urllib.request.urlopen(signed, timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found
