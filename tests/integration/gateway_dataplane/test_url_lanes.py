"""The two lanes of function URLs hold to one another: the same bytes in, the same bytes out.

Both servers stand before one door; ids and the clock stand still. What the function would have been
given must be the same, too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.bulk import whole
from klambda_gateway.wire.lane import Lane
from klambda_gateway.wire.lanes import Lanes
from klambda_gateway.wire.plain import Starts
from klambda_gateway.wire.server import HttpServer
from klambda_gateway.wire.urllane import BODY_MAX, UrlLane
from tests.integration.gateway_dataplane.lanes import dateless, exchange, serving
from tests.integration.gateway_dataplane.rig import until
from tests.unit.gateway.urls.rig import IAM, NONE, World, host_of, signed
from tests.unit.gateway_api import fakes

TRACE = "X-Amzn-Trace-Id: Root=1-67891233-abcdef012345678912345678"
CORS = {
    "allowOrigins": ["https://app.example"], "allowMethods": ["*"], "exposeHeaders": ["x-b"],
    "allowCredentials": True,
}  # fmt: skip
STATEMENT = {
    "sid": "s", "effect": "Allow", "principal": {"aws": "222222222222"},
    "action": "lambda:InvokeFunctionUrl", "functionUrlAuthType": "AWS_IAM",
}  # fmt: skip
RETURNS: tuple[Any, ...] = (
    {"statusCode": 200, "body": "ok"},
    {"statusCode": 201, "headers": {"X-B": "ä", "Content-Type": "text/plain", "Date": "x"}},
    {"statusCode": 204, "body": "dropped"},
    {"statusCode": 304},
    {"statusCode": "418", "cookies": ["a=1", "b=2; Path=/"]},
    {"statusCode": 200, "body": "AAEC", "isBase64Encoded": True},
    {"statusCode": 99},
    {"statusCode": 200, "headers": {"bad name": "x"}},
    {"statusCode": 200, "headers": {"access-control-allow-origin": "*"}, "body": {"a": 1}},
    {"no": "status"}, "text ä", None, [], 7, b"NaN", b"not JSON",
    {"statusCode": 200, "body": "x" * 70_000},
)  # fmt: skip
FAILURES: tuple[LambdaError, ...] = (
    errors.unavailable("no room"),
    errors.throttled("ReservedFunctionConcurrentInvocationLimitExceeded"),
    errors.request_too_big(6 << 20, "InvokeFunction"),
)


@dataclass
class Both:
    """One world behind two servers."""

    world: World
    fast: HttpServer
    slow: HttpServer
    taken: list[int] = field(default_factory=list)

    async def same(self, raw: bytes) -> bytes:
        """Send to both; return the answer, which is the same."""
        heard = self.world.invoker.requests
        found: list[tuple[bytes, list[bytes]]] = []
        for server in (self.fast, self.slow):
            heard.clear()
            answer = dateless(await exchange(server.port, raw))
            found.append((answer, [whole(each.payload) for each in heard]))
        assert found[0] == found[1], raw
        return found[0][0]


@asynccontextmanager
async def both(**spec: Any) -> AsyncIterator[tuple[Both, str]]:
    world = World()
    host = host_of(world.function(**spec))
    taken: list[int] = []
    urls = UrlLane(world.door, world.invoker, world, count=lambda: taken.append(1))
    lanes = Lanes(
        Lane(fakes.World().services, cast("Starts", None), is_url=world.door.is_url), urls
    )
    fast = HttpServer(world.front, port=0, grace_seconds=1, lane=lanes)
    slow = HttpServer(world.front, port=0, grace_seconds=1)
    async with serving(fast, slow):
        yield Both(world, fast, slow, taken), host


def raw_of(line: str, headers: list[str], body: bytes) -> bytes:
    return "\r\n".join([line, *headers, "Connection: close", "", ""]).encode() + body


TARGETS = st.sampled_from((
    "/", "/a/b", "/a%20b//c", "//double", "/?", "/x?a=1&a=2&b=%C3%A4", "/x??", "/x?%ff", "/%zz",
    "/2015-03-31/functions/area/invocations", "/_url/elsewhere/x", "/a?b#c", "*", "/|", "/ä",
))  # fmt: skip
HEADERS = st.lists(
    st.sampled_from((
        "Cookie: a=1; b=2", "Cookie: c=3", "X-A: 1", "x-a: 2", "Content-Type: application/json",
        "Content-Type: text/plain; charset=utf-8", "Origin: https://app.example", "Origin: null",
        "Expect: 100-continue", "Upgrade: websocket", "X-Forwarded-For: 9.9.9.9", "TE: trailers",
        "User-Agent: t/1", "Access-Control-Request-Method: PUT", "Keep-Alive: 5",
    )),
    max_size=5,
)  # fmt: skip
BODIES = st.one_of(
    st.none(), st.binary(max_size=40), st.just(b'{"a": "\xc3\xa4"}'),
    st.sampled_from((BODY_MAX - 1, BODY_MAX, BODY_MAX + 1)).map(lambda n: b"z" * n),
)  # fmt: skip
SIGNERS = st.sampled_from((None, "AKIAOWN", "AKIAOTHER", "wrong", "service", "unsigned"))


CONFIGS = (NONE, IAM, NONE | {"cors": CORS}, {"authType": "NONE", "public": False})


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[asyncio.Runner, Both, str]]:
    """Both servers, in a loop of their own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        context = both(url=NONE)
        two, host = runner.run(context.__aenter__())
        yield runner, two, host
        runner.run(context.__aexit__(None, None, None))


@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_both_lanes_answer_alike(
    opened: tuple[asyncio.Runner, Both, str], data: st.DataObject
) -> None:
    draw = data.draw
    runner, two, host = opened
    world = two.world
    policy = [STATEMENT] if draw(st.booleans()) else []
    world.function(url=draw(st.sampled_from(CONFIGS)), policy=policy)
    world.rights = draw(st.booleans())
    world.unsure = draw(st.sampled_from((False, False, True)))
    world.invoker.returns = draw(st.sampled_from(RETURNS))
    world.invoker.error = draw(st.sampled_from((None, None, None, *FAILURES)))
    world.invoker.function_error = draw(st.sampled_from((None, None, "Unhandled")))
    method = draw(st.sampled_from(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")))
    target, body = draw(TARGETS), draw(BODIES)
    headers = [f"Host: {host}", TRACE, *draw(HEADERS)]
    headers += signatures(draw(SIGNERS), host, method, target, body or b"")
    if body is not None:
        headers.append(f"Content-Length: {len(body)}")
    raw = raw_of(f"{method} {target} HTTP/1.1", headers, body or b"")
    runner.run(two.same(raw))


def signatures(signer: str | None, host: str, method: str, target: str, body: bytes) -> list[str]:
    """Headers of a signature, right or wrong."""
    if signer is None:
        return []
    path, _, query = target.partition("?")
    how: dict[str, Any] = {"method": method, "query": query, "body": body}
    match signer:
        case "wrong":
            how |= {"key": "AKIAOWN", "secret": "no"}
        case "service":
            how |= {"service": "execute-api"}
        case "unsigned":
            how |= {"payload": "UNSIGNED-PAYLOAD"}
        case _:
            how |= {"key": signer}
    if not path.isascii() or not path.startswith("/"):
        path = "/"
    return [f"{name}: {value}" for name, value in signed(host, path, **how) if name != "Host"]


async def test_what_is_plain_takes_the_fast_lane() -> None:
    async with both(url=NONE) as (two, host):
        for method in ("GET", "POST", "DELETE"):
            await two.same(raw_of(f"{method} /a?b=1 HTTP/1.1", [f"Host: {host}", TRACE], b""))
        assert len(two.taken) == 3
        prefixed = f"/_url/{host.partition('.')[0]}/a"
        await two.same(raw_of(f"GET {prefixed} HTTP/1.1", ["Host: 127.0.0.1", TRACE], b""))
        assert len(two.taken) == 4
    async with both(url=IAM) as (two, host):
        headers = signatures("AKIAOWN", host, "GET", "/a", b"")
        answer = await two.same(raw_of("GET /a HTTP/1.1", [f"Host: {host}", TRACE, *headers], b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert len(two.taken) == 1


async def test_who_hangs_up_waits_no_longer() -> None:
    async with both(url=NONE) as (two, host):
        two.world.invoker.hold = True
        _, writer = await asyncio.open_connection("127.0.0.1", two.fast.port)
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await two.world.invoker.started.wait()
        writer.transport.abort()
        await until(lambda: two.world.invoker.cancelled)
        assert two.taken == [1]


async def test_requests_behind_one_another_are_answered_in_order() -> None:
    async with both(url=NONE) as (two, host):
        one = f"POST /{{}} HTTP/1.1\r\nHost: {host}\r\n{TRACE}\r\nContent-Length: 2\r\n\r\n{{{{}}}}"
        raw = b"".join(one.format(n).encode() for n in range(4))
        answer = await two.same(raw + raw_of("HEAD / HTTP/1.1", [f"Host: {host}", TRACE], b""))
        assert answer.count(b"HTTP/1.1 200") == 5
        paths = [json.loads(whole(each.payload))["rawPath"] for each in two.world.invoker.requests]
        assert paths == ["/0", "/1", "/2", "/3", "/"]
