"""What is to be said about a function's code, and what is no deployment package."""

from __future__ import annotations

import base64
import io
import zipfile
from typing import Any

import pytest

from klambda_core import limits
from klambda_core.code import source_digest
from klambda_core.crd import Function
from klambda_core.errors import LambdaError
from klambda_gateway.code import zips
from klambda_gateway.code.sources import (
    Fetch,
    Lookup,
    Outcome,
    Package,
    needed,
    said,
    settled,
    stored,
)
from tests.unit.gateway_api.fakes import make_zip

SHA = "a" * 64


def function(code: dict[str, Any] | None, status: dict[str, Any] | None = None) -> Function:
    spec = {"runtime": "python3.13", "handler": "a.b"}
    return Function.read(
        {
            "metadata": {"name": "f", "namespace": "n", "uid": "u", "generation": 2},
            "spec": spec if code is None else {**spec, "code": code},
            "status": status or {},
        }
    )


def condition(status: str, reason: str, message: str = "m", generation: int = 2) -> dict[str, Any]:
    return {
        "type": "CodeResolved", "status": status, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": "2026-11-21T12:00:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, "NoCode"),
        ({}, "NoCode"),
        ({"zip": "?"}, "InvalidCode"),
        ({"zip": base64.b64encode(b"x").decode()}, "InvalidCode"),
        ({"files": {}}, "InvalidCode"),
    ],
)
def test_what_is_refused(code: dict[str, Any] | None, reason: str) -> None:
    outcome = needed(function(code))
    assert isinstance(outcome, Outcome)
    assert (outcome.fact.status, outcome.fact.reason) == ("False", reason)


def test_what_is_to_be_done() -> None:
    packed = needed(function({"files": {"a.py": "x"}}))
    assert isinstance(packed, Package)
    assert packed.source == source_digest(function({"files": {"a.py": "x"}}).spec.code)
    text = base64.encodebytes(make_zip()).decode()
    unpacked = needed(function({"zip": text}))
    assert isinstance(unpacked, Package)
    assert unpacked.data == make_zip()
    assert needed(function({"blob": {"sha256": SHA, "size": 1}})) == Lookup(sha256=SHA)
    for code in (
        {"url": "https://x/y.zip", "sha256": SHA},
        {"s3": {"bucket": "bbb", "key": "k", "versionId": "v"}},
    ):
        found = function(code).spec.code
        assert found is not None
        assert needed(function(code)) == Fetch(sources=found, source=source_digest(found) or "")


FILES = {"files": {"a.py": "x"}}
BLOB = {"blob": {"sha256": SHA, "size": 1}}
DIGEST = source_digest(function(FILES).spec.code)
CODE = {"sha256": SHA, "size": 1, "source": DIGEST}
TRUE = condition("True", "Stored", stored(function({}), SHA).fact.message)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (FILES, {}, False),
        (FILES, {"conditions": [TRUE]}, False),
        (FILES, {"conditions": [TRUE], "code": CODE}, True),
        (FILES, {"conditions": [TRUE], "code": {**CODE, "source": "other"}}, False),
        (FILES, {"conditions": [condition("False", "InvalidCode")]}, True),
        (FILES, {"conditions": [condition("False", "InvalidCode", generation=1)]}, False),
        (BLOB, {"conditions": [TRUE]}, True),
        (BLOB, {"conditions": [TRUE], "code": CODE}, False),
        (BLOB, {"conditions": [condition("True", "Stored", "another")]}, False),
        (BLOB, {"conditions": [condition("False", "BlobMissing")]}, False),
        (FILES, {"conditions": [condition("False", "SourceUnavailable")]}, False),
        (FILES, {"conditions": [condition("False", "SourceForbidden")]}, False),
        (None, {"conditions": [condition("False", "NoCode")]}, True),
        (None, {"conditions": [TRUE]}, False),
    ],
)
def test_settled(code: dict[str, Any] | None, status: dict[str, Any], expected: bool) -> None:
    assert settled(function(code, status)) is expected


def test_what_is_settled_is_said_again() -> None:
    """The conditions of code and layers are applied together."""
    item = function(BLOB, {"conditions": [TRUE]})
    assert said(item) == stored(item, SHA)
    with pytest.raises(ValueError, match="says nothing"):
        said(function(BLOB))


def refused(data: bytes) -> str:
    with pytest.raises(LambdaError) as caught:
        zips.check_upload(io.BytesIO(data))
    return caught.value.message or ""


def test_what_is_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_zip()
    assert refused(b"") == "Uploaded file must be a non-empty zip"
    for data in (b"PK", whole[:-10], whole[:40] + b"\xff" * 20 + whole[60:]):
        assert refused(data).startswith("Could not unzip uploaded file.")
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    assert refused(empty.getvalue()) == "Uploaded file must be a non-empty zip"
    encrypted = bytearray(whole)
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert refused(bytes(encrypted)).startswith("Could not unzip")
    monkeypatch.setattr(limits, "ZIP_DIRECT_MAX", 10)
    assert refused(whole) == "Zipped size must be smaller than 10 bytes"


def zip_with(name: str, content: str = "", *, link: bool = False) -> bytes:
    """A zip with one entry of any name; a symbolic link when asked for."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("x" * len(name))
        entry.create_system = 3
        entry.external_attr = (0o120777 if link else 0o100644) << 16
        archive.writestr(entry, content)
    return buffer.getvalue().replace(b"x" * len(name), name.encode())


@pytest.mark.parametrize(
    "data",
    [
        zip_with("../evil.py"),
        zip_with("a/../../evil.py"),
        zip_with("/etc/passwd"),
        zip_with("a\0b"),
        zip_with("n" * 256),
        zip_with("d" * 256 + "/f"),
        zip_with("out", "../up", link=True),
        zip_with("out", "/etc/passwd", link=True),
        zip_with("a/out", "../../up", link=True),
        zip_with("out", "a/../../up", link=True),
        zip_with("out", "", link=True),
        zip_with("out", "t" * 5000, link=True),
    ],
)
def test_names_and_links_that_lead_out(data: bytes) -> None:
    assert refused(data).startswith("Could not unzip uploaded file.")


@pytest.mark.parametrize(
    "data",
    [
        zip_with("a/../b"),
        zip_with("./a"),
        zip_with("a//b"),
        zip_with("n" * 255),
        zip_with("..a"),
        zip_with("a/in", "../b/c", link=True),
        zip_with("in", "b", link=True),
    ],
)
def test_names_and_links_that_stay(data: bytes) -> None:
    zips.check_upload(io.BytesIO(data))


def test_sizes_are_counted_whatever_the_directory_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UNZIPPED_MAX", 1000)
    assert refused(make_zip("x" * 1000)) == "Unzipped size must be smaller than 1000 bytes"
    zips.check_upload(io.BytesIO(make_zip("x" * 999)))
    lying = bytearray(make_zip("x" * 5000))
    at = lying.index(b"PK\x01\x02") + 24
    lying[at : at + 4] = (10).to_bytes(4, "little")
    assert refused(bytes(lying)).startswith("Could not unzip")
