"""Both doors are equal: every field of every schema, written by the API, read by kubectl, and back.

The fields are generated from the CRD schemas. The API makes objects that together have every field
it can write; what kubectl reads is compared with what was asked for. Then kubectl makes a twin of
each object from that very spec, and the API must say of the twin what it says of its own. A field
that the API's objects lack fails, unless it is listed with the reason why only kubectl has it; a
listed field that the API writes after all fails too.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from klambda_core.crd import MODELS
from klambda_core.kinds import (
    ALIAS,
    CODE_SIGNING_CONFIG,
    EVENT_SOURCE_MAPPING,
    FUNCTION,
    LAYER_VERSION,
    VERSION,
    Kind,
)
from klambda_core.names import object_name, signing_config_id
from klambda_gateway.api.members import to_spec
from tests.integration.gateway_api.conftest import REGION, Rig
from tests.integration.gateway_api.test_gateway_api_real import create, eventually
from tests.integration.gateway_api.test_images_real import START, credentials  # noqa: F401
from tests.support.registry import Registry
from tests.unit.gateway_api.fakes import ROLE, make_zip
from tools.crdgen import schema

Json = dict[str, Any]
ACCOUNT = "123456789012"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
BUCKET = "arn:aws:s3:::results"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:s"
PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/abcdefghij"

SOURCES = "a source of its own; what the API uploads becomes a blob"
CLUSTER = "speaks of the cluster: Lambda has no such thing"
GIT = "how Git publishes; the API has PublishVersion"
KUBECTL_ONLY: dict[str, dict[str, str]] = {
    "Function": {
        "code.files{}": SOURCES,
        "code.zip": SOURCES,
        "code.url": SOURCES,
        "code.sha256": SOURCES,
        "code.s3": SOURCES,
        "environment.valueFrom{}": CLUSTER,
        "publish": GIT,
        "autoPublish": GIT,
        "asyncPaused": "no operation of Lambda's: one of ours sets it (test_async_queues)",
        "scaling": CLUSTER,
        "pod": CLUSTER,
    },
    "Version": {
        "snapshot.environment.valueFrom{}": CLUSTER,
        "snapshot.pod": CLUSTER,
    },
    "Alias": {"track": GIT},
    "LayerVersion": {
        "arn": "mirrors a layer that AWS publishes under its own ARN",
        "content.files{}": SOURCES,
        "content.zip": SOURCES,
        "content.url": SOURCES,
        "content.sha256": SOURCES,
        "content.s3": SOURCES,
        "deleted": "the tombstone of DeleteLayerVersion (test_layers_real)",
    },
    "EventSourceMapping": {
        "destinationConfig.onSuccess": "AWS has the member and refuses it",
    },
    "CodeSigningConfig": {},
}


# --- fields ---------------------------------------------------------------------------------------


def fields(node: Json, path: str = "") -> Iterator[str]:
    """The leaves of a schema."""
    if node.get("properties"):
        for name, child in node["properties"].items():
            yield from fields(child, f"{path}.{name}" if path else name)
    elif node["type"] == "array":
        yield from fields(node["items"], f"{path}[]")
    elif isinstance(node.get("additionalProperties"), dict):
        yield from fields(node["additionalProperties"], path + "{}")
    else:
        yield path


def written(node: Json, value: Any, path: str = "") -> Iterator[str]:
    """The leaves of a schema that a document has."""
    if node.get("properties"):
        for name, child in node["properties"].items():
            if name in value:
                yield from written(child, value[name], f"{path}.{name}" if path else name)
    elif node["type"] == "array":
        for each in value:
            yield from written(node["items"], each, f"{path}[]")
    elif isinstance(node.get("additionalProperties"), dict):
        for each in value.values():
            yield from written(node["additionalProperties"], each, path + "{}")
    else:
        yield path


def listed(path: str, names: Any) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in names)


SCHEMAS = {model.__name__: schema(model)["properties"]["spec"] for model in MODELS}


# --- what the API makes ---------------------------------------------------------------------------


class Doors:
    """The objects of one run, by kind, as the API made them."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.client = rig.client()
        self.name = f"Door_{uuid.uuid4().hex[:8]}"
        self.specs: dict[str, list[Json]] = {model.__name__: [] for model in MODELS}
        self.layer = f"door-{uuid.uuid4().hex[:8]}"
        self.signing = ""
        self.layer_arn = ""

    def read(self, kind: Kind, chosen: Callable[[Json], bool]) -> Json:
        """What kubectl sees of an object."""
        found = [obj for obj in self.rig.objects(kind) if chosen(obj)]
        assert len(found) == 1, found
        spec: Json = found[0]["spec"]
        self.specs[kind.kind].append(spec)
        return found[0]


EVENT_INVOKE: Json = {
    "MaximumRetryAttempts": 1,
    "MaximumEventAgeInSeconds": 60,
    "DestinationConfig": {
        "OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": BUCKET},
    },
}  # fmt: skip
EVENT_INVOKE_SPEC: Json = {
    "maximumRetryAttempts": 1,
    "maximumEventAgeInSeconds": 60,
    "destinationConfig": {
        "onSuccess": {"destination": QUEUE}, "onFailure": {"destination": BUCKET},
    },
}  # fmt: skip
PERMISSIONS: list[Json] = [
    {"StatementId": "all", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com",
     "SourceArn": "arn:aws:s3:::b", "SourceAccount": ACCOUNT, "PrincipalOrgID": "o-abcdefghij",
     "EventSourceToken": "t"},
    {"StatementId": "url", "Action": "lambda:InvokeFunctionUrl", "Principal": "*",
     "FunctionUrlAuthType": "NONE"},
    {"StatementId": "via", "Action": "lambda:InvokeFunction", "Principal": "*",
     "InvokedViaFunctionUrl": True},
]  # fmt: skip
PERMISSIONS_SPEC: list[Json] = [
    {"sid": "all", "action": "lambda:InvokeFunction", "principal": "s3.amazonaws.com",
     "sourceArn": "arn:aws:s3:::b", "sourceAccount": ACCOUNT, "principalOrgID": "o-abcdefghij",
     "eventSourceToken": "t"},
    {"sid": "url", "action": "lambda:InvokeFunctionUrl", "principal": "*",
     "functionUrlAuthType": "NONE"},
    {"sid": "via", "action": "lambda:InvokeFunction", "principal": "*",
     "invokedViaFunctionUrl": True},
]  # fmt: skip
URL: Json = {
    "AuthType": "NONE",
    "InvokeMode": "RESPONSE_STREAM",
    "Cors": {"AllowCredentials": True, "AllowHeaders": ["a"], "AllowMethods": ["GET"],
             "AllowOrigins": ["https://a"], "ExposeHeaders": ["b"], "MaxAge": 5},
}  # fmt: skip
URL_SPEC: Json = {
    "authType": "NONE",
    "invokeMode": "RESPONSE_STREAM",
    "public": False,
    "cors": {"allowCredentials": True, "allowHeaders": ["a"], "allowMethods": ["GET"],
             "allowOrigins": ["https://a"], "exposeHeaders": ["b"], "maxAge": 5},
}  # fmt: skip
RUNTIME = f"arn:aws:lambda:{REGION}::runtime:" + "a" * 64


def make_layer_and_signing(doors: Doors) -> None:
    client = doors.client
    made = client.publish_layer_version(
        LayerName=doors.layer, Description="d", LicenseInfo="MIT",
        Content={"ZipFile": make_zip("l = 1\n")}, CompatibleRuntimes=["python3.13"],
        CompatibleArchitectures=["x86_64"],
    )  # fmt: skip
    doors.layer_arn = made["LayerVersionArn"]
    client.add_layer_version_permission(
        LayerName=doors.layer, VersionNumber=1, StatementId="s", Principal="*",
        Action="lambda:GetLayerVersion", OrganizationId="o-abcdefghij",
    )  # fmt: skip
    spec = doors.read(LAYER_VERSION, lambda o: o["spec"]["layerName"] == doors.layer)["spec"]
    assert (spec["description"], spec["licenseInfo"], spec["version"]) == ("d", "MIT", 1)
    assert spec["policy"] == [
        {"sid": "s", "action": "lambda:GetLayerVersion", "principal": "*",
         "organizationId": "o-abcdefghij"}
    ]  # fmt: skip
    given = {"Description": "d", "Tags": {"a": "b"},
             "AllowedPublishers": {"SigningProfileVersionArns": [PROFILE]},
             "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"}}  # fmt: skip
    config = client.create_code_signing_config(**given)["CodeSigningConfig"]
    doors.signing = config["CodeSigningConfigArn"]
    spec = doors.read(
        CODE_SIGNING_CONFIG, lambda o: o["metadata"]["name"] == config["CodeSigningConfigId"]
    )["spec"]
    assert spec == to_spec("CreateCodeSigningConfigRequest", given)


def make_function(doors: Doors) -> Json:
    client, name = doors.client, {"FunctionName": doors.name}
    create(
        client, doors.name, Description="d", Timeout=7, MemorySize=256, Architectures=["x86_64"],
        EphemeralStorage={"Size": 1024}, TracingConfig={"Mode": "Active"},
        Environment={"Variables": {"AA": "1"}}, DeadLetterConfig={"TargetArn": QUEUE},
        KMSKeyArn="arn:aws:kms:x:1:key/k", SnapStart={"ApplyOn": "None"},
        FileSystemConfigs=[{"Arn": f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/"
                            "fsap-12345678901234567", "LocalMountPath": "/mnt/a"}],
        LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG",
                       "SystemLogLevel": "WARN", "LogGroup": "/g"},
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"],
                   "Ipv6AllowedForDualStack": True},
        Layers=[doors.layer_arn], Tags={"k": "v"}, CodeSigningConfigArn=doors.signing,
    )  # fmt: skip
    doors.rig.settle()
    client.put_function_concurrency(**name, ReservedConcurrentExecutions=5)
    client.create_function_url_config(**name, **URL)
    client.put_function_event_invoke_config(**name, **EVENT_INVOKE)
    for each in PERMISSIONS:
        client.add_permission(**name, **each)
    client.put_function_recursion_config(**name, RecursiveLoop="Allow")
    client.put_runtime_management_config(
        **name, UpdateRuntimeOn="Manual", RuntimeVersionArn=RUNTIME
    )
    return doors.read(FUNCTION, lambda o: o["spec"].get("functionName") == doors.name)


FUNCTION_SPEC: Json = {
    "runtime": "python3.13",
    "handler": "lambda_function.handler",
    "description": "d",
    "timeout": 7,
    "memorySize": 256,
    "packageType": "Zip",
    "architectures": ["x86_64"],
    "environment": {"variables": {"AA": "1"}},
    "ephemeralStorage": {"size": 1024},
    "tracingConfig": {"mode": "Active"},
    "vpcConfig": {
        "subnetIds": ["subnet-1"],
        "securityGroupIds": ["sg-1"],
        "ipv6AllowedForDualStack": True,
    },
    "deadLetterConfig": {"targetArn": QUEUE},
    "kmsKeyArn": "arn:aws:kms:x:1:key/k",
    "snapStart": {"applyOn": "None"},
    "loggingConfig": {
        "logFormat": "JSON",
        "applicationLogLevel": "DEBUG",
        "systemLogLevel": "WARN",
        "logGroup": "/g",
    },
    "tags": {"k": "v"},
    "reservedConcurrentExecutions": 5,
    "url": URL_SPEC,
    "eventInvokeConfig": EVENT_INVOKE_SPEC,
    "policy": PERMISSIONS_SPEC,
    "recursiveLoop": "Allow",
    "runtimeManagement": {"updateRuntimeOn": "Manual", "runtimeVersionArn": RUNTIME},
}
"""What kubectl must read of it; names, layers and signing are looked at besides."""


IMAGE_CONFIG: Json = {
    "EntryPoint": ["/entry"], "Command": ["a.handler"], "WorkingDirectory": "/work",
}  # fmt: skip


def check_image(doors: Doors, registry: Registry) -> None:
    """A function from an image, its version, and its twin."""
    client, name = doors.client, f"image-{uuid.uuid4().hex[:8]}"
    digest = registry.push(f"{name}:1", START)
    client.create_function(
        FunctionName=name, PackageType="Image", Role=ROLE, ImageConfig=IMAGE_CONFIG,
        Code={"ImageUri": f"{registry.host}/{name}:1"}, Publish=True,
        SnapStart={"ApplyOn": "PublishedVersions"},
    )  # fmt: skip
    spec = doors.read(FUNCTION, lambda o: o["metadata"]["name"] == name)["spec"]
    assert spec["code"] == {"imageUri": f"{registry.host}/{name}:1", "imageDigest": digest}
    assert spec["snapStart"] == {"applyOn": "PublishedVersions"}
    assert spec["imageConfig"] == {
        "entryPoint": ["/entry"], "command": ["a.handler"], "workingDirectory": "/work",
    }  # fmt: skip
    doors.read(VERSION, lambda o: o["spec"]["functionRef"] == name)
    twin = f"twin-{uuid.uuid4().hex[:8]}"
    kubectl(doors.rig, FUNCTION, twin, spec)

    def look() -> tuple[Any, Any]:
        doors.rig.settle()
        one, other = (client.get_function(FunctionName=each) for each in (name, twin))
        # The image's own name is the same for both.
        told_one = told({**one, "Code": None}, name), one["Code"]
        return told_one, (told({**other, "Code": None}, twin), other["Code"])

    same(look)


def make_version_and_alias(doors: Doors) -> tuple[Json, Json]:
    client, name = doors.client, {"FunctionName": doors.name}
    client.publish_version(**name, Description="one")
    doors.rig.settle()
    client.update_function_configuration(**name, Timeout=8)
    doors.rig.settle()
    client.publish_version(**name)
    doors.rig.settle()
    one = {**name, "Qualifier": "1"}
    client.put_function_event_invoke_config(**one, **EVENT_INVOKE)
    client.put_provisioned_concurrency_config(**one, ProvisionedConcurrentExecutions=1)
    client.put_runtime_management_config(**one, UpdateRuntimeOn="Manual", RuntimeVersionArn=RUNTIME)
    client.create_alias(
        **name, Name="live", FunctionVersion="2", Description="d",
        RoutingConfig={"AdditionalVersionWeights": {"1": 0.25}},
    )  # fmt: skip
    live = {**name, "Qualifier": "live"}
    client.create_function_url_config(**live, **URL)
    client.put_function_event_invoke_config(**live, **EVENT_INVOKE)
    for each in PERMISSIONS:
        client.add_permission(**live, **each)
        client.add_permission(**one, **each)
    version = doors.read(
        VERSION,
        lambda o: (o["spec"]["snapshot"]["functionName"], o["spec"]["version"]) == (doors.name, 1),
    )
    alias = doors.read(ALIAS, lambda o: o["spec"]["functionRef"] == version["spec"]["functionRef"])
    client.update_alias(**name, Name="live", FunctionVersion="2",
                        RoutingConfig={"AdditionalVersionWeights": {}})  # fmt: skip
    client.put_provisioned_concurrency_config(**live, ProvisionedConcurrentExecutions=2)
    doors.read(ALIAS, lambda o: o["metadata"]["name"] == alias["metadata"]["name"])
    return version, alias


FILTER = {"Filters": [{"Pattern": '{"body": ["a"]}'}]}
REGISTRY: Json = {
    "SchemaRegistryURI": "https://r", "EventRecordFormat": "JSON",
    "AccessConfigs": [{"Type": "BASIC_AUTH", "URI": SECRET}],
    "SchemaValidationConfigs": [{"Attribute": "KEY"}],
}  # fmt: skip
STREAM: Json = {
    "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
    "MaximumRecordAgeInSeconds": 60, "BisectBatchOnFunctionError": True,
    "MaximumRetryAttempts": 3, "FunctionResponseTypes": ["ReportBatchItemFailures"],
}  # fmt: skip
POLLERS: Json = {"MinimumPollers": 1, "MaximumPollers": 2, "PollerGroupName": "g"}
ACCESS: Json = {"SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "s"}]}
MAPPINGS: list[Json] = [
    {"EventSourceArn": QUEUE, "BatchSize": 5, "FilterCriteria": FILTER, "Enabled": False,
     "KMSKeyArn": "arn:aws:kms:x:1:key/k", "MetricsConfig": {"Metrics": ["EventCount"]},
     "LoggingConfig": {"SystemLogLevel": "INFO"}, "Tags": {"a": "b"},
     "ScalingConfig": {"MaximumConcurrency": 2}, "MaximumBatchingWindowInSeconds": 1},
    {"EventSourceArn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s", **STREAM,
     "ParallelizationFactor": 2, "TumblingWindowInSeconds": 3,
     "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 1767323045},
    {"EventSourceArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/c/1", "Topics": ["t1"],
     "StartingPosition": "LATEST", "ProvisionedPollerConfig": POLLERS, **ACCESS,
     "AmazonManagedKafkaEventSourceConfig": {
         "ConsumerGroupId": "g", "SchemaRegistryConfig": REGISTRY}},
    {"SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}},
     "StartingPosition": "LATEST", "Topics": ["t1"],
     "SelfManagedKafkaEventSourceConfig": {
         "ConsumerGroupId": "g", "SchemaRegistryConfig": REGISTRY,
         "ConsumptionMode": "Stream"}},
    {"EventSourceArn": f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:b:b-1", "Queues": ["q"], **ACCESS},
    {"EventSourceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:c", "StartingPosition": "LATEST",
     "DocumentDBEventSourceConfig": {
         "DatabaseName": "d", "CollectionName": "c", "FullDocument": "UpdateLookup"}},
]  # fmt: skip


def make_mapping(doors: Doors, given: Json) -> tuple[Json, Json]:
    made = doors.client.create_event_source_mapping(FunctionName=doors.name + ":live", **given)
    obj = doors.read(EVENT_SOURCE_MAPPING, lambda o: o["metadata"]["uid"] == made["UUID"])
    wanted = to_spec("CreateEventSourceMappingRequest", given)
    assert obj["spec"] == {"enabled": True, **wanted, "functionName": doors.name,
                           "qualifier": "live"}  # fmt: skip
    return obj, made


# --- what kubectl makes ---------------------------------------------------------------------------


def kubectl(rig: Rig, kind: Kind, name: str, spec: Json) -> Json:
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name},
        "spec": spec,
    }
    answer: Json
    status, answer = rig.server.request("POST", kind.path("default"), body)
    assert status == 201, answer
    assert answer["spec"] == spec
    return answer


DIFFERENT = {
    "ResponseMetadata", "RevisionId", "LastModified", "Location", "FunctionUrl", "CreationTime",
    "LastModifiedTime", "CreatedDate", "UUID", "EventSourceMappingArn", "CodeSigningConfigId",
}  # fmt: skip
"""Members that differ between an object and its twin."""


def told(answer: Any, name: str) -> Any:
    """An answer without what differs between twins."""
    if isinstance(answer, dict):
        return {k: told(v, name) for k, v in answer.items() if k not in DIFFERENT}
    if isinstance(answer, list):
        return [told(each, name) for each in answer]
    return answer.replace(name, "NAME") if isinstance(answer, str) else answer


def of_function(client: Any, name: str) -> Any:
    key = {"FunctionName": name}
    arn = client.get_function_configuration(**key)["FunctionArn"]
    return told(
        [
            client.get_function(**key),
            client.list_tags(Resource=arn),
            client.get_function_concurrency(**key),
            client.get_function_url_config(**key),
            client.get_function_event_invoke_config(**key),
            json.loads(client.get_policy(**key)["Policy"]),
            client.get_function_code_signing_config(**key),
            client.get_function_recursion_config(**key),
            client.get_runtime_management_config(**key),
        ],
        name,
    )


def of_version(client: Any, name: str) -> Any:
    key = {"FunctionName": name, "Qualifier": "1"}
    return told(
        [
            client.get_function_configuration(**key),
            client.get_function_event_invoke_config(**key),
            client.get_provisioned_concurrency_config(**key),
            json.loads(client.get_policy(**key)["Policy"]),
            client.get_runtime_management_config(**key),
        ],
        name,
    )


def of_alias(client: Any, name: str) -> Any:
    key = {"FunctionName": name, "Qualifier": "live"}
    return told(
        [
            client.get_alias(FunctionName=name, Name="live"),
            client.get_function_event_invoke_config(**key),
            client.get_function_url_config(**key),
            client.get_provisioned_concurrency_config(**key),
            json.loads(client.get_policy(**key)["Policy"]),
        ],
        name,
    )


def same(look: Callable[[], tuple[Any, Any]]) -> None:
    """Both are the same at last: layers are resolved by a watch."""

    def equal() -> bool:
        one, other = look()
        return bool(one == other)

    try:
        eventually(equal)
    except AssertionError:
        one, other = look()
        assert one == other


@pytest.mark.timeout(180)
def test_both_doors_are_equal(rig: Rig, registry: Registry) -> None:
    doors = Doors(rig)
    make_layer_and_signing(doors)
    function = make_function(doors)
    spec = function["spec"]
    assert {name: spec[name] for name in FUNCTION_SPEC} == FUNCTION_SPEC
    assert (spec["functionName"], spec["layers"]) == (doors.name, [doors.layer_arn])
    assert spec["codeSigningConfig"] == doors.signing
    twin = f"Twin_{uuid.uuid4().hex[:8]}"
    twins = object_name(twin)
    kubectl(rig, FUNCTION, twins, {**spec, "functionName": twin})
    rig.settle()

    def look_at_functions() -> tuple[Any, Any]:
        rig.settle()
        return of_function(doors.client, doors.name), of_function(doors.client, twin)

    same(look_at_functions)
    version, alias = make_version_and_alias(doors)
    snapshot = {**version["spec"]["snapshot"], "functionName": twin}
    for number in (1, 2):
        item = {**version["spec"], "functionRef": twins, "snapshot": snapshot, "version": number}
        kubectl(rig, VERSION, f"{twins}-v{number}", item)
    rig.settle()
    assert of_version(doors.client, doors.name) == of_version(doors.client, twin)
    newest = doors.specs["Alias"][-1]
    assert newest["provisionedConcurrentExecutions"] == 2
    assert alias["spec"]["routingConfig"] == {"additionalVersionWeights": {"1": 0.25}}
    kubectl(rig, ALIAS, f"{twins}-live", {**newest, "functionRef": twins})
    assert of_alias(doors.client, doors.name) == of_alias(doors.client, twin)
    check_image(doors, registry)
    check_mappings(doors, twin, twins)
    check_signing(doors, twins)
    check_fields(doors)


def check_mappings(doors: Doors, twin: str, twins: str) -> None:
    for number, given in enumerate(MAPPINGS):
        obj, _ = make_mapping(doors, given)
        theirs = kubectl(
            doors.rig, EVENT_SOURCE_MAPPING, f"{twins}-{number}",
            {**obj["spec"], "functionName": twin},
        )  # fmt: skip
        answers = [
            told(doors.client.get_event_source_mapping(UUID=each["metadata"]["uid"]), name)
            for each, name in ((obj, doors.name), (theirs, twin))
        ]
        assert answers[0] == answers[1]


def check_signing(doors: Doors, twins: str) -> None:
    kubectl(doors.rig, CODE_SIGNING_CONFIG, twins, doors.specs["CodeSigningConfig"][0])
    prefix = doors.signing.rpartition(":")[0]
    ids = (doors.signing.rpartition(":")[2], signing_config_id(twins))
    answers = [
        told(doors.client.get_code_signing_config(CodeSigningConfigArn=f"{prefix}:{each}"), each)
        for each in ids
    ]
    assert answers[0] == answers[1]


def check_fields(doors: Doors) -> None:
    for kind, node in SCHEMAS.items():
        found = {path for spec in doors.specs[kind] for path in written(node, spec)}
        known = set(fields(node))
        only = {path for path in known if listed(path, KUBECTL_ONLY[kind])}
        assert found <= known
        assert known - found - only == set(), f"{kind}: nobody writes these by the API"
        assert found & only == set(), f"{kind}: the API writes these after all"
