"""Durable enqueues and no-op events per second: a store and the gateway's client, no cluster.

    python -m tools.bench.events [--seconds 5] [--postgres URL]

Enqueues: so many callers at once, each waiting for its event to be on the disk (a closed loop: at
its bound, more callers wait longer, they do not get more done), then so many events a second
whatever becomes of them, timed from when each was due. Then the same events leased, run by a
function that does nothing, settled, through the gateway's own workers. Store and gateway share the
machine's cores, as on one node. Through a whole gateway: ``flood``. Results: docs/performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from klambda_core.events import Delivery, Event
from klambda_gateway.bulk import whole
from klambda_gateway.events.client import StoreEvents
from klambda_gateway.events.credit import Credits, Pressure
from klambda_gateway.events.envelope import Outcome
from klambda_gateway.events.metrics import EventMetrics
from klambda_gateway.events.policy import Waits
from klambda_gateway.events.story import Story
from klambda_gateway.events.workers import Workers
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_gateway.routing.facts import FunctionFacts
from klambda_gateway.routing.table import Entry
from klambda_obs.metrics import Metrics
from tools.cluster.apiserver import free_ports

KEY = "ab" * 32
PAYLOAD = b'{"order": 1234567, "items": ["a", "b", "c"]}'
CALLERS = (1, 16, 64, 256)
OFFERED = (2000, 4000)
"""Events a second."""
PUTS_AIM, PUT_P99_AIM_MS, EVENTS_AIM = 2000, 25, 1000
START_S = 20.0


class Nothing:
    """A function that answers at once, and everything else that a story asks for."""

    def __init__(self) -> None:
        facts = FunctionFacts(
            namespace="default", name="f", uid="uid", aws_name="f", created="", timeout=3,
            serving=None,
        )  # fmt: skip
        self._entry = Entry(function=facts)

    def get(self, namespace: str, aws_name: str) -> Entry | None:
        """The one function."""
        return self._entry if (namespace, aws_name) == ("default", "f") else None

    async def refresh(self, *_: str) -> bool:
        """There is never news."""
        return True

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        """Answer."""
        return InvokeAnswer(payload=whole(request.payload)[:2], executed_version="$LATEST")

    async def deliver(self, delivery: Delivery, outcome: Outcome) -> None:
        """Nobody is ever told."""


async def enqueue(store: StoreEvents, callers: int, seconds: float) -> list[float]:
    """Let so many callers put for so long; return how long each put took."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < end:
            await store.put(_event())
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return took


async def offer(store: StoreEvents, rate: int, seconds: float) -> list[float]:
    """Put so many events a second; return how long after it was due each was on the disk."""
    took: list[float] = []
    first = time.perf_counter()

    async def caller(due: float) -> None:
        await store.put(_event())
        took.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = first + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(caller(due))
    return took


async def work_off(store: StoreEvents) -> tuple[int, float]:
    """Run everything that is queued; return how many events, and in how many seconds."""
    nothing, metrics = Nothing(), EventMetrics(Metrics("bench"))
    story = Story(
        reports=store,
        invoker=nothing,
        known=nothing,
        refresh=nothing.refresh,
        deliverer=nothing,
        metrics=metrics,
        waits=Waits(),
        now=lambda: datetime.now(UTC),
    )
    workers = Workers(
        store,
        story.work_on,
        credits=Credits(lambda _: Pressure(limit=1000)),
        metrics=metrics,
        holder="bench",
    )
    (queue,) = await store.stats()
    began = time.perf_counter()
    task = asyncio.create_task(workers.run())
    while await store.stats():  # noqa: ASYNC110 - the store's doing; it counts anew each 2 s
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return queue.depth, took


async def measure(store: StoreEvents, seconds: float) -> None:
    """Print the tables."""
    sys.stdout.write("                enqueues/s   p50 ms   p99 ms   max ms\n")
    for callers in CALLERS:
        _show(f"{callers} callers", await enqueue(store, callers, seconds), seconds)
    for rate in OFFERED:
        _show(f"{rate}/s offered", await offer(store, rate, seconds), seconds)
    sys.stdout.write(
        f"aim: at least {PUTS_AIM} enqueues/s, p99 at most {PUT_P99_AIM_MS} ms, from 64 callers\n"
    )
    await asyncio.sleep(2.1)
    count, took_s = await work_off(store)
    sys.stdout.write(
        f"{count} no-op events leased, run and settled: {count / took_s:.0f}/s "
        f"(aim: at least {EVENTS_AIM})\n"
    )


def _show(what: str, took: list[float], seconds: float) -> None:
    took.sort()
    p50, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    sys.stdout.write(
        f"{what:14}  {len(took) / seconds:10.0f}  {p50 * 1e3:7.2f}  {p99 * 1e3:7.2f}"
        f"  {took[-1] * 1e3:7.2f}\n"
    )


def main(arguments: Iterable[str] | None = None) -> None:
    """Start a store, measure, end it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--postgres", default="", help="URL of an empty database")
    given = parser.parse_args(None if arguments is None else list(arguments))
    with tempfile.TemporaryDirectory(dir=os.environ.get("KLAMBDA_BENCH_DIR")) as folder:
        (port,) = free_ports(1)
        environment = {
            **os.environ,
            "KLAMBDA_DATA": str(Path(folder)),
            "KLAMBDA_STORE_PORT": str(port),
            "KLAMBDA_INSTALLATION_KEY": KEY,
            "KLAMBDA_EVENTS_DATABASE_URL": given.postgres,
            "KLAMBDA_LOG_LEVEL": "WARNING",
        }
        with subprocess.Popen([sys.executable, "-m", "klambda_store"], env=environment) as process:
            try:
                _wait(f"http://127.0.0.1:{port}/readyz")
                uvloop.run(_run(port, given.seconds))
            finally:
                process.terminate()


async def _run(port: int, seconds: float) -> None:
    store = StoreEvents(f"http://127.0.0.1:{port}", KEY)
    try:
        await measure(store, seconds)
    finally:
        await store.close()


def _event() -> Event:
    return Event(
        id=str(uuid.uuid4()),
        namespace="default",
        function="f",
        function_uid="uid",
        qualifier=None,
        arn="arn:aws:lambda:us-east-1:123456789012:function:f",
        payload=PAYLOAD,
    )


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own address
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    main()
