"""Bodies that end before or after their answer, and refusals that wait: nothing runs that was not
sent as a request, and every answer is one request's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from klambda_core import limits
from klambda_gateway.api import intake
from klambda_gateway.bulk import Body, whole
from klambda_gateway.invoke.model import InvokeRequest
from klambda_gateway.invoke.story import Story
from klambda_gateway.wire import room
from klambda_gateway.wire.patience import BODY_S, HEAD_MAX, PARTING_S, SILENCE_S
from klambda_gateway.wire.plain import Answered, Asked, Headers, Plain, Respond
from klambda_gateway.wire.server import HttpServer
from tests.integration.gateway_dataplane import lanes
from tests.integration.gateway_dataplane.raw import (
    CHUNKED,
    FOLLOWER,
    HIDDEN,
    LAST_CHUNK,
    PROBE,
    WAYS,
    WITHIN,
    Answer,
    Front,
    Opened,
    answers_of,
    appeared,
    chunks,
    visited,
)
from tests.integration.gateway_dataplane.rig import until
from tests.integration.gateway_dataplane.simulator import gated
from tests.integration.gateway_dataplane.test_connections import connected

# --- answers in the middle of a body --------------------------------------------------------------


@pytest.fixture
def soon_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is refused at 50 kB, and answered at 100 kB though more is to come."""
    monkeypatch.setattr(limits, "PAYLOAD_SYNC_MAX", 50_000)
    monkeypatch.setattr(room, "DISCARDED_MAX", 100_000)
    monkeypatch.setattr(intake, "DISCARDED_MAX", 100_000)


def poison(its: Front, size: int) -> bytes:
    """A body in which every line begins a request."""
    one = its.good(HIDDEN)
    return one * (size // len(one))


def uploads(its: Front, *lines: bytes) -> dict[str, tuple[bytes, bytes]]:
    """A request with a long body, as what comes before and after its answer."""
    body = poison(its, 400_000)
    plain = its.head(*lines, b"Content-Length: %d" % len(body)) + body
    size = len(its.good(HIDDEN))
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    chunked = its.head(*lines, CHUNKED) + chunks(pieces) + LAST_CHUNK
    return {"plain": (plain[:200_000], plain[200_000:]),
            "chunked": (chunked[:200_000], chunked[200_000:])}  # fmt: skip


async def early(its: Front, lane: str, before: bytes, after: bytes) -> list[Answer]:
    """Send a part, read an answer, and only then send the rest; return all answers."""
    async with connected(its.servers[lane]) as (reader, writer), asyncio.timeout(WITHIN):
        writer.write(before)
        answers = answers_of(reader)
        first = await anext(answers)
        writer.write(after)
        return [first, *[each async for each in answers]]


@pytest.mark.usefixtures("soon_too_large")
@pytest.mark.parametrize("framing", ["plain", "chunked"])
def test_the_rest_of_a_body_is_no_request(opened: Opened, framing: str) -> None:
    for front, lane in WAYS:
        its = opened.fronts[front]
        its.seen()
        before, after = uploads(its)[framing]
        after += its.good(FOLLOWER) + its.good(PROBE, b"Connection: close")
        answers = opened.run(early(its, lane, before, after))
        assert [each.status for each in answers] == [413, its.well, its.well], (front, lane)
        assert its.seen() == [FOLLOWER, PROBE]


@pytest.mark.usefixtures("soon_too_large")
def test_what_breaks_behind_its_answer_gets_no_second_one(opened: Opened) -> None:
    for front, lane in WAYS:
        its = opened.fronts[front]
        before, _ = uploads(its)["chunked"]
        after = b"\r\n".join([b"", b"no chunk", b""]) + its.good(HIDDEN)
        answers = opened.run(early(its, lane, before, after))
        assert [each.status for each in answers] == [413], (front, lane)
        assert its.seen() == []


@pytest.mark.usefixtures("soon_too_large")
@pytest.mark.parametrize("framing", ["plain", "chunked"])
def test_behind_an_answer_that_closes_nothing_is_read(opened: Opened, framing: str) -> None:
    for front, lane in WAYS:
        its = opened.fronts[front]
        raw = b"".join(uploads(its, b"Connection: close")[framing]) + its.good(HIDDEN)
        segments = [raw[at : at + 20_000] for at in range(0, len(raw), 20_000)]
        answers, seen = opened.told(front, lane, segments, direct=True)
        assert [(each.status, each.closes) for each in answers] == [(413, True)]
        assert seen == []


@pytest.mark.parametrize("size", [2, 200_000])
def test_behind_a_refusal_that_closes_nothing_is_run(opened: Opened, size: int) -> None:
    for lane in ("fast", "slow"):
        its = opened.fronts["invoke"]
        unknown = lanes.request(
            b'"' + b"x" * size + b'"',
            path="/2015-03-31/functions/nobody/invocations",
            headers=[("Connection", "close"), ("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")],
        )
        for before in (0, 1):
            raw = its.good(FOLLOWER) * before + unknown + its.good(HIDDEN)
            for segments in ([raw], [raw[:-5], raw[-5:]], [raw[:-999], raw[-999:]]):
                answers, seen = opened.told("invoke", lane, segments, direct=True)
                assert [each.status for each in answers] == [200] * before + [404]
                assert answers[-1].closes
                assert seen == [FOLLOWER] * before


class AtOnce:
    """A lane that answers before it returns."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def look(self, method: bytes, url: bytes, headers: Headers) -> Plain:
        fields = dict(headers)
        return Plain(
            method=method, path=url, query=b"", headers=headers, fields=fields,
            length=int(fields[b"content-length"]), hashed=False,
            asked=Asked(path=url, query=b"", name="area", qualifier=None),
        )  # fmt: skip

    def begin(
        self, plain: Plain, body: Body, digest: str, peer: str, respond: Respond
    ) -> Story | None:
        del plain, digest, peer
        self.seen.append(whole(body))
        respond(Answered(status=200, headers=b"content-length: 0\r\n", body=b"", request_id=""))
        request = InvokeRequest(
            namespace="default", function_name="area", qualifier=None, invoked_arn="arn",
            payload=body, request_id="1", log_tail=False, client_context=None, trace_id="",
        )  # fmt: skip
        return Story(request, lambda _: None, lambda _: None)


@pytest.mark.parametrize("size", [2, 200_000])
async def test_behind_an_answer_at_once_that_closes_nothing_is_run(size: int) -> None:
    async def nothing(*_: Any) -> None:
        raise AssertionError

    lane = AtOnce()
    server = HttpServer(nothing, port=0, grace_seconds=1, lane=lane)
    its = Front(
        servers={"fast": server}, line=b"POST / HTTP/1.1", host=b"a", fields=b"",
        seen=lambda: lane.seen,
    )  # fmt: skip
    body = b"x" * size
    raw = its.good(body) + its.good(body, b"Connection: close") + its.good(HIDDEN) * 2
    async with lanes.serving(server):
        middle = raw.index(body) + size + len(its.head()) + size // 2
        for at in (len(raw), len(raw) - 5, size // 2, middle):
            segments = [raw[:at], raw[at:]]
            lane.seen.clear()
            answers = await its.told("fast", segments, direct=True)
            assert [(each.status, each.closes) for each in answers] == [(200, False), (200, True)]
            assert lane.seen == [body, body]


@pytest.mark.parametrize("size", [2, 200_000])
@pytest.mark.parametrize("close", [False, True])
def test_what_the_fast_lane_declines_at_its_end_keeps_its_connection(
    opened: Opened, size: int, close: bool
) -> None:
    for lane in ("fast", "slow"):
        its = opened.fronts["invoke"]
        headers = [("Connection", "close")] if close else []
        wrong = lanes.request(b'"' + b"x" * size + b'"', secret="x" * 40, headers=headers)
        raw = wrong + its.good(PROBE, b"Connection: close")
        for segments in ([raw], [raw[:900], raw[900:]]):
            answers, seen = opened.told("invoke", lane, segments, direct=True)
            assert [each.status for each in answers] == ([403] if close else [403, 200])
            assert seen == ([] if close else [PROBE])


EXPECTING = b"Expect: 100-continue"


@pytest.mark.parametrize("framing", [b"Content-Length: 10", CHUNKED])
def test_who_is_answered_instead_of_told_to_go_on_may_keep_his_body(
    opened: Opened, framing: bytes
) -> None:
    for lane in ("fast", "slow"):
        its = opened.fronts["invoke"]
        unknown = its.head(EXPECTING, framing, line=b"PROPFIND /a HTTP/1.1")
        answers, seen = opened.told("invoke", lane, [its.good(FOLLOWER) + unknown], direct=True)
        assert [(each.status, each.closes) for each in answers] == [(200, False), (405, True)]
        assert seen == [FOLLOWER]


def test_who_does_not_expect_it_sends_his_body(opened: Opened) -> None:
    for lane in ("fast", "slow"):
        its = opened.fronts["invoke"]
        unknown = its.head(b"Content-Length: 10", line=b"PROPFIND /a HTTP/1.1")
        segments = [unknown, b"0123456789", its.good(PROBE, b"Connection: close")]
        answers, seen = opened.told("invoke", lane, segments, direct=True)
        assert [(each.status, each.closes) for each in answers] == [(405, False), (200, True)]
        assert seen == [PROBE]


def test_a_body_over_the_limit_is_answered_and_its_follower_too(opened: Opened) -> None:
    for front, lane in (("invoke", "fast"), ("url", "fast"), ("event", "slow")):
        its = opened.fronts[front]
        body = poison(its, limits.PAYLOAD_SYNC_MAX + 10_000)
        raw = its.good(body) + its.good(FOLLOWER) + its.good(PROBE, b"Connection: close")
        segments = [raw[at : at + 250_000] for at in range(0, len(raw), 250_000)]
        answers, seen = opened.told(front, lane, segments, direct=True)
        assert [each.status for each in answers] == [413, its.well, its.well]
        assert seen == [FOLLOWER, PROBE]


@pytest.mark.parametrize("lane", ["fast", "slow"])
async def test_who_is_told_to_go_on_while_the_server_ends_is_the_last(lane: str) -> None:
    async with lanes.doors() as opened:
        server = opened.fast if lane == "fast" else opened.slow
        async with connected(server) as (reader, writer), asyncio.timeout(WITHIN):
            writer.write(lanes.request(b"12", headers=[("Expect", "100-continue")])[:-2])
            answers = answers_of(reader)
            assert (await anext(answers)).status == 100
            for connection in list(server.server_state.connections):
                connection.shutdown()
            writer.write(b"12")
            assert [(each.status, each.closes) async for each in answers] == [(200, True)]


# --- bodies that do not come ----------------------------------------------------------------------


def halves(its: Front) -> list[bytes]:
    """Requests without their end."""
    large = b'"' + b"x" * 60_000 + b'"'
    chunk = its.head(CHUNKED) + b"%x\r\n" % len(large) + large
    return [
        its.good(b'"12345"')[:-1],
        its.good(large)[:-1],
        its.good(large)[:-30_000],
        its.good(large)[: -len(large)],
        its.head(b"Content-Length: 3")[:-1],
        chunk[:-1],
        chunk + b"\r\n0\r\n",
        chunk + b"\r\n0\r\nLate: 1\r\n\r",
    ]


def test_who_goes_in_the_middle_of_a_body_runs_nothing(opened: Opened) -> None:
    async def gone(its: Front, lane: str, raw: bytes, *, reset: bool) -> None:
        server = its.servers[lane]
        before = set(server.server_state.connections)
        async with connected(server) as (_, writer):
            await appeared(server, before)
            writer.write(raw)
            await writer.drain()
            if reset:
                writer.transport.abort()
            else:
                writer.write_eof()
            await until(lambda: not server.server_state.connections)
            await until(lambda: not server.server_state.tasks)

    for front, lane in WAYS:
        its = opened.fronts[front]
        for raw, reset in itertools.product(halves(its), (False, True)):
            opened.run(gone(its, lane, raw, reset=reset))
            assert its.seen() == [], (front, lane, raw[-20:])


def test_who_goes_in_the_middle_of_a_second_one_has_run_the_first(opened: Opened) -> None:
    async def talk(its: Front, lane: str, raw: bytes) -> int:
        async with connected(its.servers[lane]) as (reader, writer), asyncio.timeout(WITHIN):
            writer.write(its.good(FOLLOWER) + raw)
            first = await anext(answers_of(reader))
            writer.transport.abort()
            await until(lambda: not its.servers[lane].server_state.connections)
            return first.status

    for front, lane in WAYS:
        its = opened.fronts[front]
        for raw in halves(its):
            assert opened.run(talk(its, lane, raw)) == its.well
            assert its.seen() == [FOLLOWER], (front, lane)


@pytest.mark.parametrize("lane", ["fast", "slow"])
async def test_what_waits_for_a_broken_body_waits_no_longer(lane: str) -> None:
    async with visited() as its:
        server = its.servers[lane]
        async with connected(server) as (reader, writer), asyncio.timeout(WITHIN):
            writer.write(its.head(CHUNKED) + b"2\r\n{}\r\n")
            await until(lambda: bool(server.server_state.tasks))
            writer.write(b"no chunk\r\n")
            assert [each.status async for each in answers_of(reader)] == [400]
            await until(lambda: not server.server_state.tasks)
            assert server.server_state.connections, "the client is still there"


# --- refusals behind what runs --------------------------------------------------------------------


@contextlib.asynccontextmanager
async def running(lane: str, behind: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, Any, Any]]:
    """An invocation that waits, with these bytes behind it: reader, gate, the server's end."""
    gate = asyncio.Event()
    async with lanes.doors() as opened:
        opened.world.handler = gated(gate)
        server = opened.fast if lane == "fast" else opened.slow
        async with connected(server) as (reader, writer), asyncio.timeout(WITHIN):
            writer.write(lanes.request(b"1"))
            await until(lambda: any(each.runs for each in opened.world.instances.values()))
            connection: Any = next(iter(server.server_state.connections))
            connection.data_received(behind)
            yield reader, gate, connection


@pytest.mark.parametrize("lane", ["fast", "slow"])
async def test_a_refusal_waits_as_long_as_what_runs(lane: str) -> None:
    async with running(lane, b"garbage\r\n\r\n") as (reader, gate, connection):
        now = connection.loop.time()
        for seconds in (PARTING_S + 1, SILENCE_S + 1, BODY_S - 10):
            connection.sweep(now + seconds)
        connection.data_received(b"x" * (5 << 20))  # thrown away
        assert not connection.transport.is_closing()
        gate.set()
        assert [each.status async for each in answers_of(reader)] == [200, 400]
        await until(lambda: connection.transport.get_write_buffer_size() == 0)
        connection.sweep(connection.loop.time() + PARTING_S + 1)
        assert connection.transport.is_closing()


@pytest.mark.parametrize("lane", ["fast", "slow"])
@pytest.mark.parametrize("head", [b"X: " + b"a" * 100, b"X: a\r\n" * 20, b"\r\n" * 60])
async def test_a_head_behind_what_runs_is_bounded(lane: str, head: bytes) -> None:
    async with running(lane, b"POST / HTTP/1.1\r\n") as (reader, gate, connection):
        if head.startswith(b"\r\n"):
            connection.data_received(b"Host: a\r\n\r\n")
        for _ in range(HEAD_MAX // len(head) + 2):
            connection.data_received(head)
        gate.set()
        statuses = [each.status async for each in answers_of(reader)]
        assert statuses == ([200, 403, 431] if head.startswith(b"\r\n") else [200, 431])


@pytest.mark.parametrize("lane", ["fast", "slow"])
@pytest.mark.parametrize("behind", [b"Content-Length: 5", CHUNKED])
async def test_who_sends_slowly_behind_what_runs_does_not_end_it(lane: str, behind: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n\r\n" % behind
    async with running(lane, head) as (reader, gate, connection):
        now = connection.loop.time()
        for seconds in (SILENCE_S + 1, BODY_S - 10):
            connection.sweep(now + seconds)
        assert not connection.transport.is_closing()
        gate.set()
        answers = answers_of(reader)
        assert (await anext(answers)).status == 200
        connection.data_received(b"12345" if b"5" in behind else b"0\r\n\r\n")
        assert [each.status async for each in answers] == [403]


@pytest.mark.parametrize("lane", ["fast", "slow"])
async def test_who_hangs_up_with_more_behind_waits_for_none(lane: str) -> None:
    async with visited() as its:
        world = its.world
        world.invoker.hold = True
        async with connected(its.servers[lane]) as (_, writer):
            writer.write(its.good(FOLLOWER) + its.good(HIDDEN))
            await world.invoker.started.wait()
            writer.transport.abort()
            async with asyncio.timeout(WITHIN):
                await until(lambda: world.invoker.cancelled)
            await until(lambda: not its.servers[lane].server_state.connections)
        assert its.seen() == [FOLLOWER]
