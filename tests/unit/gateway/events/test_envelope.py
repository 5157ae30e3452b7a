"""What destinations and dead-letter queues are told, byte for byte (aws-contract c)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from klambda_core.events import Response
from klambda_gateway.events.envelope import (
    Outcome,
    cloud_event_headers,
    dead_letter_attributes,
    error_text,
    record,
)
from tests.support.events import event

NOW = datetime(2019, 11, 14, 18, 16, 5, 568_000, tzinfo=UTC)
ARN = "arn:aws:lambda:us-east-1:123456789012:function:f"
OK = Response(
    status_code=200, executed_version="$LATEST", function_error=None, payload=b'{"a": 1.0}'
)
FAILED = Response(
    status_code=200,
    executed_version="3",
    function_error="Unhandled",
    payload=b'{"errorMessage":"no","errorType":"ValueError"}',
)


def outcome(condition: str = "Success", **members: Any) -> Outcome:
    values: dict[str, Any] = {
        "event": event(id="the-id", payload=b'{"n":  1}'),
        "condition": condition,
        "attempts": 1,
        "response": OK,
        "error": None,
        "now": NOW,
    }
    return Outcome(**(values | members))


def test_a_success() -> None:
    assert record(outcome()) == (
        b'{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z",'
        b'"requestContext":{"requestId":"the-id","functionArn":"' + ARN.encode() + b':$LATEST",'
        b'"condition":"Success","approximateInvokeCount":1},'
        b'"requestPayload":{"n":  1},'
        b'"responseContext":{"statusCode":200,"executedVersion":"$LATEST"},'
        b'"responsePayload":{"a": 1.0}}'
    )


def test_a_failure_names_the_error_and_the_qualifier() -> None:
    aliased = event(id="x", qualifier="live", arn=f"{ARN}:live")
    told = json.loads(
        record(outcome("RetriesExhausted", event=aliased, attempts=3, response=FAILED))
    )
    assert told["requestContext"] == {
        "requestId": "x",
        "functionArn": f"{ARN}:live",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    }
    assert told["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "3",
        "functionError": "Unhandled",
    }
    assert told["responsePayload"] == {"errorMessage": "no", "errorType": "ValueError"}


def test_what_never_ran_has_no_response() -> None:
    told = json.loads(record(outcome("ZeroReservedConcurrency", attempts=0, response=None)))
    assert set(told) == {"version", "timestamp", "requestContext", "requestPayload"}
    assert told["requestContext"]["approximateInvokeCount"] == 0


@pytest.mark.parametrize(
    ("payload", "shown"), [(b"", None), (b"not json", "not json"), (b'"s"', "s"), (b"1", 1)]
)
def test_any_response_makes_good_json(payload: bytes, shown: object) -> None:
    answer = Response(status_code=200, executed_version="1", function_error=None, payload=payload)
    assert json.loads(record(outcome(response=answer)))["responsePayload"] == shown


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ({"response": FAILED, "error": "no"}, "200", "no"),
        ({"response": None, "error": "TooManyRequestsException: Rate Exceeded."}, "429",
         "TooManyRequestsException: Rate Exceeded."),
        ({"response": None, "error": "ServiceException: x"}, "500", "ServiceException: x"),
        ({"response": None, "error": None}, "429", "ZeroReservedConcurrency"),
        ({"response": FAILED, "error": "é" * 2000}, "200", "é" * 512),
    ],
)  # fmt: skip
def test_a_dead_letters_attributes(members: dict[str, Any], code: str, message: str) -> None:
    assert dead_letter_attributes(outcome("ZeroReservedConcurrency", **members)) == {
        "RequestID": ("String", "the-id"),
        "ErrorCode": ("Number", code),
        "ErrorMessage": ("String", message),
    }


def test_a_cloud_event() -> None:
    headers = cloud_event_headers(outcome())
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "the-id",
        "ce-source": f"{ARN}:$LATEST",
        "ce-type": "io.klambda.invocation.success",
        "ce-time": "2019-11-14T18:16:05.568Z",
        "Content-Type": "application/json",
    }
    assert cloud_event_headers(outcome("RetriesExhausted"))["ce-type"].endswith(".failure")


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (FAILED.payload, "no"),
        (b"plain", "plain"),
        (b'{"errorMessage":1}', '{"errorMessage":1}'),
        (b"[1]", "[1]"),
        # what a database or a queue would not take
        (b'{"errorMessage":"a\\u0000b\\ud800c\\n"}', "a\ufffdb\ufffdc\n"),
        (b"\xff\x00", "\ufffd\ufffd"),
    ],
)
def test_the_words_of_an_error(payload: bytes, text: str) -> None:
    assert error_text(payload) == text
