"""The Runtime API, call by call (reference §g.1)."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest

from tests.support.instance_peer import DATA, END, HEAD, assignment

from .conftest import Launch

RAW = (Path(__file__).parent / "raw_runtime.py").read_text()
BOOTSTRAP = f"#!{sys.executable}\n{RAW}"
WRONG_ID = [400, {"errorMessage": "Invalid request ID", "errorType": "InvalidRequestID"}]


def transition(start: str, target: str) -> list[object]:
    text = f"State transition from {start} to {target} failed for runtime. "
    text += "Error: State transition is not allowed"
    return [403, {"errorMessage": text, "errorType": "InvalidStateTransition"}]


async def test_calls_that_do_not_fit(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    assert (await running.connection.invoke({"do": "odd"})).json == "fine"
    wrong, wrong_error, init, ping, nothing, again, truncated, fine, twice, error = (
        await running.connection.invoke({"do": "notes"})
    ).json
    assert wrong == wrong_error == WRONG_ID
    assert init == transition("Running", "InitError")
    assert ping == [200, "pong"]
    assert nothing == [404]
    assert again is True, "a second /next gets the same event"
    assert "TruncatedHTTPRequest" in truncated
    assert fine == [202, {"status": "OK"}]
    assert twice == error == transition("ResponseSent", "InvocationResponse")


async def test_the_headers_of_an_event(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP, timeout=9)
    headers = (await running.connection.invoke({"do": "headers"}, requestId="r-1")).json
    assert headers.pop("Lambda-Runtime-Deadline-Ms").isdigit()
    assert headers.pop("Content-Length").isdigit()
    headers.pop("Date")
    assert headers == {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": "r-1",
        "Lambda-Runtime-Invoked-Function-Arn": assignment(b"")["functionArn"],
    }, "headers without a value are left out"


async def test_bodies_in_chunks_and_bytes(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    assert (await running.connection.invoke({"do": "chunked"})).body == b'"abc"'
    outcome = await running.connection.invoke({"do": "bytes"})
    assert outcome.body == bytes(range(256))
    assert outcome.head is not None
    assert outcome.head["contentType"] == "application/octet-stream"


async def test_a_wrong_response_mode(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    event = {"do": "mode", "header": "Lambda-Runtime-Function-Response-Mode", "value": "odd"}
    outcome = await running.connection.invoke(event)
    assert outcome.json["errorType"] == "Runtime.InvalidResponseModeHeader"
    status, body = (await running.connection.invoke({"do": "notes"})).json
    assert (status, body["errorType"]) == (400, "InvalidFunctionResponseMode")


async def test_an_error_with_a_cause_of_a_megabyte(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    outcome = await running.connection.invoke({"do": "cause"})
    assert outcome.json == {"errorMessage": "m"}
    assert outcome.end is not None
    assert outcome.end["errorType"] == "Function.Mine"
    assert (await running.connection.invoke({"do": "notes"})).json == [202, {"status": "OK"}]


async def test_an_init_error_is_the_answer(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP, environment={"INIT_ERROR": "1"})
    outcome = await running.connection.invoke()
    assert outcome.json == {"errorMessage": "m"}
    assert outcome.end is not None
    assert outcome.end["errorType"] == "Runtime.Odd"


async def test_a_stream_goes_out_as_it_comes(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    event = b'{"do": "stream", "pieces": ["one", "two"]}'
    attempt, queue = running.connection.start(event, mode="streaming")
    outcome = await running.connection.collect(attempt, queue, 10)
    assert outcome.head == {
        "attempt": attempt,
        "mode": "streaming",
        "contentType": "text/plain",
        "credit": True,
    }
    assert outcome.body == b"onetwo"
    assert outcome.end is not None
    assert outcome.end["status"] == "success"
    assert outcome.end["bytesOut"] == 6


@pytest.mark.parametrize("mode", ["streaming", "buffered"])
async def test_an_error_at_the_end_of_a_stream(launch: Launch, mode: str) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    details = '{"errorMessage":"late"}'
    trailers = {
        "Lambda-Runtime-Function-Error-Type": "Function.Late",
        "Lambda-Runtime-Function-Error-Body": base64.b64encode(details.encode()).decode(),
    }
    event = {"do": "stream", "pieces": ["part"], "trailers": trailers}
    outcome = await running.connection.invoke(event, mode=mode)
    assert outcome.end is not None
    assert outcome.end["status"] == "error"
    assert outcome.end["errorType"] == "Function.Late"
    if mode == "streaming":
        assert outcome.body == b"part"
        assert outcome.last == {
            "attempt": outcome.attempt,
            "last": True,
            "functionError": "Unhandled",
            "errorType": "Function.Late",
            "errorDetails": details,
        }
    else:
        assert outcome.body == details.encode()
        assert outcome.head is not None
        assert outcome.head["functionError"] == "Unhandled"


async def test_frames_of_a_stream_come_in_order(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    event = b'{"do": "stream", "pieces": ["x"]}'
    _, queue = running.connection.start(event, mode="streaming")
    kinds = [(await queue.get()).type for _ in range(5)]
    assert kinds[1] == HEAD
    assert kinds[2:] == [DATA, DATA, END], "one piece, then the last, empty one"
