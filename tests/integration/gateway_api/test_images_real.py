"""Container images: a real registry with a password, a real API server, boto3."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from klambda_core.kinds import FUNCTION, SECRET, VERSION
from tests.support.registry import MANIFEST, Registry

from .conftest import HOME, Rig

ROLE = "arn:aws:iam::123456789012:role/r"
START = {"Entrypoint": ["/entry"], "Cmd": ["app.handler"], "WorkingDir": "/work"}


@pytest.fixture(scope="module", autouse=True)
def credentials(rig: Rig, registry: Registry) -> Iterator[None]:
    """The Secret of the chart's functionImages.pullSecrets."""
    text = base64.b64encode(json.dumps(registry.docker_config()).encode()).decode()
    secret = {
        "metadata": {"name": "registry"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": text},
    }
    status, answer = rig.server.request("POST", SECRET.path(HOME), secret)
    assert status in {201, 409}, answer
    yield
    rig.server.request("DELETE", SECRET.path(HOME, "registry"))


@pytest.fixture
def name() -> str:
    return f"image-{secrets.token_hex(4)}"


def create(rig: Rig, name: str, uri: str, **members: Any) -> dict[str, Any]:
    answer: dict[str, Any] = rig.client().create_function(
        FunctionName=name, PackageType="Image", Code={"ImageUri": uri}, Role=ROLE, **members
    )
    return answer


def stored(rig: Rig, name: str) -> dict[str, Any]:
    return next(o for o in rig.objects(FUNCTION) if o["metadata"]["name"] == name)


def settled(rig: Rig, name: str, what: str) -> dict[str, Any]:
    """The object, once condition CodeResolved has that reason."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = stored(rig, name)
        conditions = found.get("status", {}).get("conditions", [])
        if any(c["type"] == "CodeResolved" and c["reason"] == what for c in conditions):
            return found
        time.sleep(0.05)
    raise AssertionError(f"never {what}: {found.get('status')}")


def test_a_function_from_an_image(rig: Rig, registry: Registry, name: str) -> None:
    """aws-contract a.4 and h: hex CodeSha256, no size, no runtime; Publish freezes the digest."""
    digest = registry.push(f"team/{name}:1", START)
    uri = f"{registry.host}/team/{name}:1"
    config = {"Command": ["other.handler"]}
    made = create(rig, name, uri, ImageConfig=config, Publish=True)
    assert (made["Version"], made["State"], made["PackageType"]) == ("1", "Pending", "Image")
    assert made["CodeSha256"] == digest.removeprefix("sha256:")
    assert made["CodeSize"] == 0
    assert made["ImageConfigResponse"] == {"ImageConfig": config}
    assert not made.keys() & {"Runtime", "Handler", "Layers", "RuntimeVersionConfig"}
    status = settled(rig, name, "ImageFound")["status"]["image"]
    resolved = f"{registry.host}/team/{name}@{digest}"
    assert (status["resolved"], status["entryPoint"]) == (resolved, ["/entry"])
    rig.settle()
    got = rig.client().get_function(FunctionName=name)
    assert got["Code"] == {"RepositoryType": "ECR", "ImageUri": uri, "ResolvedImageUri": resolved}
    assert got["Configuration"]["State"] == "Active"
    (version,) = [v for v in rig.objects(VERSION) if v["spec"]["functionRef"] == name]
    assert version["spec"]["snapshot"]["image"]["resolved"] == resolved


def test_an_update_looks_the_tag_up_again(rig: Rig, registry: Registry, name: str) -> None:
    uri = f"{registry.host}/{name}:latest"
    first = registry.push(f"{name}:latest", START)
    created = create(rig, name, uri)
    settled(rig, name, "ImageFound")
    rig.settle()
    second = registry.push(f"{name}:latest", START | {"Cmd": ["new.handler"]})
    client = rig.client()
    dry = client.update_function_code(FunctionName=name, ImageUri=uri, DryRun=True)
    assert dry["CodeSha256"] == second.removeprefix("sha256:")
    before = client.get_function_configuration(FunctionName=name)
    assert before["CodeSha256"] == created["CodeSha256"] == first.removeprefix("sha256:")
    updated = client.update_function_code(FunctionName=name, ImageUri=uri, Publish=True)
    assert updated["CodeSha256"] == second.removeprefix("sha256:")
    rig.settle()
    after = client.get_function(FunctionName=name)
    assert after["Code"]["ResolvedImageUri"].endswith(second)


def test_an_index_gives_the_image_of_the_architecture(
    rig: Rig, registry: Registry, name: str
) -> None:
    amd64 = registry.push(f"{name}:a", START)
    arm64 = registry.push(f"{name}:b", START, architecture="arm64")
    registry.push_index(f"{name}:all", {"amd64": amd64, "arm64": arm64})
    made = create(rig, name, f"{registry.host}/{name}:all", Architectures=["arm64"])
    assert made["CodeSha256"] == arm64.removeprefix("sha256:")


REFUSALS = [
    ("missing:1", 400, "InvalidParameterValueException", "does not exist. Provide a valid source"),
    ("Not A Name", 400, "InvalidParameterValueException", "is not valid. Provide a valid source"),
    ("artifact:1", 400, "InvalidParameterValueException", "artifact:1 is not supported."),
    ("foreign:1", 400, "InvalidParameterValueException", "an image for arm64"),
]


@pytest.mark.parametrize(("image", "status", "code", "text"), REFUSALS)
def test_images_that_cannot_be_used(
    rig: Rig, registry: Registry, name: str, image: str, status: int, code: str, text: str
) -> None:
    registry.push("foreign:1", START, architecture="arm64")
    empty = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}
    config = registry._blob("artifact", "application/vnd.oci.empty.v1+json", b"{}")
    text_of = json.dumps(empty | {"config": config}).encode()
    registry.put_manifest("artifact", "1", MANIFEST, text_of)
    client = rig.client()
    with pytest.raises(client.exceptions.ClientError) as raised:
        create(rig, name, f"{registry.host}/{image}")
    error = raised.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status
    assert error["Error"]["Code"] == code
    assert text in error["Error"]["Message"]
    assert not [o for o in rig.objects(FUNCTION) if o["metadata"]["name"] == name]


def test_a_registry_without_credentials_for_us(rig: Rig, registry: Registry, name: str) -> None:
    """The Secret names another host: the same registry by another name refuses us."""
    registry.push("private:1", START)
    other = registry.host.replace("127.0.0.1", "localhost")
    client = rig.client()
    with pytest.raises(client.exceptions.ClientError) as raised:
        create(rig, name, f"{other}/private:1")
    error = raised.value.response["Error"]
    assert error["Code"] == "AccessDeniedException"
    assert error["Message"].startswith("Lambda does not have permission to access the ECR image.")


def test_members_that_do_not_go_together(rig: Rig, registry: Registry, name: str) -> None:
    registry.push("plain:1", START)
    uri, client = f"{registry.host}/plain:1", rig.client()
    for members, text in (
        ({"Runtime": "python3.13"}, "Please don't provide Handler or Runtime or Layer when"),
        ({"Handler": "a.b"}, "Please don't provide Handler or Runtime or Layer when"),
    ):
        with pytest.raises(client.exceptions.InvalidParameterValueException, match=text):
            create(rig, name, uri, **members)
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="provide ImageUri"):
        client.create_function(
            FunctionName=name, PackageType="Image", Code={"ZipFile": b"x"}, Role=ROLE
        )
    create(rig, name, uri)
    settled(rig, name, "ImageFound")
    rig.settle()
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="provide ImageUri"):
        client.update_function_code(FunctionName=name, ZipFile=b"x")
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="Please don't"):
        client.update_function_configuration(FunctionName=name, Handler="a.b")
    config = {"EntryPoint": ["/e"], "Command": ["c"], "WorkingDirectory": "/w"}
    answer = client.update_function_configuration(FunctionName=name, ImageConfig=config)
    assert answer["ImageConfigResponse"] == {"ImageConfig": config}


def test_what_kubectl_writes_is_looked_up_once_it_is_there(
    rig: Rig, registry: Registry, name: str
) -> None:
    spec = {"packageType": "Image", "code": {"imageUri": f"{registry.host}/{name}:1"}}
    body = {
        "apiVersion": FUNCTION.api_version,
        "kind": FUNCTION.kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    status, answer = rig.server.request("POST", FUNCTION.path("default"), body)
    assert status == 201, answer
    settled(rig, name, "ImageNotFound")
    digest = registry.push(f"{name}:1", START)
    found = settled(rig, name, "ImageFound")
    assert found["status"]["image"]["resolved"].endswith(digest)
