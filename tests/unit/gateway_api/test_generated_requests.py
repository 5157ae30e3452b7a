"""Thousands of generated requests, made from the service model: wrong ones and right ones.

Never a 5xx, always JSON; errors are those that the model gives the operation, or the framework's;
successes are what botocore's own parser reads without loss, and nothing that the output shapes
forbid (unknown members, nulls, wrong types, enums, patterns).
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.parsers
import botocore.session
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from klambda_gateway.api.absent import ABSENT
from klambda_gateway.api.dispatch import RawAnswer
from klambda_gateway.api.model import MODEL, Operation, Shape, python_pattern
from klambda_gateway.api.operations import HANDLERS
from tests.unit.gateway_api.fakes import (
    ACCOUNT,
    KEY_ID,
    REGION,
    ROLE,
    SECRET,
    World,
    make_zip,
    raw_request,
)

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"
LIKELY: dict[str, list[Any]] = {
    "FunctionName": ["area", "nope", ARN, "area:$LATEST", "area:1", "area:live", "a" * 300, "é/b"],
    "Qualifier": ["$LATEST", "1", "2", "live", "nope", "x!", "01", "$LATEST.PUBLISHED"],
    "FunctionVersion": ["$LATEST", "1", "9", "ALL", "01", "$LATEST.PUBLISHED"],
    "Name": ["live", "other", "1", "a b"],
    "Resource": [ARN, ARN + ":1", "x", ARN.replace("area", "nope")],
    "Role": [ROLE, "x"],
    "Runtime": ["python3.13", "nodejs22.x", "python2.7", "nope"],
    "Handler": ["lambda_function.handler", " "],
    "ZipFile": [make_zip(), make_zip("y = 2\n"), b"", b"PK"],
    "Marker": ["", "bm9uZQ==", "!"],
    "InvocationType": ["RequestResponse", "Event", "DryRun", "Other"],
    "ClientContext": ["e30=", "!", "W10="],
    "StatementId": ["s1", "s2", "s 3"],
    "Action": ["lambda:InvokeFunction", "s3:Get"],
    "Principal": ["*", ACCOUNT, "s3.amazonaws.com", "nobody at all", "?"],
    "EventSourceArn": [
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:q",
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:q.fifo",
        f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s",
        f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/c/1",
        "arn:aws:s3:::b",
    ],
    "Pattern": ['{"body": ["a"]}', "{", "[]"],
    "Destination": [f"arn:aws:sqs:{REGION}:{ACCOUNT}:q", ARN, "arn:aws:s3:::b", ""],
    "SigningProfileVersionArns": [["arn:aws:signer:us-east-1:123456789012:/p/x"], []],
    "RuntimeVersionArn": [f"arn:aws:lambda:{REGION}::runtime:" + "a" * 64],
    "ResourceArn": [ARN, ARN + ":live", "x"],
    "RevisionId": ["00000000-0000-0000-0000-000000000000"],
    "CodeSha256": ["x"],
    "CapacityProviderName": ["p"],
    "LayerName": ["tools", f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:tools", "a b"],
    "Layers": [[], [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:tools:1"]],
}
UNUSABLE: frozenset[str] = frozenset(
    ("CapacityProviderConfig", "DurableConfig", "TenancyConfig", "RuntimeConfig",
     "AcceleratorConfig", "PublishTo", "S3Bucket", "S3Key", "S3ObjectVersion", "ImageUri",
     "SourceKMSKeyArn", "VpcConfig", "FileSystemConfigs", "ImageConfig", "RevisionId")
)  # fmt: skip
"""Members that a request that shall succeed leaves out."""


WRONG: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", 0, -1, 2**40, 1.5, True, [], {}, "ä\x00\U0001f600"]
)


def values(shape: Shape, name: str = "", *, tame: bool = False) -> st.SearchStrategy[Any]:
    """Values of a shape: likely ones, at and beyond its limits, and of the wrong type.

    ``tame``: only what the shape allows.
    """
    if tame:
        return likely(shape, name, tame=True)
    wild = right(shape, tame=False)
    return st.one_of(likely(shape, name, tame=False), likely(shape, name, tame=False), wild, WRONG)


def likely(shape: Shape, name: str, *, tame: bool) -> st.SearchStrategy[Any]:
    if name not in LIKELY:
        return right(shape, tame=tame)
    return st.sampled_from(LIKELY[name][:3] if tame else LIKELY[name])


def right(shape: Shape, *, tame: bool) -> st.SearchStrategy[Any]:
    match shape.type:
        case "structure":
            return structure(shape, tame=tame)
        case "list":
            least = int(shape.minimum or 0) if tame else 0
            element = values(MODEL.shapes[shape.element], tame=tame)
            return st.lists(element, min_size=least, max_size=max(1, least) if tame else 3)
        case "map":
            keys: st.SearchStrategy[str] = st.sampled_from(["1", "2", "AA", "BB"])
            if not tame:
                keys = st.one_of(keys, st.text(max_size=5))
            elif (names := MODEL.shapes[shape.key].enum) is not None:
                keys = st.sampled_from(names)
            value = values(MODEL.shapes[shape.value], tame=tame)
            return st.dictionaries(keys, value, max_size=1 if tame else 3)
        case "boolean":
            return st.booleans()
        case "blob":
            return st.binary(max_size=20)
        case "integer" | "long":
            slack = 0 if tame else 1
            low, high = int(shape.minimum or 0), int(shape.maximum or 1000)
            return st.integers(low - slack, high + slack)
        case "double" | "float" | "timestamp":
            return st.floats(0, 1) if tame else st.floats(-0.1, 1.1)
        case _:
            return texts(shape, tame=tame)


def texts(shape: Shape, *, tame: bool) -> st.SearchStrategy[str]:
    if shape.enum is not None:
        known = st.sampled_from(shape.enum)
        return known if tame else st.one_of(known, st.text(max_size=10))
    if tame and shape.regex is not None:
        size = int(shape.minimum or 0)
        simple = [text for text in ("ab", "", "1", "/mnt/a", ROLE, "a" * size, ARN + ":1")
                  if shape.regex.fullmatch(text) and len(text) >= size]  # fmt: skip
        return st.sampled_from(simple or ["x"])
    return (
        st.text(st.characters(codec="ascii"), min_size=1, max_size=10)
        if tame
        else st.text(max_size=10)
    )


def structure(shape: Shape, *, tame: bool) -> st.SearchStrategy[dict[str, Any]]:
    members = {
        name: values(MODEL.shapes[member.shape], name, tame=tame)
        for name, member in shape.members.items()
        if not (tame and name in UNUSABLE)
    }
    needed = {name: each for name, each in members.items() if name in shape.required}
    optional = {name: each for name, each in members.items() if name not in shape.required}
    return st.fixed_dictionaries(needed, optional=optional)


def signed(operation: Operation, given_members: dict[str, Any]) -> Any:
    """The request, put together by hand: botocore would refuse to send most of them."""
    shape = MODEL.shapes[operation.input] if operation.input else None
    path, query, headers = operation.path, dict(operation.query), {}
    document: dict[str, Any] = {}
    body = b""
    for name, value in given_members.items():
        assert shape is not None
        member = shape.members[name]
        text = value if isinstance(value, str) else json.dumps(value, default=repr)
        if name == shape.payload:
            body = value if isinstance(value, bytes) else text.encode()
        elif member.location == "uri":
            path = path.replace("{" + member.wire_name + "}", quote(text, safe="") or "%20")
        elif member.location == "querystring":
            query[member.wire_name] = text
        elif member.location == "header":
            printable = "".join(c for c in text if c.isascii() and c.isprintable())
            headers[member.wire_name] = " ".join(printable.split())
        else:
            document[name] = value
    if document:
        body = json.dumps(
            document, default=lambda b: __import__("base64").b64encode(b).decode()
        ).encode()
    url = "http://klambda.test:8080" + path.replace("{", "%7B").replace("}", "%7D")
    text = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query.items())
    request = botocore.awsrequest.AWSRequest(
        method=operation.method, url=f"{url}?{text}" if text else url, data=body, headers=headers
    )
    credentials = botocore.credentials.Credentials(KEY_ID, SECRET)
    botocore.auth.SigV4Auth(credentials, "lambda", REGION).add_auth(request)
    return raw_request(request.prepare())


FRAMEWORK = {
    "ValidationException",
    "SerializationException",
    "AccessDeniedException",
    "RequestEntityTooLargeException",
}
"""Errors that stand before every operation and in no model (aws-contract a.2)."""
RECORDED = {"LastUpdateStatusReasonCode": ("Creating",)}
"""What AWS sends though its model does not say so (aws-contract a.4)."""
RAW: dict[str, Any] = (
    botocore.session.get_session().get_service_model("lambda")._service_description["shapes"]
)
SERVICE = botocore.session.get_session().get_service_model("lambda")
PARSER = botocore.parsers.create_parser("rest-json")


@pytest.fixture(scope="module")
def furnished() -> tuple[World, dict[Any, Any]]:
    """An account with a function, a version and an alias; and its objects as they were."""
    world = World()
    client = world.client()
    client.create_function(
        FunctionName="area", Runtime="python3.13", Handler="lambda_function.handler", Role=ROLE,
        Code={"ZipFile": make_zip()}, Publish=True,
    )  # fmt: skip
    world.kube.settle()
    client.create_alias(FunctionName="area", Name="live", FunctionVersion="1")
    mapping = client.create_event_source_mapping(
        FunctionName="area", EventSourceArn=LIKELY["EventSourceArn"][0]
    )
    LIKELY["UUID"] = [mapping["UUID"], "0" * 36, "short"]
    signing = client.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": LIKELY["SigningProfileVersionArns"][0]}
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    LIKELY["CodeSigningConfigArn"] = [signing, signing[:-1] + "x", "x"]
    LIKELY["Resource"] += [signing, mapping["EventSourceMappingArn"]]
    return world, copy.deepcopy(world.kube.objects)


QUICK = settings(
    max_examples=12, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(HANDLERS))
@QUICK
@given(data=st.data())
def test_generated_requests(
    furnished: tuple[World, dict[Any, Any]], name: str, data: st.DataObject
) -> None:
    check_one(furnished, name, data)


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", sorted(set(HANDLERS) - set(ABSENT)))
@settings(QUICK, max_examples=2000, derandomize=False)
@given(data=st.data())
def test_thousands_of_generated_requests(
    furnished: tuple[World, dict[Any, Any]], name: str, data: st.DataObject
) -> None:
    check_one(furnished, name, data)


def check_one(furnished: tuple[World, dict[Any, Any]], name: str, data: st.DataObject) -> None:
    operation = MODEL.operations[name]
    world, objects = furnished
    world.kube.objects = copy.deepcopy(objects)
    members = {}
    if operation.input:
        tame = data.draw(st.booleans())
        members = data.draw(structure(MODEL.shapes[operation.input], tame=tame))
    answer = asyncio.run(world.dispatcher.answer(signed(operation, members)))
    assert answer.status < 500, answer.body
    if answer.status >= 400:
        modelled = {shape.name for shape in SERVICE.operation_model(name).error_shapes}
        assert answer.headers["x-amzn-ErrorType"] in modelled | FRAMEWORK, answer.body
        assert answer.headers["Content-Type"] == "application/json"
        assert isinstance(json.loads(answer.body), dict)
    else:
        check_answer(name, answer)


def check_answer(name: str, answer: RawAnswer) -> None:
    """botocore's own parser loses nothing of a success."""
    if answer.stream is not None:  # test_streaming_api reads it
        return
    model = SERVICE.operation_model(name)
    shape = model.output_shape
    if shape is None or model.has_event_stream_output:  # the latter: of a dry run
        assert answer.body == b""
        return
    headers = {key.lower(): value for key, value in answer.headers.items()}
    response = {"status_code": answer.status, "headers": headers, "body": answer.body}
    parsed = PARSER.parse(response, shape)
    if name != "Invoke" and answer.body:
        document = json.loads(answer.body)
        assert set(document) <= set(parsed)
        assert list(misfits(shape, document, "")) == []


def misfits(shape: Any, value: Any, path: str) -> Iterator[str]:
    """What an answer says that its output shape does not allow."""
    match shape.type_name:
        case "structure":
            for name, each in value.items():
                if name in shape.members:
                    yield from misfits(shape.members[name], each, f"{path}.{name}")
                else:
                    yield f"{path}.{name}: unknown"
        case "list":
            for each in value:
                yield from misfits(shape.member, each, f"{path}[]")
        case "map":
            for key, each in value.items():
                yield from misfits(shape.key, key, f"{path}.key")
                yield from misfits(shape.value, each, f"{path}.{key}")
        case kind:
            if not _fits(shape, kind, value):
                yield f"{path}: {value!r} is no {shape.name}"


def _fits(shape: Any, kind: str, value: Any) -> bool:
    types: dict[str, Any] = {
        "string": str, "boolean": bool, "integer": int, "long": int, "timestamp": (int, float),
        "double": (int, float), "float": (int, float), "blob": str,
    }  # fmt: skip
    if not isinstance(value, types[kind]):
        return False
    if (
        kind == "string"
        and shape.enum
        and value not in (*shape.enum, *RECORDED.get(shape.name, ()))
    ):
        return False
    pattern = RAW[shape.name].get("pattern")
    return pattern is None or python_pattern(pattern).fullmatch(value) is not None
