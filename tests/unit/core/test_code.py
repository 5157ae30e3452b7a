"""Which source wins, when it counts as resolved, and the zip of `files`."""

import hashlib
import io
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core.code import CodeRef, Unresolved, pack_files, resolved_code, source_digest
from klambda_core.crd import Function, Image
from tests.unit.core.objects import (
    BLOB,
    SHA,
    function,
    function_body,
    image_function,
    resolved,
)

FILES = {"files": {"lambda_function.py": "x = 1\n"}}
URL = {"url": "https://example.org/f.zip", "sha256": "b" * 64}


def test_a_blob_needs_no_resolution() -> None:
    assert resolved_code(function()) == CodeRef(sha256=SHA, size=12)


@pytest.mark.parametrize("code", [None, {}])
def test_no_code_is_legal_and_says_what_to_do(code: dict[str, Any] | None) -> None:
    found = resolved_code(function(code=code))
    assert isinstance(found, Unresolved)
    assert (found.reason, found.final) == ("NoCode", False)
    assert "UpdateFunctionCode" in found.message


@pytest.mark.parametrize(
    "code", [FILES, {"zip": "UEsFBg=="}, URL, {"s3": {"bucket": "abc", "key": "k"}}]
)
def test_an_explicit_source_waits_for_the_gateway(code: dict[str, Any]) -> None:
    found = resolved_code(function(code=code))
    assert isinstance(found, Unresolved)
    assert found.reason == "CodePending"


@pytest.mark.parametrize("code", [FILES, URL, {"s3": {"bucket": "abc", "key": "k"}}])
def test_a_source_that_was_resolved_gives_its_digest(code: dict[str, Any]) -> None:
    assert resolved_code(resolved(code)) == CodeRef(sha256=SHA, size=12)


def test_an_explicit_source_wins_over_the_blob() -> None:
    both = FILES | {"blob": {"sha256": "c" * 64, "size": 1}}
    assert resolved_code(resolved(both)) == CodeRef(sha256=SHA, size=12)


def test_a_resolution_of_another_source_does_not_count() -> None:
    status = {"code": {"sha256": SHA, "size": 12, "source": "0" * 64}}
    assert isinstance(resolved_code(function(code=FILES, status=status)), Unresolved)


def test_the_gateways_refusal_is_final_for_its_generation() -> None:
    refusal = {
        "type": "CodeResolved",
        "status": "False",
        "reason": "InvalidZip",
        "message": "not a zip",
        "observedGeneration": 2,
        "lastTransitionTime": "2026-11-21T12:00:00Z",
    }
    status = {"conditions": [refusal]}
    now = resolved_code(function(code={"zip": "eA=="}, generation=2, status=status))
    assert now == Unresolved(reason="InvalidZip", message="not a zip", final=True)
    later = resolved_code(function(code={"zip": "eA=="}, generation=3, status=status))
    assert isinstance(later, Unresolved)
    assert not later.final


@pytest.mark.parametrize("reason", ["NoCode", "CodePending"])
def test_a_gateway_that_still_works_on_it_has_not_refused(reason: str) -> None:
    pending = {
        "type": "CodeResolved",
        "status": "False",
        "reason": reason,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-21T12:00:00Z",
    }
    found = resolved_code(function(code=FILES, status={"conditions": [pending]}))
    assert isinstance(found, Unresolved)
    assert (found.reason, found.final) == ("CodePending", False)


def test_an_image_waits_until_it_is_looked_up() -> None:
    found = resolved_code(image_function(status=False))
    assert isinstance(found, Unresolved)
    assert (found.reason, found.final) == ("CodePending", False)
    assert "image" in found.message


def test_an_image_that_was_looked_up_is_the_code() -> None:
    found = resolved_code(image_function())
    assert isinstance(found, Image)
    assert (found.digest, found.command) == (SHA, ["app.handler"])


def test_an_image_found_for_another_name_does_not_count() -> None:
    body = image_function().model_dump(by_alias=True, exclude_none=True)
    body["spec"]["code"]["imageUri"] = "registry.example.com/team/app:2"
    assert isinstance(resolved_code(Function.read(body)), Unresolved)


def test_a_function_of_images_without_one_says_so() -> None:
    found = resolved_code(image_function(status=False, code=BLOB))
    assert isinstance(found, Unresolved)
    assert (found.reason, "imageUri" in found.message) == ("NoCode", True)


class TestSourceDigest:
    def test_only_the_explicit_source_counts(self) -> None:
        one = function(code=FILES).spec.code
        other = function(code=FILES | BLOB).spec.code
        assert source_digest(one) == source_digest(other) is not None

    def test_what_a_tag_meant_counts(self) -> None:
        uri = {"imageUri": "registry.example.com/app:1"}
        pinned = uri | {"imageDigest": f"sha256:{SHA}"}
        one = image_function(status=False, code=uri).spec.code
        other = image_function(status=False, code=pinned).spec.code
        assert source_digest(one) != source_digest(other)

    def test_the_order_of_files_does_not_matter(self) -> None:
        one = function(code={"files": {"a": "1", "b": "2"}}).spec.code
        other = function(code={"files": {"b": "2", "a": "1"}}).spec.code
        assert source_digest(one) == source_digest(other)

    def test_a_url_counts_with_its_digest(self) -> None:
        other = URL | {"sha256": "c" * 64}
        assert source_digest(function(code=URL).spec.code) != source_digest(
            function(code=other).spec.code
        )

    def test_blob_or_nothing_has_none(self) -> None:
        assert source_digest(function().spec.code) is None
        assert source_digest(None) is None


class TestPackFiles:
    def test_the_bytes_never_change(self) -> None:
        packed = pack_files({"b.py": "2", "a.py": "1"})
        assert packed == pack_files({"a.py": "1", "b.py": "2"})
        digest = hashlib.sha256(packed).hexdigest()
        assert digest == "b6e66d7f47836002f0e285ec27846f5f7278b0d9c19e0cbd1b363b94a264d2b4"

    def test_scripts_and_bootstrap_are_executable(self) -> None:
        packed = pack_files({"run": "#!/bin/sh\n", "bootstrap": "", "a.py": ""})
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            modes = {i.filename: i.external_attr >> 16 & 0o777 for i in archive.infolist()}
        assert modes == {"run": 0o755, "bootstrap": 0o755, "a.py": 0o644}

    @given(
        st.dictionaries(
            st.text(st.characters(exclude_characters="\0\\", codec="utf-8"), min_size=1).filter(
                lambda name: not name.endswith("/")
            ),
            st.text(st.characters(codec="utf-8")),
            max_size=8,
        )
    )
    def test_python_reads_it_back(self, files: dict[str, str]) -> None:
        with zipfile.ZipFile(io.BytesIO(pack_files(files))) as archive:
            assert archive.testzip() is None
            assert {i.filename: archive.read(i).decode() for i in archive.infolist()} == files


def test_bodies_round_trip_through_the_model() -> None:
    body = function_body(code=FILES)
    assert Function.read(body).spec.to_json()["code"] == FILES
