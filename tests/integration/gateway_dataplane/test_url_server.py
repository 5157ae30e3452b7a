"""Function URLs over the real HTTP server, byte by byte: framing, cuts, pipelining, bodies.

Every test runs twice: with the fast lane, and over ASGI alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from klambda_core import limits
from klambda_gateway.bulk import whole
from klambda_gateway.instances.streamed import Ending
from klambda_gateway.wire.lane import Lane
from klambda_gateway.wire.lanes import Lanes
from klambda_gateway.wire.plain import Starts
from klambda_gateway.wire.server import HttpServer
from klambda_gateway.wire.urllane import UrlLane
from tests.integration.gateway_dataplane.lanes import exchange, serving
from tests.integration.gateway_dataplane.rig import until
from tests.unit.gateway.urls.rig import NONE, Stream, World, host_of
from tests.unit.gateway_api import fakes

FAILED = Ending(function_error="Unhandled", details="{}")
INVOKE = "/2015-03-31/functions/area/invocations"


class Way:
    """How requests go."""

    fast = True


@pytest.fixture(autouse=True, params=[True, False], ids=["fast", "asgi"])
def way(request: pytest.FixtureRequest) -> None:
    Way.fast = request.param


@asynccontextmanager
async def url_served(**url: Any) -> AsyncIterator[tuple[World, int, str]]:
    """A world whose URL is served on a port, under this Host."""
    world = World()
    host = host_of(world.function(url=NONE | url))
    lanes = Lanes(
        Lane(fakes.World().services, cast("Starts", None), is_url=world.door.is_url),
        UrlLane(world.door, world.invoker, world),
    )
    server = HttpServer(world.front, port=0, grace_seconds=1, lane=lanes if Way.fast else None)
    async with serving(server):
        yield world, server.port, host


def request(host: str, line: str = "GET / HTTP/1.1", *headers: str, body: bytes = b"") -> bytes:
    lines = [line, f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def split(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.lower(), body


CLOSE = "Connection: close"


async def test_an_answer_is_framed_by_its_length_and_the_connection_stays() -> None:
    async with url_served() as (world, port, host):
        raw = request(host, "GET /a HTTP/1.1") + request(host, "GET /b HTTP/1.1", CLOSE)
        answers = (await exchange(port, raw)).split(b"HTTP/1.1 ")[1:]
        assert [each[:3] for each in answers] == [b"200", b"200"]
        assert all(split(each)[1] == b"ok" for each in answers)
        paths = [json.loads(whole(each.payload))["rawPath"] for each in world.invoker.requests]
        assert paths == ["/a", "/b"]


async def test_the_path_arrives_as_it_was_sent() -> None:
    async with url_served() as (world, port, host):
        target = "/a%20b//..%2F?x=%20&y=+"
        await exchange(port, request(host, f"GET {target} HTTP/1.1", CLOSE))
        event = world.invoker.event
        assert (event["rawPath"], event["rawQueryString"]) == (
            "/a%20b//..%2F",
            "x=%20&y=+",
        )
        assert event["requestContext"]["http"]["path"] == "/a b//../"


async def test_a_path_of_the_apis_is_the_functions_too() -> None:
    async with url_served() as (world, port, host):
        signed = ("Authorization: AWS4-HMAC-SHA256 x", CLOSE)
        await exchange(port, request(host, f"POST {INVOKE} HTTP/1.1", *signed, body=b"{}"))
        assert world.invoker.event["rawPath"] == INVOKE
        await exchange(port, request("127.0.0.1", f"GET {INVOKE} HTTP/1.1", CLOSE))
        assert world.passed_on == [INVOKE]


@pytest.mark.parametrize(
    ("line", "returns", "status", "length", "body"),
    [
        ("HEAD / HTTP/1.1", {"statusCode": 200, "body": "ok"}, b"200", b"content-length: 2", b""),
        ("GET / HTTP/1.1", {"statusCode": 204, "body": "x"}, b"204", None, b""),
        ("GET / HTTP/1.1", {"statusCode": 304}, b"304", None, b""),
        ("GET / HTTP/1.0", {"statusCode": 200, "body": "ok"}, b"200", b"content-length: 2", b"ok"),
        ("DELETE / HTTP/1.1", {"statusCode": 200}, b"200", b"content-length: 0", b""),
    ],
)
async def test_answers_with_and_without_bodies(
    line: str, returns: dict[str, object], status: bytes, length: bytes | None, body: bytes
) -> None:
    async with url_served() as (world, port, host):
        world.invoker.returns = returns
        head, found = split(await exchange(port, request(host, line, CLOSE)))
        assert head.startswith(b"http/1.1 " + status)
        assert found == body
        assert b"transfer-encoding" not in head
        assert (length in head) if length else (b"content-length" not in head)


CORS = {
    "allowOrigins": ["https://app.example"], "allowMethods": ["PUT"], "allowHeaders": ["x-a"],
    "exposeHeaders": ["x-b"], "maxAge": 60, "allowCredentials": True,
}  # fmt: skip
ORIGIN = "Origin: https://app.example"


async def test_browsers_are_answered_for_the_function() -> None:
    async with url_served(cors=CORS) as (world, port, host):
        world.invoker.returns = {"statusCode": 200, "headers": {"X-B": "1"}, "body": "ok"}

        async def asked(line: str, *headers: str) -> tuple[list[bytes], bytes]:
            head, body = split(await exchange(port, request(host, line, *headers, CLOSE)))
            return head.split(b"\r\n"), body

        question = (ORIGIN, "Access-Control-Request-Method: PUT")
        may_a = "Access-Control-Request-Headers: X-A"
        head, body = await asked("OPTIONS /x HTTP/1.1", *question, may_a)
        assert (head[0], body) == (b"http/1.1 200 ok", b"")
        assert {
            b"content-type: application/json",
            b"content-length: 0",
            b"vary: origin",
            b"access-control-allow-origin: https://app.example",
            b"access-control-allow-methods: put",
            b"access-control-allow-headers: x-a",
            b"access-control-max-age: 60",
            b"access-control-allow-credentials: true",
        } <= set(head)
        head, _ = await asked("OPTIONS / HTTP/1.1", *question, f"{may_a}, X-C")
        assert not [each for each in head if each.startswith(b"access-control")]
        assert world.invoker.requests == []

        head, body = await asked("PUT / HTTP/1.1", ORIGIN)
        assert body == b"ok"
        assert [each for each in head if each.startswith((b"access-control", b"vary"))] == [
            b"vary: origin",
            b"access-control-allow-origin: https://app.example",
            b"access-control-expose-headers: x-b",
            b"access-control-allow-credentials: true",
        ]
        head, _ = await asked("GET / HTTP/1.1", "Origin: https://evil.example")
        assert not [each for each in head if each.startswith(b"access-control")]
        head, _ = await asked("OPTIONS / HTTP/1.1", ORIGIN)
        assert len(world.invoker.requests) == 3, "no question: the function's own"


async def test_a_stream_is_chunked_and_ends_only_when_it_is_whole() -> None:
    async with url_served(invokeMode="RESPONSE_STREAM") as (world, port, host):
        world.invoker.streamed = Stream(b"one", b"two")
        head, body = split(await exchange(port, request(host)))
        assert b"transfer-encoding: chunked" in head
        assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n<nothing more>"
        world.invoker.streamed = Stream(b"one", ending=FAILED)
        _, cut = split(await exchange(port, request(host)))
        assert cut == b"3\r\none\r\n", "closed, without a last chunk"


async def test_a_client_who_goes_lets_go_of_the_stream() -> None:
    async with url_served(invokeMode="RESPONSE_STREAM") as (world, port, host):
        world.invoker.streamed = stream = Stream(b"one", None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(host))
        await reader.readuntil(b"one\r\n")
        writer.transport.abort()
        await until(lambda: stream.closed)


async def test_a_body_that_is_too_large_is_answered() -> None:
    async with url_served() as (world, port, host):
        large = b"x" * (limits.PAYLOAD_SYNC_MAX + 1)
        head, body = split(await exchange(port, request(host, "POST / HTTP/1.1", body=large)))
        assert head.startswith(b"http/1.1 413")
        assert body.startswith(b'{"Message":"Request must be smaller than 6291456 bytes')
        assert world.invoker.requests == []
        continuing = request(host, "POST / HTTP/1.1", "Expect: 100-continue", CLOSE, body=b"{}")
        answer = await exchange(port, continuing, [len(continuing) - 2])
        assert b"200 OK" in answer
        assert world.invoker.event["body"] == "e30="
