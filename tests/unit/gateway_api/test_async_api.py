"""Asynchronous invocation over HTTP: 202 when it is on the disk, and only then (aws-contract b)."""

from __future__ import annotations

import json
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from klambda_core import errors
from klambda_core.events import Delivery, Record, Response
from klambda_gateway.events.client import StoreAway, StoreFull
from tests.support.events import event
from tests.unit.gateway_api.fakes import ACCOUNT, KEY_ID, REGION, SECRET, World, raw_request
from tests.unit.gateway_api.test_operations_api import refusal

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Any:
    return world.client()


def test_an_event_is_kept_and_answered_with_its_id(world: World, client: Any) -> None:
    answer = client.invoke(
        FunctionName="area", Qualifier="live", InvocationType="Event", Payload=b'{"a":1}'
    )
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    assert world.last is not None
    names = {name.lower() for name in world.last.headers}
    # a recorded answer of 2021 has these three, date, content-length and connection
    assert names == {"x-amzn-requestid", "x-amzn-trace-id", "x-amzn-remapped-content-length"}
    (kept,) = world.events.events
    assert kept.id == answer["ResponseMetadata"]["RequestId"]
    assert (kept.namespace, kept.function, kept.function_uid) == ("default", "area", "uid-area")
    assert (kept.qualifier, kept.arn) == ("live", f"{ARN}:live")
    assert kept.payload == b'{"a":1}'
    assert kept.trace == answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-trace-id"]
    assert world.invoker.requests == [], "nobody waits for the run"


def test_the_callers_trace_goes_on(world: World, client: Any) -> None:
    client.meta.events.register(
        "before-sign",
        lambda request, **_: request.headers.add_header("X-Amzn-Trace-Id", "Root=1-2"),
    )
    client.invoke(FunctionName="area", InvocationType="Event")
    (kept,) = world.events.events
    assert kept.trace == "Root=1-2"
    assert kept.payload == b"{}", "an empty body is the event {}"
    assert kept.arn == ARN, "unqualified, as asked for"


def test_invoke_async_is_the_same_in_old_words(world: World, client: Any) -> None:
    answer = client.invoke_async(FunctionName="area", InvokeArgs=b"[1]")
    assert answer["Status"] == 202
    (kept,) = world.events.events
    assert (kept.id, kept.payload) == (answer["ResponseMetadata"]["RequestId"], b"[1]")


@pytest.mark.parametrize("size", [0, 16 << 10, (16 << 10) + 1, 1 << 20])
def test_events_up_to_a_megabyte(world: World, client: Any, size: int) -> None:
    body = b'"' + b"x" * (size - 2) + b'"' if size else b"1"
    client.invoke(FunctionName="area", InvocationType="Event", Payload=body)
    assert world.events.events[0].payload == body


@pytest.mark.parametrize(
    "body", [b"{", b"NaN", b"[" + b"1," * 20_000, b'["' + b"x" * 20_000, b"\xff\xfe", b"1 2"]
)
def test_what_is_not_json_is_refused_before_the_202(world: World, client: Any, body: bytes) -> None:
    status, code, text = refusal(
        world, client.invoke, FunctionName="area", InvocationType="Event", Payload=body
    )
    assert (status, code) == (400, "InvalidRequestContentException")
    assert text.startswith(
        "Could not parse request body into json: Could not parse payload into json: "
    )
    assert world.events.events == []


def test_invoke_async_takes_256_kb(world: World, client: Any) -> None:
    body = b'"' + b"x" * ((256 << 10) - 2) + b'"'
    client.invoke_async(FunctionName="area", InvokeArgs=body)
    found = refusal(world, client.invoke_async, FunctionName="area", InvokeArgs=body + b" ")
    assert found == (
        413,
        "RequestEntityTooLargeException",
        "262145 byte payload is too large for the Event invocation type (limit 262144 bytes)",
    )


def test_an_unknown_function_is_404_before_anything_is_kept(world: World, client: Any) -> None:
    async def missing(*_: Any) -> Any:
        raise errors.function_not_found(f"{ARN}:$LATEST")

    world.invoker.resolve = missing  # type: ignore[method-assign,assignment]
    found = refusal(world, client.invoke, FunctionName="area", InvocationType="Event")
    assert found == (
        404, "ResourceNotFoundException", f"Function not found: {ARN}:$LATEST"
    )  # fmt: skip
    assert world.events.events == []


@pytest.mark.parametrize("problem", [StoreAway("x"), StoreFull("x")])
def test_no_202_without_a_disk(world: World, client: Any, problem: Exception) -> None:
    world.events.problem = problem
    status, code, _ = refusal(world, client.invoke, FunctionName="area", InvocationType="Event")
    assert (status, code) == (503, "ServiceUnavailableException")


# --- looking an invocation up ---------------------------------------------------------------------

PREFIX = "http://klambda.test:8080/klambda/v1/async-invocations/"


def look(world: World, event_id: str, *, method: str = "GET") -> tuple[int, dict[str, Any]]:
    request: Any = botocore.awsrequest.AWSRequest(method, PREFIX + event_id)
    credentials = botocore.credentials.Credentials(KEY_ID, SECRET)
    botocore.auth.SigV4Auth(credentials, "lambda", REGION).add_auth(request)
    answer = world.send(raw_request(request.prepare()))
    document: dict[str, Any] = json.loads(answer.body)
    return answer.status, document


def record(**members: Any) -> Record:
    values: dict[str, Any] = {
        "event": event("area", arn=ARN),
        "state": "queued",
        "received_at": 1_790_000_000.0,
        "due_at": 1_790_000_060.5,
        "settled_at": None,
        "leased": False,
        "attempts": 1,
        "backoffs": 0,
        "leases": 1,
        "condition": None,
        "error": "no",
        "response": None,
        "pending": (),
    }
    return Record(**(values | members))


def kept(world: World, found: Record, namespace: str = "default") -> str:
    world.events.records[namespace, found.event.id] = found
    return found.event.id


def test_an_event_that_waits_for_its_retry(world: World) -> None:
    event_id = kept(world, record())
    assert look(world, event_id) == (
        200,
        {
            "RequestId": event_id,
            "FunctionArn": f"{ARN}:$LATEST",
            "State": "Queued",
            "ReceivedAt": "2026-09-21T14:13:20.000+00:00",
            "NextAttemptAt": "2026-09-21T14:14:20.500+00:00",
            "Attempts": 1,
            "Leases": 1,
            "LastError": "no",
        },
    )


def test_an_event_that_runs(world: World) -> None:
    status, shown = look(world, kept(world, record(leased=True)))
    assert (status, shown["State"]) == (200, "Running")
    assert "NextAttemptAt" not in shown


def test_an_event_that_is_over(world: World) -> None:
    answer = Response(
        status_code=200, executed_version="3", function_error="Unhandled", payload=b'{"a":1}'
    )
    over = record(
        event=event("area", arn=f"{ARN}:live", qualifier="live"),
        state="undelivered",
        settled_at=1_790_000_001.0,
        condition="RetriesExhausted",
        response=answer,
        pending=(Delivery(kind="on-failure", target="arn:q"),),
    )
    _, shown = look(world, kept(world, over))
    assert shown["FunctionArn"] == f"{ARN}:live"
    assert (shown["State"], shown["Condition"]) == ("Undelivered", "RetriesExhausted")
    assert (shown["ExecutedVersion"], shown["FunctionError"]) == ("3", "Unhandled")
    assert shown["ResponsePayload"] == {"a": 1}
    assert shown["PendingDeliveries"] == [{"Kind": "on-failure", "Target": "arn:q"}]
    assert shown["SettledAt"] == "2026-09-21T14:13:21.000+00:00"


def test_what_is_not_the_callers_is_unknown(world: World) -> None:
    event_id = kept(world, record(), namespace="other")
    for each in (event_id, "nonsense", "../../x", ""):
        status, shown = look(world, each)
        assert (status, shown["Type"]) == (404, "User")
    assert look(world, kept(world, record()), method="DELETE")[0] == 404
    world.events.problem = StoreAway("x")
    assert look(world, event_id)[0] == 503
