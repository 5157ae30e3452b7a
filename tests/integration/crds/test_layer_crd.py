"""The CRD LayerVersion on a real API server: what is taken, what is refused, what never changes."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from klambda_core.crd import LayerVersion
from klambda_core.kinds import LAYER_VERSION
from tests.integration.crds.test_crds import create, patch, refused
from tests.support.apiserver import ApiServer

SHA = "a" * 64
SPEC: dict[str, Any] = {
    "layerName": "My_Deps",
    "version": 3,
    "content": {"files": {"python/a.py": "x = 1\n"}},
}
MIRROR = "arn:aws:lambda:us-east-1:017000801446:layer:My_Deps:3"


@pytest.fixture
def namespace(apiserver: ApiServer) -> str:
    return apiserver.create_namespace(f"lyr-{uuid.uuid4().hex[:8]}")


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"content": {"blob": {"sha256": SHA, "size": 1, "unzipped": 2}}},
        {"content": {"s3": {"bucket": "abc", "key": "k"}}},
        {"content": {"url": "https://example.org/l.zip", "sha256": SHA}},
        {"arn": MIRROR},
        {"compatibleRuntimes": ["python3.13"], "compatibleArchitectures": ["arm64"]},
        {"policy": [{"sid": "a", "principal": "*"}, {"sid": "b", "principal": "123456789012"}]},
        {"licenseInfo": "MIT", "description": "d", "deleted": True},
    ],
)
def test_what_is_accepted(apiserver: ApiServer, namespace: str, spec: dict[str, Any]) -> None:
    status, body = create(apiserver, LAYER_VERSION, namespace, "deps-3", SPEC | spec)
    assert status == 201, body
    read = LayerVersion.read(body)
    assert (
        read.to_json()["spec"].items() >= {k: v for k, v in spec.items() if k != "policy"}.items()
    )
    assert read.spec.description == spec.get("description", "")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"layerName": None}, "spec.layerName"),
        ({"layerName": "a b"}, "spec.layerName"),
        ({"version": 0}, "spec.version"),
        ({"content": None}, "spec.content"),
        (
            {"content": {"files": {}, "zip": "x"}},
            "content: give at most one of files, zip, url and s3",
        ),
        (
            {"content": {"url": "https://example.org/l.zip"}},
            "content.url and content.sha256 belong together",
        ),
        ({"arn": MIRROR + "1"}, "arn must end with :layer:<layerName>:<version>"),
        ({"compatibleArchitectures": ["vax"]}, "spec.compatibleArchitectures"),
        ({"policy": [{"sid": "a", "principal": "s3.amazonaws.com"}]}, "spec.policy[0].principal"),
        (
            {"policy": [{"sid": "a", "principal": "*", "action": "lambda:Invoke"}]},
            "spec.policy[0].action",
        ),
    ],
)
def test_what_is_refused(
    apiserver: ApiServer, namespace: str, spec: dict[str, Any], message: str
) -> None:
    refused(create(apiserver, LAYER_VERSION, namespace, "deps-3", SPEC | spec), message)


def test_only_policy_and_deletion_change(apiserver: ApiServer, namespace: str) -> None:
    create(apiserver, LAYER_VERSION, namespace, "deps-3", SPEC | {"licenseInfo": "MIT"})

    def change(**spec: Any) -> tuple[int, dict[str, Any]]:
        return patch(apiserver, LAYER_VERSION, namespace, "deps-3", spec)

    for spec, message in (
        ({"layerName": "other"}, "layerName and version cannot change"),
        ({"version": 4}, "layerName and version cannot change"),
        ({"content": {"files": {"python/a.py": "x = 2\n"}}}, "content cannot change"),
        ({"description": "d"}, "description cannot change"),
        ({"licenseInfo": None}, "licenseInfo cannot change"),
        ({"compatibleRuntimes": ["python3.13"]}, "compatibleRuntimes cannot change"),
        ({"arn": MIRROR}, "arn cannot change"),
    ):
        refused(change(**spec), message)
    assert change(policy=[{"sid": "a", "principal": "*"}])[0] == 200
    assert change(policy=None, deleted=True)[0] == 200
    for value in (None, False):
        refused(change(deleted=value), "deleted cannot be taken back")


def test_selection_by_name(apiserver: ApiServer, namespace: str) -> None:
    create(apiserver, LAYER_VERSION, namespace, "deps-3", SPEC)
    for name, count in (("My_Deps", 1), ("other", 0)):
        path = f"{LAYER_VERSION.path(namespace)}?fieldSelector=spec.layerName%3D{name}"
        assert len(apiserver.request("GET", path)[1]["items"]) == count
