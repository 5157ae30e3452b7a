"""The CRDs on a real API server: defaults, and refusals in words that name the field."""

import uuid
from typing import Any

import pytest

from klambda_core.crd import Alias, CodeSigningConfig, EventSourceMapping, Function, Version
from klambda_core.kinds import (
    ALIAS,
    CODE_SIGNING_CONFIG,
    EVENT_SOURCE_MAPPING,
    FUNCTION,
    VERSION,
    Kind,
)
from klambda_core.snapshot import NewVersion, publish
from tests.support.apiserver import ApiServer

SPEC = {"runtime": "python3.13", "handler": "a.b"}
IMAGE = {"packageType": "Image", "runtime": None, "handler": None}
SHA = "a" * 64
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


@pytest.fixture
def namespace(apiserver: ApiServer) -> str:
    return apiserver.create_namespace(f"crd-{uuid.uuid4().hex[:8]}")


def create(
    server: ApiServer, kind: Kind, namespace: str, name: str, spec: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }
    return server.request("POST", kind.path(namespace), body)


def patch(
    server: ApiServer, kind: Kind, namespace: str, name: str, spec: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    return server.request("PATCH", kind.path(namespace, name), {"spec": spec}, MERGE)


def refused(answer: tuple[int, dict[str, Any]], message: str) -> None:
    status, body = answer
    assert status == 422, body
    assert message in body["message"]


def test_lambdas_defaults_are_visible(apiserver: ApiServer, namespace: str) -> None:
    status, body = create(apiserver, FUNCTION, namespace, "area", SPEC)
    assert status == 201, body
    assert body["spec"] == SPEC | {
        "timeout": 3,
        "memorySize": 128,
        "packageType": "Zip",
        "architectures": ["x86_64"],
        "description": "",
        "ephemeralStorage": {"size": 512},
        "tracingConfig": {"mode": "PassThrough"},
        "snapStart": {"applyOn": "None"},
        "loggingConfig": {"logFormat": "Text"},
    }
    assert Function.read(body).spec.timeout == 3


@pytest.mark.parametrize(
    "spec",
    [
        {"functionName": "My_Function"},
        {"environment": {"variables": {"AB": "", "a1_": "x"}}},
        {"environment": {"valueFrom": {"KEY": {"secretKeyRef": {"name": "s", "key": "k"}}}}},
        {"code": {"files": {"a.py": "x", "pkg/b.py": ""}}},
        {"code": {"zip": "UEsFBg=="}},
        {"code": {"url": "https://example.org/z", "sha256": SHA}},
        {"code": {"s3": {"bucket": "abc", "key": "k"}}},
        {"code": {"blob": {"sha256": SHA, "size": 1}, "files": {"a.py": "x"}}},
        {"code": {}},
        IMAGE | {"code": {"imageUri": "r/x:1"}, "imageConfig": {"command": ["a"]}},
        {"url": {"authType": "NONE", "cors": {"allowOrigins": ["*"]}}},
        {"policy": [{"sid": "s", "action": "lambda:InvokeFunction", "principal": "*"}]},
        {"pod": {"affinity": {"nodeAffinity": {"x": [1]}}, "tolerations": [{"key": "a"}]}},
        {"tags": {"k": "v"}},
        {"publish": {"id": "1"}, "autoPublish": True, "scaling": {"idleSeconds": 60}},
        {"scaling": {"minReplicas": 2, "maxReplicas": 2, "burstLimit": 5}},
        {"scaling": {"minReplicas": 2}},
    ],
)
def test_what_is_accepted(apiserver: ApiServer, namespace: str, spec: dict[str, Any]) -> None:
    status, body = create(apiserver, FUNCTION, namespace, "area", SPEC | spec)
    assert status == 201, body
    assert (
        Function.read(body).to_json()["spec"].items()
        >= {key: value for key, value in spec.items() if value is not None and key != "url"}.items()
    )


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("My.Function", {}, "metadata.name"),
        ("x" * 47, {}, "at most 46 characters"),
        ("a", {"runtime": None}, "runtime and handler are required when packageType is Zip"),
        ("a", {"handler": None}, "runtime and handler are required when packageType is Zip"),
        ("a", {"packageType": "Image"}, "cannot be given when packageType is Image"),
        ("a", {"imageConfig": {}}, "imageConfig needs packageType Image"),
        ("a", {"code": {"imageUri": "x"}}, "code.imageUri needs packageType Image"),
        ("a", {"code": {"files": {}, "zip": ""}}, "at most one of files, zip, url, s3"),
        ("a", {"code": {"url": "https://e"}}, "code.url and code.sha256 belong together"),
        ("a", {"code": {"files": {"../a": ""}}}, "files: paths are relative"),
        ("a", {"code": {"files": {"/a": ""}}}, "files: paths are relative"),
        ("a", {"code": {"files": {"a//b": ""}}}, "files: paths are relative"),
        ("a", {"environment": {"variables": {"1A": ""}}}, "environment.variables: a name"),
        ("a", {"environment": {"variables": {"A": ""}}}, "environment.variables: a name"),
        ("a", {"environment": {"variables": {"AWS_REGION": ""}}}, "reserved names"),
        ("a", {"environment": {"valueFrom": {"KEY": {}}}}, "give one of secretKeyRef"),
        (
            "a",
            {"scaling": {"minReplicas": 3, "maxReplicas": 2}},
            "scaling.minReplicas cannot be above scaling.maxReplicas",
        ),
        ("a", {"scaling": {"minReplicas": -1}}, "spec.scaling.minReplicas"),
        ("a", {"scaling": {"maxReplicas": 0}}, "spec.scaling.maxReplicas"),
        ("a", {"scaling": {"burstLimit": 0}}, "spec.scaling.burstLimit"),
        ("a", {"timeout": 901}, "spec.timeout"),
        ("a", {"timeout": 0}, "spec.timeout"),
        ("a", {"memorySize": 64}, "spec.memorySize"),
        ("a", {"architectures": ["x86_64", "arm64"]}, "spec.architectures"),
        ("a", {"handler": "a b"}, "spec.handler"),
        ("a", {"role": "admin"}, "spec.role"),
        ("a", {"tags": {"aws:x": ""}}, "tags: keys"),
        ("a", {"pod": {"labels": {"klambda.io/x": ""}}}, "belong to Klambda"),
        ("a", {"policy": [{"sid": "s", "action": "s3:x", "principal": "*"}]}, "policy[0].action"),
        ("a", {"reservedConcurrentExecutions": -1}, "spec.reservedConcurrentExecutions"),
    ],
)
def test_what_is_refused(
    apiserver: ApiServer, namespace: str, name: str, spec: dict[str, Any], message: str
) -> None:
    refused(create(apiserver, FUNCTION, namespace, name, SPEC | spec), message)


@pytest.mark.parametrize(
    ("before", "change", "message"),
    [
        ({}, {"functionName": "late"}, "functionName cannot change, appear or disappear"),
        ({"functionName": "a"}, {"functionName": "b"}, "functionName cannot change"),
        ({"functionName": "a"}, {"functionName": None}, "functionName cannot change"),
        (
            {},
            {"packageType": "Image", "runtime": None, "handler": None},
            "packageType cannot change",
        ),
    ],
)
def test_what_never_changes(
    apiserver: ApiServer,
    namespace: str,
    before: dict[str, Any],
    change: dict[str, Any],
    message: str,
) -> None:
    assert create(apiserver, FUNCTION, namespace, "a", SPEC | before)[0] == 201
    refused(patch(apiserver, FUNCTION, namespace, "a", change), message)


def test_a_blob_beside_files_and_files_again(apiserver: ApiServer, namespace: str) -> None:
    """UpdateFunctionCode nulls the source and sets blob; applying Git's files is never rejected."""
    path = FUNCTION.path(namespace, "a") + "?fieldManager=git"
    manifest = {
        "apiVersion": FUNCTION.api_version,
        "kind": FUNCTION.kind,
        "metadata": {"name": "a"},
        "spec": SPEC | {"code": {"files": {"a.py": "1"}}},
    }
    assert apiserver.request("PATCH", path, manifest, APPLY)[0] == 201
    upload = {"code": {"files": None, "blob": {"sha256": SHA, "size": 1}}}
    assert patch(apiserver, FUNCTION, namespace, "a", upload)[0] == 200
    status, body = apiserver.request("PATCH", path, manifest, APPLY)
    assert status == 200, body
    assert body["spec"]["code"] == {
        "files": {"a.py": "1"},
        "blob": {"sha256": SHA, "size": 1},
    }


def version_of(function: dict[str, Any]) -> dict[str, Any]:
    made = publish(Function.read(function), [])
    assert isinstance(made, NewVersion)
    return made.manifest


def test_versions(apiserver: ApiServer, namespace: str) -> None:
    code = {"code": {"blob": {"sha256": SHA, "size": 1}}}
    _, function = create(apiserver, FUNCTION, namespace, "a", SPEC | code)
    manifest = version_of(function)
    status, body = apiserver.request("POST", VERSION.path(namespace), manifest)
    assert status == 201, body
    assert Version.read(body).spec.version == 1
    name = "a-v1"
    refused(
        patch(apiserver, VERSION, namespace, name, {"snapshot": {"timeout": 9}}),
        "snapshot cannot change",
    )
    refused(patch(apiserver, VERSION, namespace, name, {"version": 2}), "version cannot change")
    status, _ = patch(apiserver, VERSION, namespace, name, {"provisionedConcurrentExecutions": 1})
    assert status == 200


@pytest.mark.parametrize("name", ["a-v2", "b-v1", "a-v01", "a-v-v1", "a-v", "av1"])
def test_a_versions_name_says_whose_and_which(
    apiserver: ApiServer, namespace: str, name: str
) -> None:
    spec = {
        "functionRef": "a",
        "version": 1,
        "snapshot": SPEC | {"functionName": "a", "code": {"sha256": SHA, "size": 1}},
    }
    refused(
        create(apiserver, VERSION, namespace, name, spec),
        "metadata.name must be <spec.functionRef>-v<spec.version>",
    )


ALIAS_SPEC = {"functionRef": "a", "name": "live", "functionVersion": "1"}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"functionVersion": "$LATEST"},
        {"functionVersion": None, "track": "LatestPublished"},
        {"routingConfig": {"additionalVersionWeights": {"2": 0.25}}},
        {"routingConfig": {"additionalVersionWeights": {"2": 1}}},
        {"routingConfig": {}},
    ],
)
def test_aliases(apiserver: ApiServer, namespace: str, spec: dict[str, Any]) -> None:
    status, body = create(apiserver, ALIAS, namespace, "a-live", ALIAS_SPEC | spec)
    assert status == 201, body
    assert Alias.read(body).spec.name == "live"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"functionVersion": None}, "give one of functionVersion and track"),
        ({"track": "LatestPublished"}, "give one of functionVersion and track"),
        ({"name": "12"}, "digits alone are a version's number"),
        ({"functionVersion": "live"}, "spec.functionVersion"),
        (
            {"routingConfig": {"additionalVersionWeights": {"1": 0.5}}},
            "the other version must differ",
        ),
        (
            {"routingConfig": {"additionalVersionWeights": {"2": 0.5, "3": 0.1}}},
            "additionalVersionWeights",
        ),
        ({"routingConfig": {"additionalVersionWeights": {"2": 1.5}}}, "less than or equal to 1"),
        (
            {"routingConfig": {"additionalVersionWeights": {"$LATEST": 0.5}}},
            "the key is a version's number",
        ),
        (
            {
                "functionVersion": "$LATEST",
                "routingConfig": {"additionalVersionWeights": {"2": 0.5}},
            },
            "$LATEST cannot share an alias",
        ),
    ],
)
def test_refused_aliases(
    apiserver: ApiServer, namespace: str, spec: dict[str, Any], message: str
) -> None:
    refused(create(apiserver, ALIAS, namespace, "x", ALIAS_SPEC | spec), message)


def test_an_alias_keeps_its_name(apiserver: ApiServer, namespace: str) -> None:
    assert create(apiserver, ALIAS, namespace, "a-live", ALIAS_SPEC)[0] == 201
    refused(
        patch(apiserver, ALIAS, namespace, "a-live", {"name": "other"}),
        "functionRef and name cannot change",
    )


def test_short_names_columns_and_selectable_fields(apiserver: ApiServer, namespace: str) -> None:
    _, found = apiserver.request("GET", "/apis/klambda.io/v1alpha1")
    names = {r["name"]: r.get("shortNames") for r in found["resources"] if "/" not in r["name"]}
    assert names == {
        "functions": ["fn"],
        "versions": ["fnv"],
        "aliases": ["fna"],
        "layerversions": ["lyr"],
        "eventsourcemappings": ["esm"],
        "codesigningconfigs": ["csc"],
    }
    create(apiserver, ALIAS, namespace, "a-live", ALIAS_SPEC)
    path = f"{ALIAS.path(namespace)}?fieldSelector=spec.functionRef%3Da"
    assert len(apiserver.request("GET", path)[1]["items"]) == 1
    path = f"{ALIAS.path(namespace)}?fieldSelector=spec.functionRef%3Db"
    assert apiserver.request("GET", path)[1]["items"] == []


QUEUE = {"functionName": "area", "eventSourceArn": "arn:aws:sqs:us-east-1:123456789012:q"}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (EVENT_SOURCE_MAPPING, QUEUE),
        (
            EVENT_SOURCE_MAPPING,
            {
                "functionName": "area",
                "qualifier": "$LATEST",
                "selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}},
                "topics": ["t"],
                "startingPosition": "AT_TIMESTAMP",
                "startingPositionTimestamp": "2026-01-02T03:04:05.500Z",
            },
        ),
        (
            CODE_SIGNING_CONFIG,
            {"allowedPublishers": {"signingProfileVersionArns": ["arn:aws:signer:x"]}},
        ),
    ],
)
def test_what_belongs_to_no_function(
    apiserver: ApiServer, namespace: str, kind: Kind, spec: dict[str, Any]
) -> None:
    status, body = create(apiserver, kind, namespace, "one", spec)
    assert status == 201, body
    read: EventSourceMapping | CodeSigningConfig = (
        EventSourceMapping.read(body)
        if kind == EVENT_SOURCE_MAPPING
        else CodeSigningConfig.read(body)
    )
    assert read.spec.to_json() == body["spec"]


def test_a_mapping_has_one_source_and_keeps_it(apiserver: ApiServer, namespace: str) -> None:
    none = {"functionName": "area"}
    refused(
        create(apiserver, EVENT_SOURCE_MAPPING, namespace, "one", none),
        "give one of eventSourceArn and selfManagedEventSource",
    )
    create(apiserver, EVENT_SOURCE_MAPPING, namespace, "one", QUEUE)
    other = {"eventSourceArn": "arn:aws:sqs:us-east-1:123456789012:other"}
    refused(
        patch(apiserver, EVENT_SOURCE_MAPPING, namespace, "one", other),
        "eventSourceArn cannot change",
    )
