"""Code and layers from buckets and addresses, through both doors."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import botocore.exceptions
import pytest

from klambda_core.kinds import FUNCTION, LAYER_VERSION
from tests.integration.gateway_api.conftest import Rig
from tests.integration.gateway_api.test_gateway_api_real import condition, create, eventually
from tests.integration.gateway_api.test_layers_real import kubectl, told
from tests.support.bucket import Bucket
from tests.unit.gateway_api.fakes import make_zip

FROM_S3 = {"S3Bucket": "packages", "S3Key": "dir/my code.zip"}


def refusal(call: Any, **members: Any) -> tuple[int, str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**members)
    response = caught.value.response
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def test_functions_and_layers_from_a_bucket(
    rig: Rig, client: Any, name: str, bucket: Bucket
) -> None:
    data, second = make_zip("x = 1\n"), make_zip("x = 2\n")
    bucket.objects["packages", "dir/my code.zip", None] = data
    bucket.objects["packages", "dir/my code.zip", "v/2+"] = second
    assert create(client, name, Code=FROM_S3)["CodeSize"] == len(data)
    stored = rig.server.request("GET", FUNCTION.path("default"))[1]["items"]
    code = next(o["spec"]["code"] for o in stored if o["spec"].get("functionName") == name)
    assert code["blob"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert list(code) == ["blob"]
    rig.settle()
    versioned = FROM_S3 | {"S3ObjectVersion": "v/2+"}
    tried = client.update_function_code(FunctionName=name, DryRun=True, **versioned)
    assert tried["CodeSize"] == len(second)
    changed = client.update_function_code(FunctionName=name, **versioned)
    assert changed["CodeSha256"] == tried["CodeSha256"]
    layer = client.publish_layer_version(LayerName=name, Content=versioned)
    assert layer["Content"]["CodeSize"] == len(second)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (
            {"S3Bucket": "packages", "S3Key": "nope.zip"},
            (400, "InvalidParameterValueException", ("Error occurred while GetObject. S3 Error "
             "Code: NoSuchKey. S3 Error Message: The specified key does not exist.")),
        ),
        (
            {"S3Bucket": "empty-bucket", "S3Key": "k"},
            (400, "InvalidParameterValueException", ("Error occurred while GetObject. S3 Error "
             "Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist")),
        ),
        (
            {"S3Bucket": "packages", "S3Key": "secret.zip"},
            (403, "AccessDeniedException", ("Your access has been denied by S3, please make sure "
             "your request credentials have permission to GetObject for packages/secret.zip. S3 "
             "Error Code: AccessDenied. S3 Error Message: Access Denied")),
        ),
        (
            {"S3Bucket": "elsewhere", "S3Key": "k"},
            (403, "AccessDeniedException", ("Your access has been denied by S3, please make sure "
             "your request credentials have permission to GetObject for elsewhere/k. S3 Error "
             "Code: AccessDenied. S3 Error Message: Access Denied")),
        ),
        (
            {"S3Bucket": "packages", "S3Key": "no.zip"},
            (400, "InvalidParameterValueException", ("Could not unzip uploaded file. Please check "
             "your file, then try to upload again.")),
        ),
        (
            {"S3Bucket": "packages"},
            (400, "InvalidParameterValueException", ("S3 Bucket and Key are required for uploading "
             "with S3 parameters.")),
        ),
        (
            {"S3Bucket": "packages", "S3Key": "k", "ZipFile": make_zip()},
            (400, "InvalidParameterValueException", ("Please do not provide other FunctionCode "
             "parameters when providing a ZipFile.")),
        ),
    ],
)  # fmt: skip
def test_what_a_bucket_refuses(
    client: Any, name: str, bucket: Bucket, members: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    bucket.objects["packages", "no.zip", None] = b"no zip"
    bucket.denied.add("secret.zip")
    assert refusal(create, client=client, name=name, Code=members) == expected


def object_of(rig: Rig, code: dict[str, Any]) -> str:
    name = f"fn-{uuid.uuid4().hex[:8]}"
    kubectl(rig, FUNCTION, name, {"runtime": "python3.13", "handler": "a.b", "code": code})
    return name


def settled(rig: Rig, name: str, reason: str) -> dict[str, Any]:
    """The condition, once it says so."""

    def look() -> dict[str, Any] | None:
        found = condition(rig, name)
        return found if found is not None and found["reason"] == reason else None

    found: dict[str, Any] = eventually(look)
    return found


def test_objects_from_a_bucket(rig: Rig, bucket: Bucket) -> None:
    """Git may name a package before CI has put it there."""
    key = f"{uuid.uuid4().hex}.zip"
    bucket.objects.setdefault(("packages", "any", None), b"")
    name = object_of(rig, {"s3": {"bucket": "packages", "key": key}})
    assert "NoSuchKey" in settled(rig, name, "SourceUnavailable")["message"]
    data = make_zip("x = 3\n")
    bucket.objects["packages", key, None] = data
    settled(rig, name, "Stored")
    status = rig.server.request("GET", FUNCTION.path("default", name))[1]["status"]
    assert status["code"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert status["code"]["unzipped"] == len("x = 3\n")
    count = len(bucket.requests)
    path = FUNCTION.path("default", name)
    rig.server.request("PATCH", path, {"spec": {"timeout": 9}}, "application/merge-patch+json")
    forbidden = object_of(rig, {"s3": {"bucket": "elsewhere", "key": "k"}})
    settled(rig, forbidden, "SourceForbidden")
    assert len(bucket.requests) == count, "what is resolved is not fetched again"


def test_objects_from_an_address(rig: Rig, bucket: Bucket) -> None:
    data = make_zip("x = 4\n")
    digest = hashlib.sha256(data).hexdigest()
    bucket.files["/web/code.zip"] = data
    bucket.files["/web/text"] = b"text"
    bucket.redirects["/web/moved"] = "/web/code.zip?token=1"
    bucket.redirects["/web/away"] = "http://127.0.0.2:1/x"
    bucket.redirects["/web/loop"] = "/web/loop"
    web = f"{bucket.endpoint}/web"

    def of(url: str, sha256: str = digest) -> str:
        return object_of(rig, {"url": url, "sha256": sha256})

    cases = {
        of(f"{web}/code.zip"): ("Stored", "is in the store."),
        of(f"{web}/moved"): ("Stored", "is in the store."),
        of(f"{web}/code.zip", "0" * 64): ("InvalidCode", f"has the sha256 {digest}, not 0000"),
        of(f"{web}/text", hashlib.sha256(b"text").hexdigest()): ("InvalidCode", "not unzip"),
        of(f"{web}/none"): ("SourceUnavailable", "/web/none answers 404."),
        of(f"{web}/loop"): ("SourceUnavailable", "/web/loop is redirected too often."),
        of(f"{web}/away"): ("SourceForbidden", "http://127.0.0.2:1/x is not on a host that"),
        of("http://user@127.0.0.1/x"): ("SourceForbidden", "sources.url.hosts"),
        of("https://example.org/x?secret=1"): ("SourceForbidden", "https://example.org/x is not"),
    }
    for name, (reason, words) in cases.items():
        assert words in settled(rig, name, reason)["message"]


def test_a_package_is_fetched_once_though_the_operator_writes_meanwhile(
    rig: Rig, bucket: Bucket
) -> None:
    data = make_zip("x = 6\n")
    path = f"/web/{uuid.uuid4().hex}.zip"
    bucket.files[path] = data
    name = f"fn-{uuid.uuid4().hex[:8]}"

    def meanwhile() -> None:
        patch = {"status": {"functionName": name}}
        status = FUNCTION.path("default", name) + "/status"
        rig.server.request("PATCH", status, patch, "application/merge-patch+json")

    bucket.before[path] = meanwhile
    code = {"url": bucket.endpoint + path, "sha256": hashlib.sha256(data).hexdigest()}
    kubectl(rig, FUNCTION, name, {"runtime": "python3.13", "handler": "a.b", "code": code})
    settled(rig, name, "Stored")
    assert bucket.requests.count(path) == 1
    body = rig.server.request("GET", FUNCTION.path("default", name))[1]
    assert body["status"]["functionName"] == name


def test_layers_from_an_address(rig: Rig, bucket: Bucket) -> None:
    data = make_zip("x = 5\n")
    bucket.files["/web/layer.zip"] = data
    name = f"l-{uuid.uuid4().hex[:8]}"
    content = {
        "url": f"{bucket.endpoint}/web/layer.zip",
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    kubectl(rig, LAYER_VERSION, name, {"layerName": name, "version": 1, "content": content})
    found = eventually(lambda: told(rig, LAYER_VERSION, name, "Ready"))
    assert found[:2] == ("True", "Stored")
