"""Large uploads do not fill a gateway's memory, however many come at once."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import random
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from klambda_core.kinds import SECRET
from tests.integration.gateway_dataplane.conftest import HOME, ControlPlane

CLIENTS = 20
SIZE = 50_000_000
RSS_MAX_MIB = 300
"""Issue 4, section 5."""


class Hashed(botocore.auth.SigV4Auth):  # type: ignore[misc]
    """Signs with a hash that is known: the client is not what is measured."""

    digest = ""

    def payload(self, request: Any) -> str:  # noqa: ARG002 - botocore's signature
        return self.digest


def peak_mib(pid: int) -> float:
    """The most memory that a process had since the last reset."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


@pytest.mark.full
@pytest.mark.timeout(600)
def test_twenty_clients_upload_fifty_megabytes_each(control_plane: ControlPlane) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data", random.Random(1).randbytes(SIZE))
    package = base64.b64encode(buffer.getvalue()).decode()
    body = json.dumps({"Content": {"ZipFile": package}, "Description": "large"}).encode()
    Hashed.digest = hashlib.sha256(body).hexdigest()
    gateway = control_plane.gateways[0]
    _, secret = control_plane.server.request("GET", SECRET.path(HOME, "klambda-credentials"))
    keys = {k: base64.b64decode(v).decode() for k, v in secret["data"].items()}
    signer = Hashed(
        botocore.credentials.Credentials(keys["accessKeyId"], keys["secretAccessKey"]),
        "lambda",
        "us-east-1",
    )

    def upload(number: int) -> tuple[int, dict[str, Any]]:
        path = f"/2018-10-31/layers/large-{number}/versions"
        host = f"127.0.0.1:{gateway.http}"
        request = botocore.awsrequest.AWSRequest(
            method="POST", url=f"http://{host}{path}", headers={"Host": host}, data=b""
        )
        signer.add_auth(request)
        connection = http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=500)
        connection.request("POST", path, body=body, headers=dict(request.headers.items()))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    assert upload(0)[0] == 201
    pid = gateway.process.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(upload, range(CLIENTS)))
    assert {status for status, _ in answers} == {201}, answers
    assert {answer["Content"]["CodeSize"] for _, answer in answers} == {buffer.tell()}
    peak = peak_mib(pid)
    print(f"{peak=:.0f} MiB")
    assert peak < RSS_MAX_MIB
