"""Bad input against a real gateway process with a real store: the right error, nothing left behind.

Source of the requests: issue 4, section 5. Texts: the error catalogue (`klambda_core.errors`).
"""

from __future__ import annotations

import http.client
import io
import json
import re
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest

from klambda_core.kinds import FUNCTION
from tests.integration.gateway_dataplane.conftest import ControlPlane

MIB = 1 << 20
RSS_MAX_MIB = 300
"""Issue 4, section 5."""
FUNCTIONS = "/2015-03-31/functions"
ROLE = "arn:aws:iam::000000000000:role/r"
CANNOT_UNZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."


def archive(*entries: tuple[str, bytes], link: bool = False) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries:
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3
            entry.external_attr = (0o120777 if link else 0o100644) << 16
            made.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


PLAIN = archive(("app.py", b"def handler(e, c): return 1"))


def encrypted() -> bytes:
    data = bytearray(PLAIN)
    data[data.index(b"PK\x01\x02") + 8] |= 1
    data[6] |= 1
    return bytes(data)


def bomb() -> bytes:
    return archive(("zeros", bytes(270 * MIB)))


def lying_bomb() -> bytes:
    """The directory says 10 bytes."""
    data = bytearray(bomb())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (10).to_bytes(4, "little")
    return bytes(data)


ZIPS: dict[str, tuple[Any, str]] = {
    "empty": (b"", "Uploaded file must be a non-empty zip"),
    "no zip": (b"hello, world" * 100, CANNOT_UNZIP),
    "truncated": (PLAIN[:-30], CANNOT_UNZIP),
    "encrypted": (encrypted, CANNOT_UNZIP),
    "leads out": (archive(("../evil.py", b"x")), CANNOT_UNZIP),
    "absolute": (archive(("/etc/evil.py", b"x")), CANNOT_UNZIP),
    "link out": (archive(("link", b"../../etc/passwd"), link=True), CANNOT_UNZIP),
    "absolute link": (archive(("link", b"/etc/passwd"), link=True), CANNOT_UNZIP),
    "long name": (archive(("n" * 10_000, b"x")), CANNOT_UNZIP),
    "bomb": (bomb, "Unzipped size must be smaller than 262144000 bytes"),
    "lying bomb": (lying_bomb, CANNOT_UNZIP),
}


@pytest.fixture(scope="module")
def client(control_plane: ControlPlane) -> Any:
    return control_plane.client()


@pytest.fixture
def nothing_left(control_plane: ControlPlane) -> Iterator[None]:
    """No object, no blob, and no memory."""
    store = control_plane.gateways[0].log.parent / "store"

    def kept() -> tuple[set[str], set[str]]:
        _, listed = control_plane.server.request("GET", FUNCTION.path("default"))
        return (
            {each["metadata"]["name"] for each in listed["items"]},
            {str(path) for path in store.rglob("*") if path.is_file()},
        )

    before = kept()
    yield
    assert kept() == before
    status = Path(f"/proc/{control_plane.gateways[0].process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    assert int(found[1]) / 1024 < RSS_MAX_MIB


def create(client: Any, package: bytes, **more: Any) -> Any:
    members = {
        "FunctionName": f"bad-{secrets.token_hex(4)}",
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": package},
    }
    return client.create_function(**members | more)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("kind", ZIPS)
def test_packages_that_are_none(client: Any, kind: str) -> None:
    package, text = ZIPS[kind]
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        create(client, package() if callable(package) else package)
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"]["Code"] == "InvalidParameterValueException"
    assert answer["Error"]["Message"] == text


def signed(
    plane: ControlPlane, method: str, path: str, body: bytes, **headers: str
) -> tuple[int, str, dict[str, Any]]:
    """Send any bytes under a good signature; status, error type, body."""
    key = plane.client()._request_signer._credentials
    address = f"127.0.0.1:{plane.gateways[0].http}"
    request = botocore.awsrequest.AWSRequest(
        method=method, url=f"http://{address}{path}", headers={"Host": address, **headers},
        data=body,
    )  # fmt: skip
    botocore.auth.SigV4Auth(
        botocore.credentials.Credentials(key.access_key, key.secret_key), "lambda", "us-east-1"
    ).add_auth(request)
    connection = http.client.HTTPConnection(address, timeout=120)
    try:
        connection.request(method, path, body=body, headers=dict(request.headers.items()))
        answer = connection.getresponse()
        document = json.loads(answer.read())
        return answer.status, answer.headers["x-amzn-ErrorType"] or "", document
    finally:
        connection.close()


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "SerializationException"),
        (b"\xff\xfe", "SerializationException"),
        (b"[]", "SerializationException"),
        (b"[" * 100_000, "SerializationException"),
        (b'{"FunctionName": 1}', "SerializationException"),
        (b'{"FunctionName": "f", "Timeout": "three"}', "SerializationException"),
        (b'{"FunctionName": "f", "Code": {"ZipFile": "no base64!"}}', "SerializationException"),
        (b"{}", "ValidationException"),
        (json.dumps({"FunctionName": "n" * 10_000}).encode(), "ValidationException"),
    ],
)
def test_bodies_that_are_no_request(control_plane: ControlPlane, body: bytes, error: str) -> None:
    status, kind, document = signed(control_plane, "POST", FUNCTIONS, body)
    assert (status, kind) == (400, error)
    assert set(document) <= {"message", "Type"}


@pytest.mark.usefixtures("nothing_left")
def test_seventy_megabytes(control_plane: ControlPlane) -> None:
    body = b'{"FunctionName": "f", "Description": "' + b"x" * (70 * MIB) + b'"}'
    status, kind, _ = signed(control_plane, "POST", FUNCTIONS, body)
    assert (status, kind) == (413, "RequestEntityTooLargeException")
    path = f"{FUNCTIONS}/f/invocations"
    status, kind, document = signed(control_plane, "POST", path, b'"' + b"x" * (7 * MIB) + b'"')
    assert (status, kind) == (413, "RequestEntityTooLargeException")
    assert document == {
        "Message": "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
    }


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{FUNCTIONS}/{'n' * 10_000}"),
        ("POST", f"{FUNCTIONS}/{'n' * 10_000}/invocations"),
        ("GET", f"{FUNCTIONS}/f?Qualifier={'q' * 10_000}"),
        ("GET", f"{FUNCTIONS}?Marker={'%00' * 1000}"),
        ("GET", f"{FUNCTIONS}/%2e%2e%2f%2e%2e/configuration"),
    ],
)
def test_names_of_ten_thousand_characters(
    control_plane: ControlPlane, method: str, path: str
) -> None:
    status, kind, document = signed(control_plane, method, path, b"")
    assert 400 <= status < 500 or (status == 200 and "Marker" in path)
    assert kind in (
        "ValidationException", "InvalidParameterValueException", "ResourceNotFoundException", "",
    )  # fmt: skip
    assert document


def test_ten_thousand_entries_are_a_package_like_any_other(client: Any) -> None:
    many = [(f"d{n % 100}/f{n}.py", b"x = 1") for n in range(10_000)]
    source = b"import os\ndef handler(e, c): return sum(len(f) for _, _, f in os.walk('.'))"
    made = create(client, archive(*many, ("app.py", source)), Timeout=20)
    name = made["FunctionName"]
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    answer = client.invoke(FunctionName=name)
    assert json.load(answer["Payload"]) == 10_001
    client.delete_function(FunctionName=name)
