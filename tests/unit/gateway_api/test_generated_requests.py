"""Thousands of generated requests: never a 5xx, always JSON, always an error class of the API."""

from __future__ import annotations

import asyncio
import copy
import json
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

from klambda_core import errors
from klambda_gateway.api.dispatch import RawAnswer
from klambda_gateway.api.model import MODEL, Operation, Shape
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
    "Qualifier": ["$LATEST", "1", "2", "live", "nope", "x!"],
    "FunctionVersion": ["$LATEST", "1", "9", "ALL"],
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
}


def values(shape: Shape, name: str = "") -> st.SearchStrategy[Any]:
    """Values of a shape: likely ones, at and beyond its limits, and of the wrong type."""
    wrong: st.SearchStrategy[Any] = st.sampled_from(
        [None, "", 0, -1, 2**40, 1.5, True, [], {}, "ä\x00\U0001f600"]
    )
    return st.one_of(likely(shape, name), likely(shape, name), right(shape), wrong)


def likely(shape: Shape, name: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(LIKELY[name]) if name in LIKELY else right(shape)


def right(shape: Shape) -> st.SearchStrategy[Any]:
    match shape.type:
        case "structure":
            return structure(shape)
        case "list":
            return st.lists(values(MODEL.shapes[shape.element]), max_size=3)
        case "map":
            key = st.one_of(st.sampled_from(["1", "2", "AA", "BB"]), st.text(max_size=5))
            return st.dictionaries(key, values(MODEL.shapes[shape.value]), max_size=3)
        case "boolean":
            return st.booleans()
        case "blob":
            return st.binary(max_size=20)
        case "integer" | "long":
            low, high = int(shape.minimum or 0), int(shape.maximum or 1000)
            return st.integers(low - 1, high + 1)
        case "double" | "float":
            return st.floats(-0.1, 1.1)
        case _:
            text = st.text(max_size=10)
            return text if shape.enum is None else st.one_of(st.sampled_from(shape.enum), text)


def structure(shape: Shape) -> st.SearchStrategy[dict[str, Any]]:
    needed = {n: values(MODEL.shapes[m.shape], n) for n, m in shape.members.items()
              if n in shape.required}  # fmt: skip
    optional = {n: values(MODEL.shapes[m.shape], n) for n, m in shape.members.items()
                if n not in shape.required}  # fmt: skip
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
            headers[member.wire_name] = text.encode("ascii", "ignore").decode().replace("\x00", "")
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


KNOWN = set(errors.CATALOGUE)
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
@pytest.mark.parametrize("name", sorted(HANDLERS))
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
    members = data.draw(structure(MODEL.shapes[operation.input])) if operation.input else {}
    answer = asyncio.run(world.dispatcher.answer(signed(operation, members)))
    assert answer.status < 500, answer.body
    if answer.status >= 400:
        assert answer.headers["x-amzn-ErrorType"] in KNOWN
        assert answer.headers["Content-Type"] == "application/json"
        assert isinstance(json.loads(answer.body), dict)
    else:
        check_answer(name, answer)


def check_answer(name: str, answer: RawAnswer) -> None:
    """botocore's own parser loses nothing of a success."""
    if answer.stream is not None:  # test_streaming_api reads it
        return
    shape = SERVICE.operation_model(name).output_shape
    if shape is None:
        assert answer.body == b""
        return
    headers = {key.lower(): value for key, value in answer.headers.items()}
    response = {"status_code": answer.status, "headers": headers, "body": answer.body}
    parsed = PARSER.parse(response, shape)
    if name != "Invoke" and answer.body:
        assert set(json.loads(answer.body)) <= set(parsed)
