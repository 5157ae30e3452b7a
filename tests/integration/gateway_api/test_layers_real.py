"""Layers on real Kubernetes and a real store, through both doors."""

from __future__ import annotations

import io
import urllib.request
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions
import pytest

from klambda_core.arn import account_id
from klambda_core.kinds import FUNCTION, LAYER_VERSION
from tests.integration.gateway_api.conftest import REGION, Rig
from tests.integration.gateway_api.test_gateway_api_real import create, eventually
from tests.unit.gateway_api.fakes import make_zip

MERGE = "application/merge-patch+json"


def arn(layer: str, version: int = 1, namespace: str = "default") -> str:
    return f"arn:aws:lambda:{REGION}:{account_id(namespace)}:layer:{layer}:{version}"


@pytest.fixture
def layer() -> str:
    return f"Layer_{uuid.uuid4().hex[:8]}"


def kubectl(
    rig: Rig, kind: Any, name: str, spec: dict[str, Any], namespace: str = "default"
) -> None:
    """Create an object as kubectl would."""
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    status, answer = rig.server.request("POST", kind.path(namespace), body)
    assert status == 201, answer


def function_of(rig: Rig, *arns: str) -> str:
    """A function that kubectl makes."""
    name = f"fn-{uuid.uuid4().hex[:8]}"
    spec = {
        "runtime": "python3.13",
        "handler": "a.b",
        "code": {"files": {"a.py": "x = 1\n"}},
        "layers": list(arns),
    }
    kubectl(rig, FUNCTION, name, spec)
    return name


def told(rig: Rig, kind: Any, name: str, condition: str) -> tuple[str, str, str] | None:
    """Status, reason and message of a condition."""
    obj = rig.server.request("GET", kind.path("default", name))[1]
    for each in obj.get("status", {}).get("conditions", []):
        if each["type"] == condition:
            return each["status"], each["reason"], each["message"]
    return None


def layers_told(rig: Rig, name: str) -> tuple[str, str, str] | None:
    return told(rig, FUNCTION, name, "LayersResolved")


def test_the_life_of_a_layer(rig: Rig, client: Any, name: str, layer: str) -> None:
    data = make_zip("x = 1\n")
    made = client.publish_layer_version(LayerName=layer, Content={"ZipFile": data})
    with urllib.request.urlopen(made["Content"]["Location"]) as answer:
        assert answer.read() == data
    assert made["LayerVersionArn"] == arn(layer)
    stored_as = f"{layer.lower().replace('_', '-')}"
    objects = [o for o in rig.objects(LAYER_VERSION) if o["spec"]["layerName"] == layer]
    assert objects[0]["metadata"]["name"].startswith(stored_as)
    path = LAYER_VERSION.path("default", objects[0]["metadata"]["name"])
    ready = eventually(lambda: rig.server.request("GET", path)[1].get("status"))
    assert ready["arn"] == arn(layer)
    assert ready["conditions"][0]["status"] == "True"
    assert create(client, name, Layers=[arn(layer)])["Layers"][0]["CodeSize"] == len(data)
    rig.settle()
    client.delete_layer_version(LayerName=layer, VersionNumber=1)
    assert client.list_layer_versions(LayerName=layer)["LayerVersions"] == []
    client.update_function_configuration(FunctionName=name, Timeout=9)
    rig.settle()
    version = client.publish_version(FunctionName=name)
    assert version["Layers"] == [{"Arn": arn(layer), "CodeSize": len(data)}]
    with pytest.raises(botocore.exceptions.ClientError, match=r"Layer version .* does not exist."):
        create(client, f"{name}2", Layers=[arn(layer)])
    again = client.publish_layer_version(LayerName=layer, Content={"ZipFile": data})
    assert again["Version"] == 2


def test_many_publishers_get_many_numbers(client: Any, layer: str) -> None:
    def publish(number: int) -> int:
        content = {"ZipFile": make_zip(f"x = {number}\n")}
        version: int = client.publish_layer_version(LayerName=layer, Content=content)["Version"]
        return version

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(publish, range(16))) == list(range(1, 17))


def test_a_function_of_kubectl_waits_for_its_layer(rig: Rig, layer: str) -> None:
    """In whatever order Git applies them."""
    slug = layer.lower().replace("_", "-")
    name = function_of(rig, arn(layer))
    found = eventually(lambda: layers_told(rig, name))
    sentence = f"Layer version {arn(layer)} does not exist. Publish it, correct spec.layers, or"
    assert found[:2] == ("False", "LayerMissing")
    assert found[2].startswith(sentence)
    content = {"files": {"python/shared.py": "x = 1\n"}}
    kubectl(rig, LAYER_VERSION, slug, {"layerName": layer, "version": 1, "content": content})
    eventually(lambda: (layers_told(rig, name) or ("",))[0] == "True")
    path = FUNCTION.path("default", name)
    resolved = rig.server.request("GET", path)[1]["status"]["layers"]
    assert [each["arn"] for each in resolved] == [arn(layer)]
    assert resolved[0]["unzipped"] == len("x = 1\n")
    # Gone and made anew with other content: what was resolved is never resolved again.
    rig.server.request("DELETE", LAYER_VERSION.path("default", slug))
    content = {"files": {"python/shared.py": "x = 22\n"}}
    kubectl(rig, LAYER_VERSION, slug, {"layerName": layer, "version": 1, "content": content})
    patch = {"spec": {"timeout": 9}}
    assert rig.server.request("PATCH", path, patch, MERGE)[0] == 200
    eventually(lambda: told(rig, LAYER_VERSION, slug, "Ready"))
    assert rig.server.request("GET", path)[1]["status"]["layers"] == resolved


@pytest.mark.parametrize(
    ("arns", "reason"),
    [
        (["arn:aws:lambda:eu-west-1:123456789012:layer:l:1"], "InvalidLayers"),
        ([arn("l", 1), arn("l", 2)], "InvalidLayers"),
        ([arn("l", 1, "kube-system")], "LayerDenied"),
    ],
)
def test_lists_that_are_wrong(rig: Rig, client: Any, arns: list[str], reason: str) -> None:
    name = function_of(rig, *arns)
    found = eventually(lambda: layers_told(rig, name))
    assert found[:2] == ("False", reason)
    assert len(found[2]) > 30
    client.update_function_configuration(FunctionName=name, Layers=[])
    eventually(lambda: (layers_told(rig, name) or ("",))[:2] == ("True", "NoLayers"))


def test_layers_that_are_too_large_together(rig: Rig, client: Any, layer: str) -> None:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("zeros", bytes(140_000_000))
    arns = [
        client.publish_layer_version(LayerName=name, Content={"ZipFile": body.getvalue()})[
            "LayerVersionArn"
        ]
        for name in (layer, f"{layer}b")
    ]
    name = function_of(rig, *arns)
    found = eventually(lambda: layers_told(rig, name))
    assert found[:2] == ("False", "LayersTooLarge")
    assert found[2] == "Layers consume more than the available size of 262144000 bytes"


def test_the_oldest_of_two_objects_with_one_arn_has_it(rig: Rig, layer: str) -> None:
    slug = layer.lower().replace("_", "-")
    spec = {"layerName": layer, "version": 1, "content": {"files": {"a": "1"}}}
    kubectl(rig, LAYER_VERSION, f"{slug}-a", spec)
    kubectl(rig, LAYER_VERSION, f"{slug}-b", spec | {"content": {"files": {"a": "2"}}})
    found = eventually(lambda: told(rig, LAYER_VERSION, f"{slug}-b", "Ready"))
    assert found[:2] == ("False", "NameTaken")
    assert eventually(lambda: told(rig, LAYER_VERSION, f"{slug}-a", "Ready"))[0] == "True"


@pytest.mark.parametrize(
    ("content", "reason"), [({}, "NoContent"), ({"zip": "no base64!"}, "InvalidCode")]
)
def test_content_that_is_none(rig: Rig, layer: str, content: dict[str, Any], reason: str) -> None:
    slug = layer.lower().replace("_", "-")
    kubectl(rig, LAYER_VERSION, slug, {"layerName": layer, "version": 1, "content": content})
    found = eventually(lambda: told(rig, LAYER_VERSION, slug, "Ready"))
    assert found[:2] == ("False", reason)
    name = function_of(rig, arn(layer))
    waiting = eventually(lambda: layers_told(rig, name))
    assert waiting[:2] == ("False", "LayersPending")
    assert waiting[2].startswith(f"Layer version {arn(layer)} is not ready: ")


def test_a_layer_of_another_account(rig: Rig, client: Any, layer: str, name: str) -> None:
    slug = layer.lower().replace("_", "-")
    other = rig.server.create_namespace(f"ns-{uuid.uuid4().hex[:8]}")
    spec = {"layerName": layer, "version": 1, "content": {"files": {"python/o.py": "o = 1\n"}}}
    kubectl(rig, LAYER_VERSION, slug, spec, other)
    theirs = arn(layer, 1, other)
    path = LAYER_VERSION.path(other, slug)
    eventually(lambda: rig.server.request("GET", path)[1].get("status", {}).get("content"))
    with pytest.raises(botocore.exceptions.ClientError, match="no resource-based policy allows"):
        create(client, name, Layers=[theirs])
    grant = {"spec": {"policy": [{"sid": "s", "principal": account_id("default")}]}}
    assert rig.server.request("PATCH", path, grant, MERGE)[0] == 200
    assert create(client, name, Layers=[theirs])["Layers"][0]["Arn"] == theirs
    location = client.get_layer_version_by_arn(Arn=theirs)["Content"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert zipfile.ZipFile(io.BytesIO(answer.read())).namelist() == ["python/o.py"]
