"""InvokeWithResponseStream: the encoding against botocore's parser, the operation against boto3."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import botocore.eventstream
import botocore.exceptions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core.errors import REASON_RESERVED, throttled
from klambda_gateway.api import eventstream
from klambda_gateway.api.app import build_app
from klambda_gateway.instances.streamed import Ending
from klambda_gateway.invoke.model import InvokeRequest
from tests.unit.gateway_api.fakes import FakeStream, World


def parsed(data: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """Read messages as AWS's own client does, CRCs included."""
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(data)
    return [(event.headers, event.payload) for event in buffer]


def heads(kind: str, content: str) -> dict[str, str]:
    return {":event-type": kind, ":content-type": content, ":message-type": "event"}


@pytest.mark.parametrize(
    ("data", "kind", "content", "payload"),
    [
        (eventstream.payload_chunk(b""), "PayloadChunk", "application/octet-stream", b""),
        (eventstream.payload_chunk(b"\0\xff"), "PayloadChunk", "application/octet-stream",
         b"\0\xff"),
        (eventstream.invoke_complete(), "InvokeComplete", "application/json", b"{}"),
        (eventstream.invoke_complete(error_code="Unhandled", error_details='{"a":"\u00e9"}'),
         "InvokeComplete", "application/json",
         b'{"ErrorCode":"Unhandled","ErrorDetails":"{\\"a\\":\\"\\u00e9\\"}"}'),
        (eventstream.invoke_complete(log_result=""), "InvokeComplete", "application/json",
         b'{"LogResult":""}'),
    ],
)  # fmt: skip
def test_messages_as_botocore_reads_them(
    data: bytes, kind: str, content: str, payload: bytes
) -> None:
    assert parsed(data) == [(heads(kind, content), payload)]


@given(st.lists(st.binary(max_size=200), max_size=8))
def test_any_pieces_come_out_as_they_went_in(pieces: list[bytes]) -> None:
    data = b"".join(eventstream.payload_chunk(piece) for piece in pieces)
    assert [payload for _, payload in parsed(data)] == pieces


@given(st.binary(min_size=1, max_size=64), st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_byte_is_noticed(piece: bytes, at: int, change: int) -> None:
    data = bytearray(eventstream.payload_chunk(piece))
    data[at % len(data)] ^= change
    try:
        assert not parsed(bytes(data)), "a longer length than there are bytes: it waits for more"
    except (botocore.eventstream.ChecksumMismatch, botocore.eventstream.InvalidPayloadLength):
        pass
    except botocore.eventstream.InvalidHeadersLength:
        pass


def events(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return list(answer["EventStream"])


def test_pieces_then_a_complete_without_members(world: World, client: Any) -> None:
    answer = client.invoke_with_response_stream(
        FunctionName="area", Qualifier="live", Payload=b'{"a":1}'
    )
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    assert events(answer) == [
        {"PayloadChunk": {"Payload": b"o"}},
        {"PayloadChunk": {"Payload": b"k"}},
        {"InvokeComplete": {}},
    ]
    assert world.invoker.streamed.closed
    (request,) = world.invoker.requests
    assert (request.qualifier, request.payload) == ("live", b'{"a":1}')
    assert request.request_id == answer["ResponseMetadata"]["RequestId"]
    assert world.last is not None
    assert world.last.headers["X-Amzn-Trace-Id"] == request.trace_id


def test_an_error_after_the_head_and_the_log(world: World, client: Any) -> None:
    ending = Ending(function_error="Unhandled", details='{"errorType":"E"}', log_tail=b"END\n")
    world.invoker.streamed = FakeStream(b"part", ending=ending)
    answer = client.invoke_with_response_stream(FunctionName="area", LogType="Tail")
    assert events(answer)[1:] == [
        {
            "InvokeComplete": {
                "ErrorCode": "Unhandled",
                "ErrorDetails": '{"errorType":"E"}',
                "LogResult": base64.b64encode(b"END\n").decode(),
            }
        }
    ]
    assert world.invoker.requests[0].log_tail


@pytest.mark.parametrize(
    ("members", "status", "code"),
    [
        ({"Payload": b" " * 6291457}, 413, "RequestEntityTooLargeException"),
        ({"InvocationType": "Event"}, 400, "ValidationException"),
        ({"ClientContext": "W10="}, 400, "InvalidRequestContentException"),
    ],
)
def test_what_is_wrong_before_the_head_keeps_its_status(
    world: World, client: Any, members: dict[str, Any], status: int, code: str
) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        client.invoke_with_response_stream(FunctionName="area", **members)
    error = raised.value.response
    assert (error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]) == (status, code)
    assert world.invoker.requests == []


def test_a_throttle_is_a_429(world: World, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(_: InvokeRequest) -> FakeStream:
        raise throttled(REASON_RESERVED)

    monkeypatch.setattr(world.invoker, "stream", full)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke_with_response_stream(FunctionName="area")


def test_a_dry_run_answers_204(client: Any) -> None:
    answer = client.invoke_with_response_stream(FunctionName="area", InvocationType="DryRun")
    assert answer["StatusCode"] == 204


class Endless(FakeStream):
    """Pieces for as long as somebody takes them."""

    async def pieces(self) -> Any:
        while True:
            await asyncio.sleep(0)
            yield b"more"


async def test_a_client_that_hangs_up_closes_the_stream() -> None:
    world = World()
    requests: list[Any] = []
    send_before = world.send

    def record(request: Any) -> Any:
        requests.append(request)
        return send_before(request)

    world.send = record  # type: ignore[method-assign]
    await asyncio.to_thread(lambda: world.client().invoke_with_response_stream(FunctionName="area"))
    raw = requests[0]
    world.invoker.streamed = endless = Endless()
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": raw.body}]
    enough = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) > 5:
            enough.set()

    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": raw.signable.path.decode(), "raw_path": raw.signable.path,
        "query_string": raw.signable.query, "headers": list(raw.signable.headers),
        "server": ("klambda.test", 8080), "client": ("127.0.0.1", 1),
        "asgi": {"version": "3.0", "spec_version": "2.3"},
    }  # fmt: skip
    async with asyncio.timeout(10):
        await build_app(world.services)(scope, receive, send)
    assert endless.closed
    assert sent[0]["status"] == 200
