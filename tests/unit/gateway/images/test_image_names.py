"""Names of images, credentials of registries, and what a registry's documents mean."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from klambda_gateway.images import documents
from klambda_gateway.images.credentials import basic_by_registry
from klambda_gateway.images.reference import parse
from klambda_gateway.images.trouble import ImageTrouble

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "registry", "host", "repository", "version"),
    [
        ("alpine", "docker.io", "registry-1.docker.io", "library/alpine", "latest"),
        ("team/app:1", "docker.io", "registry-1.docker.io", "team/app", "1"),
        ("docker.io/alpine:3", "docker.io", "registry-1.docker.io", "library/alpine", "3"),
        ("localhost/app", "localhost", "localhost", "app", "latest"),
        ("reg:5000/a/b:v1.2_x", "reg:5000", "reg:5000", "a/b", "v1.2_x"),
        ("127.0.0.1:5000/a@" + DIGEST, "127.0.0.1:5000", "127.0.0.1:5000", "a", DIGEST),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1@" + DIGEST,
         "123456789012.dkr.ecr.us-east-1.amazonaws.com",
         "123456789012.dkr.ecr.us-east-1.amazonaws.com", "x", DIGEST),
    ],
)  # fmt: skip
def test_names(text: str, registry: str, host: str, repository: str, version: str) -> None:
    found = parse(text)
    assert (found.registry, found.host) == (registry, host)
    assert (found.repository, found.version) == (repository, version)


@pytest.mark.parametrize(
    "text", ["", "UPPER/case", "a//b", "a:", "a@sha256:1", "reg.example.com/", "a b", "a/../b"]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ImageTrouble) as raised:
        parse(text)
    assert raised.value.reason == "InvalidImage"
    assert not raised.value.retry


def test_a_pinned_name_keeps_the_users_spelling() -> None:
    assert parse("team/app:1").pinned(DIGEST) == f"team/app@{DIGEST}"
    assert parse(f"reg:5000/a:1@{DIGEST}").pinned(DIGEST) == f"reg:5000/a@{DIGEST}"


def secret(auths: Any) -> dict[str, Any]:
    text = json.dumps({"auths": auths}).encode()
    return {"data": {".dockerconfigjson": base64.b64encode(text).decode()}}


def test_credentials_by_registry() -> None:
    found = basic_by_registry(
        [
            secret({"https://index.docker.io/v1/": {"auth": "aHVi"}, "r:5000": {"auth": "Mg=="}}),
            secret({"r:5000": {"auth": "bGF0ZXI="}, "p": {"username": "u", "password": "s"}}),
            secret({"odd": 1, "empty": {"auth": ""}}),
            {"data": {".dockerconfigjson": "!"}},
            {"data": {".dockerconfigjson": base64.b64encode(b"[]").decode()}},
            {},
        ]
    )
    assert found == {
        "docker.io": "aHVi",
        "r:5000": "Mg==",
        "p": base64.b64encode(b"u:s").decode(),
    }


INDEX = {
    "manifests": [
        {"digest": "sha256:1", "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": "sha256:2", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:3", "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
}


def test_the_platform_is_the_functions_architecture() -> None:
    assert documents.platform_of(INDEX, "x86_64", "n") == "sha256:2"
    assert documents.platform_of(INDEX, "arm64", "n") == "sha256:1"
    assert documents.platform_of({"config": {}}, "arm64", "n") is None
    with pytest.raises(ImageTrouble, match="linux/amd64, only linux/arm64"):
        documents.platform_of({"manifests": INDEX["manifests"][:1]}, "x86_64", "n")


def test_a_manifest_names_its_configuration() -> None:
    manifest: dict[str, Any] = {"config": {"digest": DIGEST}, "layers": [{}]}
    assert documents.config_of(manifest, "n") == DIGEST
    odd: list[dict[str, Any]] = [
        {"layers": [{}]},
        {"config": {"digest": DIGEST}, "layers": []},
        {"config": "x"},
    ]
    for each in odd:
        with pytest.raises(ImageTrouble, match="no container image"):
            documents.config_of(each, "n")


def test_an_image_says_how_it_starts() -> None:
    reference = parse("r.example.com/app:1")
    config = {
        "architecture": "amd64",
        "config": {
            "Entrypoint": ["/e"], "Cmd": ["c"], "WorkingDir": "/w",
            "Labels": {"io.klambda.init": "1"},
        },
    }  # fmt: skip
    image = documents.image_of(reference, "r.example.com/app:1", DIGEST, config, "x86_64")
    assert image.to_json() == {
        "uri": "r.example.com/app:1",
        "resolved": f"r.example.com/app@{DIGEST}",
        "entryPoint": ["/e"],
        "command": ["c"],
        "workingDirectory": "/w",
        "init": True,
    }
    bare = documents.image_of(reference, "u", DIGEST, {"config": {"Cmd": None}}, "x86_64")
    assert (bare.entry_point, bare.command, bare.init) == (None, None, False)
    with pytest.raises(ImageTrouble, match="an image for amd64"):
        documents.image_of(reference, "u", DIGEST, config, "arm64")


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"1"])
def test_an_answer_that_is_no_document(text: bytes) -> None:
    with pytest.raises(ImageTrouble, match="no JSON object"):
        documents.document(text, "It")
