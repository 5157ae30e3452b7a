"""Both lanes give the same answer to the same bytes, whatever the bytes are."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.gateway_dataplane.lanes import (
    ID,
    LAST,
    PATH,
    Doors,
    doors,
    request,
)
from tests.integration.gateway_dataplane.simulator import echo
from tests.unit.gateway_api.fakes import Rights

ARN = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aarea"


async def handle(event: bytes) -> bytes:
    if event == b'"fail"':
        raise ValueError("no")
    return await echo(event)


class Opened:
    """Doors in a loop of their own."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._context: AbstractAsyncContextManager[Doors] = doors()
        self.doors: Doors = runner.run(self._context.__aenter__())
        self.doors.world.handler = handle
        self.run = runner.run

    def same(self, raw: bytes, cuts: tuple[int, ...] = ()) -> bytes:
        """Send to both, compare, and return the answer."""
        fast, slow = self.run(self.doors.both(raw, cuts))
        assert fast == slow
        return fast

    def close(self) -> None:
        self.run(self._context.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        one = Opened(runner)
        one.same(request() + LAST)  # the first start is over
        one.same(request(query="Qualifier=1") + LAST)
        yield one
        one.close()


# --- requests that an SDK may send ----------------------------------------------------------------

b64 = base64.b64encode
CASES: dict[str, tuple[bytes, bool]] = {
    # name: (request, whether the fast lane takes it)
    "plain": (request(b'{"a": 1}'), True),
    "empty body": (request(b""), True),
    "latest": (request(query="Qualifier=%24LATEST"), True),
    "version": (request(query="Qualifier=1"), True),
    "alias": (request(query="Qualifier=live"), True),
    "arn": (request(path=f"/2015-03-31/functions/{ARN}/invocations"), True),
    "qualified arn": (request(path=f"/2015-03-31/functions/{ARN}%3Alive/invocations"), True),
    "partial arn": (request(path="/2015-03-31/functions/123456789012%3Aarea/invocations"), True),
    "unknown function": (request(path="/2015-03-31/functions/nobody/invocations"), True),
    "unknown alias": (request(query="Qualifier=nobody"), True),
    "failing": (request(b'"fail"'), True),
    "not JSON": (request(b"{"), True),
    "not UTF-8": (request(b"\xff"), True),
    "log tail": (request(headers=[("X-Amz-Log-Type", "Tail")]), True),
    "no log tail": (request(headers=[("x-amz-log-type", "None")]), True),
    "synchronous": (request(headers=[("X-Amz-Invocation-Type", "RequestResponse")]), True),
    "trace": (request(headers=[("X-Amzn-Trace-Id", "Root=1-a-b;Sampled=1")]), True),
    "trace of odd letters": (request(headers=[("X-Amzn-Trace-Id", "é\t\"x")]), True),
    "context": (request(headers=[("X-Amz-Client-Context", b64(b'{"a":1}').decode())]), True),
    "unsigned body": (request(headers=[("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")]), True),
    "close": (request(headers=[("Connection", "close")]), True),
    "keep-alive": (request(headers=[("Connection", "keep-alive")]), True),
    "large": (request(b'"' + b"x" * 300_000 + b'"'), True),
    "other account": (
        request(path="/2015-03-31/functions/999999999999%3Aarea/invocations"), False
    ),
    "bad name": (request(path="/2015-03-31/functions/a%20b/invocations"), False),
    "qualifiers differ": (
        request(path=f"/2015-03-31/functions/{ARN}%3Alive/invocations", query="Qualifier=1"), False
    ),
    "empty qualifier": (request(query="Qualifier="), False),
    "dry run": (request(headers=[("X-Amz-Invocation-Type", "DryRun")]), False),
    "unknown type": (request(headers=[("X-Amz-Invocation-Type", "Later")]), False),
    "unknown log type": (request(headers=[("X-Amz-Log-Type", "Head")]), False),
    "bad context": (request(headers=[("X-Amz-Client-Context", "%%%")]), False),
    "not signed": (request(signed=False), False),
    "wrong secret": (request(secret="x" * 40), False),
    "too old": (request(stamp="20260102T020000Z"), False),
    "other service": (request(service="s3"), False),
    "sts": (request(b"Action=GetCallerIdentity&Version=2011-06-15", service="sts"), False),
    "wrong hash": (request(headers=[("X-Amz-Content-SHA256", "0" * 64)]), False),
    "old path": (request(path="/2014-11-13/functions/area/invoke-async"), False),
    "trailing slash": (request(path=PATH + "/"), False),
    "double slash": (request(path="/2015-03-31//functions/area/invocations"), False),
    "other method": (request(method="GET"), False),
    "HTTP/1.0": (request(version="HTTP/1.0"), False),
    "duplicate": (request(headers=[("X-A", "1"), ("x-a", "2")]), False),
    "tenant": (request(headers=[("X-Amz-Tenant-Id", "t")]), False),
    "no length": (request(b"", length=False), False),
    "continue": (request(headers=[("Expect", "100-continue")]), False),
    "chunked": (
        request(b"", length=False, headers=[("Transfer-Encoding", "chunked")])
        + b"2\r\n{}\r\n0\r\n\r\n", False
    ),
    "too large": (request(b'"' + b"x" * 6_291_456 + b'"'), False),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_clients_send(opened: Opened, name: str) -> None:
    raw, plain = CASES[name]
    opened.doors.taken.clear()
    answer = opened.same(raw + LAST)
    assert answer.startswith(b"HTTP/1.1 "), answer
    assert f"x-amzn-requestid: {ID}".encode() in answer
    assert bool(opened.doors.taken) is plain


@pytest.mark.parametrize("answer", [True, False, None], ids=["allowed", "denied", "not known"])
def test_rights_that_memory_tells_and_rights_that_must_be_asked_for(
    opened: Opened, answer: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rights, "known", lambda *_: answer)
    opened.doors.taken.clear()
    status = opened.same(request() + LAST).split(b" ")[1]
    assert status == (b"200" if answer else b"403"), "these rights say no when they do not know"
    assert bool(opened.doors.taken) is (answer is True)


# --- requests that nobody should send -------------------------------------------------------------

SIGNED = request(b"{}")
HEAD, BODY = SIGNED[: -len(b"Content-Length: 2\r\n\r\n{}")], b"{}"
HIDDEN = request(b'"hidden"')


def odd(*lines: bytes, body: bytes = BODY) -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
INSIDE = b"0\r\n\r\n" + HIDDEN
ODD: dict[str, bytes] = {
    "length and chunked": odd(b"Content-Length: 2", CHUNKED, body=INSIDE),
    "chunked and length": odd(CHUNKED, b"Content-Length: 2", body=INSIDE),
    "two lengths, same": odd(b"Content-Length: 2", b"Content-Length: 2"),
    "two lengths": odd(b"Content-Length: 2", b"Content-Length: 20", body=BODY + HIDDEN),
    "list of lengths": odd(b"Content-Length: 2, 2"),
    "signed length": odd(b"Content-Length: +2"),
    "negative length": odd(b"Content-Length: -2"),
    "hexadecimal length": odd(b"Content-Length: 0x2"),
    "huge length": odd(b"Content-Length: 99999999999999999999999"),
    "length with a space inside": odd(b"Content-Length: 2 0"),
    "space before the colon": odd(b"Content-Length : 2"),
    "tab in the length": odd(b"Content-Length:\t2"),
    "no colon": odd(b"Content-Length 2"),
    "chunked, space before the colon": odd(b"Transfer-Encoding : chunked", b"Content-Length: 2"),
    "identity": odd(b"Transfer-Encoding: identity", b"Content-Length: 2"),
    "chunked twice": odd(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
    "xchunked": odd(b"Transfer-Encoding: xchunked", b"Content-Length: 2"),
    "bad chunk": odd(CHUNKED, body=b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunk extension": odd(CHUNKED, body=b"2;a=b\r\n{}\r\n0\r\n\r\n"),
    "trailers": odd(CHUNKED, body=b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n"),
    "bare LF": odd(b"Content-Length: 2").replace(b"\r\n", b"\n"),
    "bare CR": odd(b"X-A: a\rContent-Length: 2"),
    "folded": odd(b"X-A: a", b" Content-Length: 5", b"Content-Length: 2"),
    "folded length": odd(b"Content-Length:", b" 2"),
    "NUL": odd(b"X-A: a\0b", b"Content-Length: 2"),
    "empty name": odd(b": a", b"Content-Length: 2"),
    "name with a space": odd(b"X A: a", b"Content-Length: 2"),
    "huge header": odd(b"X-A: " + b"a" * 100_000, b"Content-Length: 2"),
    "many headers": odd(*(b"X-%d: a" % number for number in range(500)), b"Content-Length: 2"),
    "longer than announced": odd(b"Content-Length: 2", body=BODY + b"GARBAGE"),
    "shorter than announced": odd(b"Content-Length: 200", body=BODY),
    "absolute form": SIGNED.replace(b"POST /", b"POST http://127.0.0.1/", 1),
    "fragment": SIGNED.replace(b"invocations ", b"invocations#a ", 1),
    "no version": SIGNED.replace(b" HTTP/1.1", b"", 1),
    "HTTP/1.2": SIGNED.replace(b"HTTP/1.1", b"HTTP/1.2", 1),
    "HTTP/2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "upgrade": odd(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2"),
    "websocket": odd(b"Connection: upgrade", b"Upgrade: websocket", b"Content-Length: 2"),
    "upgrade, unasked": odd(b"Upgrade: h2c", b"Content-Length: 2"),
    "lower-case method": SIGNED.replace(b"POST", b"post", 1),
    "leading empty lines": b"\r\n\r\n" + SIGNED,
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_what_nobody_should_send(opened: Opened, name: str) -> None:
    opened.same(ODD[name] + LAST)


@pytest.mark.parametrize("name", ["length and chunked", "chunked and length", "two lengths",
                                  "folded length", "bare CR", "NUL"])  # fmt: skip
def test_a_request_inside_a_request_is_not_run(opened: Opened, name: str) -> None:
    answer = opened.same(ODD[name] + LAST)
    assert b"hidden" not in answer


# --- generated ------------------------------------------------------------------------------------

some: Any = st.sampled_from
optional_headers = st.lists(
    st.one_of(
        st.tuples(some(["X-Amz-Log-Type", "x-amz-LOG-type"]), some(["Tail", "None", "no"])),
        st.tuples(some(["X-Amz-Invocation-Type"]), some(["RequestResponse", "DryRun", "x"])),
        st.tuples(some(["X-Amzn-Trace-Id"]), st.text("Root=1-;é \t", max_size=12)),
        st.tuples(some(["X-Amz-Client-Context"]), some(["e30=", "e30", "", "W10="])),
        st.tuples(some(["X-Amz-Content-SHA256"]), some(["UNSIGNED-PAYLOAD", "x"])),
        st.tuples(some(["Connection"]), some(["close", "keep-alive", "Keep-Alive", "x"])),
        st.tuples(some(["Content-Type", "X-Other"]), st.text("abc/; ", max_size=8)),
        st.tuples(some(["Expect"]), some(["100-continue", "x"])),
    ),
    max_size=4,
)
one_request = st.builds(
    request,
    some([b"", b"{}", b'"fail"', b"[1, 2]", b"{", b"\xff", b'"' + b"x" * 70_000 + b'"']),
    path=some([
        PATH,
        PATH,
        PATH.replace("area", "nobody"),
        PATH.replace("area", ARN),
        PATH.replace("area", "a b"),
        PATH.replace("area", "%61rea"),
        PATH + "/",
    ]),
    query=some(["", "", "Qualifier=live", "Qualifier=1", "Qualifier=9", "a=b", "Qualifier="]),
    headers=optional_headers,
    method=some(["POST", "POST", "POST", "GET"]),
    version=some(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
    secret=some(["wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"] * 4 + ["x" * 40]),
)  # fmt: skip


@settings(
    max_examples=100, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    requests=st.lists(one_request, min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 1200), max_size=4),
)
def test_generated_requests(opened: Opened, requests: list[bytes], cuts: list[int]) -> None:
    opened.same(b"".join(requests) + LAST, tuple(cuts))


@settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    place=st.integers(0, len(SIGNED)),
    put=st.binary(max_size=3) | some([b"\r", b"\n", b"\r\n", b" ", b"\0", b":", b"\r\n "]),
    over=st.integers(0, 3),
)
def test_damaged_requests(opened: Opened, place: int, put: bytes, over: int) -> None:
    opened.same(SIGNED[:place] + put + SIGNED[place + over :] + LAST)
