"""URLs of invoke mode RESPONSE_STREAM: heads, pieces as they come, cuts (aws-contract d)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from klambda_core import errors
from klambda_gateway.instances.streamed import Ending
from klambda_gateway.urls.response import PRELUDE_MAX, PRELUDE_TYPE
from tests.unit.gateway.urls.rig import NONE, Got, Stream, World, host_of

NULS = b"\0" * 8
STREAMING = NONE | {"invokeMode": "RESPONSE_STREAM"}
FAILED = Ending(function_error="Unhandled", details="{}")


def prelude(**members: Any) -> bytes:
    return json.dumps(members).encode() + NULS


async def got(stream: Stream, **more: Any) -> tuple[Got, World]:
    world = World()
    world.invoker.streamed = stream
    answer = await world.get(host_of(world.function(url=STREAMING)), **more)
    assert stream.closed, "whoever got a stream closes it"
    return answer, world


async def test_without_a_prelude_bytes_come_as_they_are() -> None:
    answer, world = await got(Stream(b"a", b"", b"bc", content_type="text/html"))
    assert (answer.status, answer.header("content-type")) == (200, "text/html")
    assert answer.pieces == [b"a", b"bc", b""]
    assert answer.complete
    assert answer.header("content-length") is None
    assert answer.header("x-amzn-requestid")
    assert world.invoker.event["version"] == "2.0"
    bare, _ = await got(Stream(b'{"statusCode": 500}'))
    assert (bare.status, bare.header("content-type")) == (200, "application/octet-stream")
    assert bare.body == b'{"statusCode": 500}', "only a prelude says a status"


@pytest.mark.parametrize("cut", range(1, 60))
async def test_a_prelude_says_the_head_wherever_it_is_cut(cut: int) -> None:
    whole = prelude(
        statusCode=201, headers={"Content-Type": "text/plain", "X-A": "b"}, cookies=["c=1", "d=2"]
    )
    raw = whole + b"body\0\0\0\0\0\0\0\0tail"
    answer, _ = await got(Stream(raw[:cut], raw[cut:], content_type=PRELUDE_TYPE))
    assert answer.status == 201
    assert answer.headers[:4] == [
        ("content-type", "text/plain"), ("x-a", "b"), ("set-cookie", "c=1"), ("set-cookie", "d=2"),
    ]  # fmt: skip
    assert answer.body == b"body\0\0\0\0\0\0\0\0tail"
    assert answer.complete


async def test_an_empty_body_and_one_without_content() -> None:
    answer, _ = await got(Stream(prelude(), content_type=PRELUDE_TYPE))
    assert (answer.status, answer.body, answer.complete) == (200, b"", True)
    empty, _ = await got(Stream(prelude(statusCode=204), b"x", content_type=PRELUDE_TYPE))
    assert (empty.status, empty.body, empty.complete) == (204, b"", True)


@pytest.mark.parametrize(
    "stream",
    [
        Stream(b"{}", function_error="Unhandled", content_type="application/json"),
        Stream(b"no nul bytes", content_type=PRELUDE_TYPE),
        Stream(b"not json" + NULS, content_type=PRELUDE_TYPE),
        Stream(b"[]" + NULS, content_type=PRELUDE_TYPE),
        Stream(b'{"statusCode": 7}' + NULS, content_type=PRELUDE_TYPE),
        Stream(b'{"a":', ending=FAILED, content_type=PRELUDE_TYPE),
        Stream(b" " * (PRELUDE_MAX + 1), b"{}" + NULS, content_type=PRELUDE_TYPE),
        Stream(content_type=PRELUDE_TYPE),
    ],
)
async def test_what_fails_before_the_head_is_a_502(stream: Stream) -> None:
    answer, _ = await got(stream)
    assert (answer.status, answer.body) == (502, b"Internal Server Error")
    assert answer.complete


async def test_what_fails_after_the_head_cuts_the_connection() -> None:
    answer, _ = await got(Stream(b"half", content_type="text/plain", ending=FAILED))
    assert (answer.status, answer.body, answer.complete) == (200, b"half", False)
    begun, _ = await got(Stream(prelude() + b"ha", content_type=PRELUDE_TYPE, ending=FAILED))
    assert (begun.status, begun.body, begun.complete) == (200, b"ha", False)


@pytest.mark.parametrize("before", [b"", b"begun"])
async def test_a_client_who_hangs_up_lets_go_of_the_stream(before: bytes) -> None:
    stream = Stream(before, None, content_type="text/plain" if before else PRELUDE_TYPE)
    answer, _ = await got(stream, gone=stream.waiting.wait)
    assert not answer.complete
    assert answer.body == before


async def test_throttles_and_rules_of_origin_hold_for_streams_too() -> None:
    world = World()
    cors = {"allowOrigins": ["https://a.example"]}
    host = host_of(world.function(url=STREAMING | {"cors": cors}))
    world.invoker.streamed = Stream(b"x")
    asking = [("origin", "https://a.example")]
    answer = await world.get(host, headers=asking)
    assert answer.header("access-control-allow-origin") == "https://a.example"
    world.invoker.error = errors.throttled(errors.REASON_ACCOUNT)
    throttled = await world.get(host, headers=asking)
    assert throttled.status == 429
    assert throttled.header("access-control-allow-origin") == "https://a.example"
