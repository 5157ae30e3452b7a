"""The queue of a function's events over HTTP: shown, paused, redriven (docs/operations.md)."""

from __future__ import annotations

import json
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from klambda_core.events import QueueStats
from klambda_gateway.events.client import StoreAway
from tests.unit.gateway_api.fakes import ACCOUNT, KEY_ID, REGION, SECRET, World, raw_request
from tests.unit.gateway_api.test_configuration_api import create

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"
PREFIX = "http://klambda.test:8080/klambda/v1/async-queues/"
EMPTY = {"FunctionArn": ARN, "Paused": False, "Depth": 0, "OldestEventAgeInSeconds": 0}


@pytest.fixture
def world() -> World:
    made = World()
    create(made.client())
    return made


def ask(world: World, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    request: Any = botocore.awsrequest.AWSRequest(method, PREFIX + path, data=body)
    credentials = botocore.credentials.Credentials(KEY_ID, SECRET)
    botocore.auth.SigV4Auth(credentials, "lambda", REGION).add_auth(request)
    answer = world.send(raw_request(request.prepare()))
    document: dict[str, Any] = json.loads(answer.body)
    return answer.status, document


def spec(world: World) -> dict[str, Any]:
    (found,) = (each for each in world.kube.objects.values() if each["kind"] == "Function")
    given: dict[str, Any] = found["spec"]
    return given


def test_a_queue_is_shown(world: World) -> None:
    assert ask(world, "GET", "area") == (200, EMPTY)
    (function,) = (each for each in world.kube.objects.values() if each["kind"] == "Function")
    world.events.queues = [
        QueueStats(namespace="n", function="f", function_uid="x", depth=9, oldest_age=1),
        QueueStats(
            namespace="default", function="area", function_uid=function["metadata"]["uid"],
            depth=3, oldest_age=61.7,
        ),
    ]  # fmt: skip
    shown = {**EMPTY, "Depth": 3, "OldestEventAgeInSeconds": 61}
    assert ask(world, "GET", "area") == (200, shown)


def test_a_pause_is_a_setting_of_the_function(world: World) -> None:
    for _ in range(2):
        assert ask(world, "PUT", "area", b'{"Paused": true}') == (200, {**EMPTY, "Paused": True})
        assert spec(world)["asyncPaused"] is True
    assert ask(world, "PUT", "area", b'{"Paused": false}') == (200, EMPTY)
    assert "asyncPaused" not in spec(world)


def test_what_failed_is_taken_up_again(world: World) -> None:
    assert ask(world, "POST", "area/redrive") == (200, {"Redriven": 7})
    assert len(world.events.redriven) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "area", b"", 400),
        ("PUT", "area", b"[]", 400),
        ("PUT", "area", b'{"Paused": 1}', 400),
        ("PUT", "area", b'{"Paused": true}' + b" " * 2000, 400),
        ("PUT", "area", b"[" * 1000, 400),
        ("GET", "nobody", b"", 404),
        ("POST", "nobody/redrive", b"", 404),
        ("POST", "area", b"", 404),
        ("GET", "area/redrive", b"", 404),
        ("DELETE", "area", b"", 404),
        ("GET", "a~b", b"", 400),
        ("GET", "", b"", 400),
    ],
)
def test_what_is_wrong_is_refused(
    world: World, method: str, path: str, body: bytes, status: int
) -> None:
    assert ask(world, method, path, body)[0] == status
    assert world.events.redriven == []
    assert "asyncPaused" not in spec(world)


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "area", "lambda:GetFunctionEventInvokeConfig"),
        ("PUT", "area", "lambda:PutFunctionEventInvokeConfig"),
        ("POST", "area/redrive", "lambda:InvokeFunction"),
    ],
)
def test_each_needs_its_right(world: World, method: str, path: str, action: str) -> None:
    world.rights.taken = {action}
    assert ask(world, method, path, b'{"Paused": true}')[0] == 403
    assert (action, ARN) in world.rights.asked
    assert world.events.redriven == []


def test_without_the_store_a_pause_counts_all_the_same(world: World) -> None:
    world.events.problem = StoreAway("x")
    assert ask(world, "PUT", "area", b'{"Paused": true}')[0] == 503
    assert spec(world)["asyncPaused"] is True
    assert ask(world, "POST", "area/redrive")[0] == 503
