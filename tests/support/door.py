"""One kept connection to the gateway, signed with little ado: for tests that call very often.

boto3 takes some milliseconds of CPU for each call, of which a machine with two cores has few.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from klambda_core.signer import Credentials, authorization, stamp_of

REGION = "us-east-1"
EVENT = {"x-amz-invocation-type": "Event"}


class NotServed(Exception):
    """The gateway was away, or said that something else is; asking again may help."""


class Door:
    """Use in one thread."""

    def __init__(self, endpoint: str, keys: Credentials, region: str = REGION) -> None:
        self._host = urlsplit(endpoint).netloc
        self._keys = keys
        self._region = region
        self._connection = http.client.HTTPConnection(self._host, timeout=30)

    def send(self, function: str, event: object) -> str:
        """Send an event; return its request id once it was answered with 202. Raises NotServed."""
        path = f"/2015-03-31/functions/{function}/invocations"
        status, headers, body = self._call("POST", path, json.dumps(event).encode(), EVENT)
        if status >= 429:
            raise NotServed(f"{status} {body!r}")
        assert status == 202, (status, body)
        return headers["x-amzn-requestid"]

    def look(self, request_id: str) -> dict[str, Any]:
        """What became of an event. Raises NotServed."""
        path = f"/klambda/v1/async-invocations/{request_id}"
        status, _, body = self._call("GET", path, b"", {})
        if status >= 429:
            raise NotServed(f"{status} {body!r}")
        assert status == 200, (request_id, status, body)
        found: dict[str, Any] = json.loads(body)
        return found

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _call(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        signed = {**headers, "host": self._host, "x-amz-date": stamp_of(datetime.now(UTC))}
        signed["authorization"] = authorization(
            method, path, "", signed, hashlib.sha256(body).hexdigest(),
            credentials=self._keys, region=self._region, service="lambda",
        )  # fmt: skip
        try:
            self._connection.request(method, path, body, signed)
            answer = self._connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise NotServed(repr(error)) from error
