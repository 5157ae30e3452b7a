"""Streamed answers: back-pressure to the runtime, and every way that one can end."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance_peer import CANCEL, CREDIT, DATA, END, HEAD, Connection, Frame

from .conftest import RACE, Launch, Running

RAW = (Path(__file__).parent / "raw_runtime.py").read_text()
BOOTSTRAP = f"#!{sys.executable}\n{RAW}"
WINDOW = 256 << 10
PIECE = 64 << 10
SOCKETS = 8 << 20
"""What the kernel may hold between a runtime and init, generously."""


def start(
    connection: Connection, window: int = WINDOW, **event: Any
) -> tuple[str, asyncio.Queue[Frame]]:
    body = json.dumps({"do": "pour", **event}).encode()
    return connection.start(body, mode="streaming", window=window)


async def drink(queue: asyncio.Queue[Frame], enough: int) -> int:
    """Take pieces until there are so many bytes."""
    taken = 0
    while taken < enough:
        frame = await asyncio.wait_for(queue.get(), 20)
        if frame.type == DATA:
            taken += len(frame.body)
    return taken


async def ending(queue: asyncio.Queue[Frame]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Skip to the last piece and the end."""
    last: dict[str, Any] = {}
    while True:
        frame = await asyncio.wait_for(queue.get(), 20)
        if frame.type == DATA and frame.header.get("last"):
            last = frame.header
        elif frame.type == END:
            return last, frame.header


def resident(running: Running) -> int:
    status = Path(f"/proc/{running.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


async def test_without_credit_the_runtime_waits_and_init_holds_next_to_nothing(
    launch: Launch,
) -> None:
    running = await launch(bootstrap=BOOTSTRAP, timeout=60)
    connection, progress = running.connection, running.path("tmp/progress")
    before = resident(running)
    whole = 64 << 20
    attempt, queue = start(connection, bytes=whole, progress=str(progress))
    assert await drink(queue, WINDOW) < WINDOW + PIECE, "a window, overdrawn by less than a piece"
    written = -1
    while progress.read_text() != str(written):
        written = int(progress.read_text())
        await asyncio.sleep(0.3)
    assert written < SOCKETS
    assert queue.empty()
    connection.send(CREDIT, {"attempt": attempt, "bytes": 1 << 20})
    await drink(queue, (1 << 20) - PIECE)
    connection.send(CREDIT, {"attempt": attempt, "bytes": whole})
    last, end = await ending(queue)
    assert last == {"attempt": attempt, "last": True}
    assert (end["status"], end["bytesOut"]) == ("success", whole)
    assert (await connection.invoke({"do": "notes"})).json == [whole, "HTTP/1.1 202 Accepted"]
    assert RACE or resident(running) - before < 12 << 20


async def test_a_client_that_goes_away_lets_the_run_go_on(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP, timeout=60)
    attempt, queue = start(running.connection, bytes=16 << 20)
    await drink(queue, WINDOW)
    running.connection.send(CANCEL, {"attempt": attempt})
    last, end = await ending(queue)
    assert (last, end["status"], end["bytesOut"]) == ({}, "success", 16 << 20)


async def test_a_gateway_that_goes_away_lets_the_run_go_on(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP, timeout=60)
    _, queue = start(running.connection, bytes=16 << 20)
    await drink(queue, WINDOW)
    running.connection.close()
    again = await running.gateway.connection()
    await again.until("idle")
    sent, status = (await again.invoke({"do": "notes"})).json
    assert (sent, status) == (16 << 20, "HTTP/1.1 202 Accepted")


@pytest.mark.parametrize("credit", [True, False], ids=["flowing", "stalled"])
async def test_time_runs_out_in_the_middle(launch: Launch, credit: bool) -> None:
    running = await launch(bootstrap=BOOTSTRAP, timeout=1)
    window = 1 << 30 if credit else PIECE
    _, queue = start(running.connection, window, bytes=1 << 20, then="sleep")
    last, end = await ending(queue)
    details = json.loads(last["errorDetails"])
    assert last["functionError"] == "Unhandled"
    assert details["errorType"] == last["errorType"] == "Sandbox.Timedout"
    assert details["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert end["status"] == "timeout"
    assert (await running.connection.invoke({"do": "echo"})).json == {"do": "echo"}


async def test_the_runtime_exits_in_the_middle(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    _, queue = start(running.connection, bytes=1, then="exit")
    last, end = await ending(queue)
    assert last["errorType"] == end["errorType"] == "Runtime.ExitError"
    assert "exit status 7" in last["errorDetails"]


async def test_the_runtime_breaks_off(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    _, queue = start(running.connection, bytes=1, then="break")
    last, end = await ending(queue)
    assert last["errorType"] == "Runtime.TruncatedResponse"
    assert end["status"] == "error"


async def test_a_first_piece_comes_before_the_function_ends(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP, timeout=2)
    _, queue = start(running.connection, bytes=5, piece=5, then="sleep")
    kinds = [(await asyncio.wait_for(queue.get(), 20)).type for _ in range(3)]
    assert kinds[1:] == [HEAD, DATA]
    await ending(queue)


async def test_an_error_before_the_first_piece_is_a_buffered_answer(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP)
    outcome = await running.connection.invoke({"do": "cause"}, mode="streaming")
    assert outcome.head is not None
    assert outcome.head["mode"] == "buffered"
    assert outcome.head["functionError"] == "Unhandled"
    assert outcome.json == {"errorMessage": "m"}


@pytest.mark.full
async def test_two_hundred_megabytes_and_no_more(launch: Launch) -> None:
    running = await launch(bootstrap=BOOTSTRAP, timeout=300)
    attempt, queue = start(running.connection, bytes=(200 << 20) + PIECE)
    total = 0
    while True:
        frame = await asyncio.wait_for(queue.get(), 60)
        if frame.header.get("last"):
            break
        if frame.type == DATA:
            total += len(frame.body)
            running.connection.send(CREDIT, {"attempt": attempt, "bytes": len(frame.body)})
    assert total == 200 << 20
    assert frame.header["errorType"] == "Function.ResponseSizeTooLarge"
    assert resident(running) < 40 << 20
