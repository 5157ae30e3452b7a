"""A queue of 10^5 events worked off: what the others feel of it, what a gateway and a store need.

    load ─► gateway process ─► instances that echo in frames      (synchronous calls, measured)
    store process (10^5 events of `flooded`, some of `other`) ─► the same gateway ─► instances
    store process (10^4 events) ─► a gateway ─► real init processes, a function that does nothing

Run by ``make bench-events``. The gateway has one core; load, store and instances share the other.
Rounds with the flood and without (the store is stopped with SIGSTOP, so that the same processes are
measured) take turns; what counts is the ratio within one round, and the median of those. Ages of
`other`'s events are the store's: from acceptance to settlement. Loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from klambda_core import labels
from klambda_core.events import Event, Record
from klambda_core.kinds import DEPLOYMENT, FUNCTION, POD, Kind
from klambda_core.token import instance_token
from klambda_gateway.events.client import StoreEvents
from klambda_store.blobs.directory import DirectoryBlobs
from klambda_store.events.api import STATS_S
from klambda_store.events.sqlite import SqliteEvents
from tests.support.apiserver import free_ports
from tests.support.instance_peer import Init, archive, assignment, build
from tools.bench.hop import __main__ as hop
from tools.bench.hop import cluster
from tools.bench.processes import rss

SYNCHRONOUS, FLOODED, OTHER = "hop", "flooded", "other"
INSTANCES: Final = {SYNCHRONOUS: 32, FLOODED: 32, OTHER: 4}
BOTH: Final = f"{hop.MEASURED},{hop.OTHERS}"
REAL: Final = 8
"""Real instances, each with its init and its function."""
CONNECTIONS: Final = (1, 8, 32)
PAYLOAD: Final = b'{"order": 1234567, "items": ["a", "b", "c"]}'
EVERY_S: Final = 0.025
"""Between two events of `other`."""
COLUMNS: Final = (
    "connections", "p50 µs alone", "with", "ratio", "p99 µs alone", "with", "ratio",
    "calls/s alone", "with",
)  # fmt: skip
SYNC_AIM, OTHER_AIM, RATE_AIM = 1.3, 1.1, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """Everything that runs."""

    bench: hop.Bench
    system: hop.System
    store: StoreEvents
    store_pid: int

    def flood(self, *, on: bool) -> None:
        """Let the store hand out events, or not."""
        os.kill(self.store_pid, signal.SIGCONT if on else signal.SIGSTOP)


def objects() -> Iterator[tuple[Kind, str, dict[str, Any]]]:
    """Return the two functions that only have events, and what they need."""
    for name in (FLOODED, OTHER):
        served = f"{name}-latest-1"
        made = cluster.function(name, served)
        made["spec"]["reservedConcurrentExecutions"] = INSTANCES[name]  # nobody starts any more
        yield FUNCTION, cluster.NAMESPACE, made
        made = cluster.deployment(INSTANCES[name], served, name)
        yield DEPLOYMENT, cluster.NAMESPACE, made
        for number in range(INSTANCES[name]):
            yield POD, cluster.NAMESPACE, cluster.pod(number, served)


def real_object(code: bytes) -> tuple[Kind, str, dict[str, Any]]:
    """Return the Deployment of `flooded` with what a real init must be told."""
    made = cluster.deployment(REAL, f"{FLOODED}-latest-1", FLOODED)
    told = assignment(code, functionName=FLOODED, digest="d", memorySize=128, timeout=30)
    made["metadata"]["annotations"] = {labels.ASSIGNMENT: json.dumps(told)}
    return DEPLOYMENT, cluster.NAMESPACE, made


async def start_inits(bench: hop.Bench, place: Path, gateway: str) -> None:
    """Start real instances of `flooded`."""
    binary = build(Path(__file__).parents[2] / "runtimes" / "init", place / "init")
    deployment = f"{FLOODED}-latest-1"
    for number in range(REAL):
        pod = f"{deployment}-{number}"
        made = Init(binary, place / pod, f"#!/bin/sh\nexec {bench.peers} function\n")
        await bench.start(
            BOTH, binary, KLAMBDA_GATEWAYS=gateway, KLAMBDA_ROOT=str(made.root),
            KLAMBDA_TOKEN=instance_token(cluster.KEY, cluster.NAMESPACE, deployment),
            KLAMBDA_POD_UID=f"uid-{pod}", KLAMBDA_POD_NAME=pod, KLAMBDA_API_PORT="0",
            KLAMBDA_NAMESPACE=cluster.NAMESPACE, KUBERNETES_SERVICE_HOST="10.96.0.1",
            HOSTNAME=pod,
        )  # fmt: skip


async def keep(folder: Path, code: bytes) -> None:
    """Put a function's code into a store that does not run yet."""
    blobs = DirectoryBlobs(folder)
    blobs.open()
    async with blobs.upload(cluster.NAMESPACE) as upload:
        await upload.write(code)
        await upload.commit(None)
    blobs.close()


def event(function: str) -> Event:
    """Return an event as the gateway would put it."""
    return Event(
        id=str(uuid.uuid4()),
        namespace=cluster.NAMESPACE,
        function=function,
        function_uid=f"uid-{function}",
        qualifier=None,
        arn=f"arn:aws:lambda:us-east-1:000000000000:function:{function}",
        payload=PAYLOAD,
    )


async def queue_up(folder: Path, count: int) -> None:
    """Put events into a store that does not run yet."""
    kept = SqliteEvents(folder)
    await kept.open()
    for _ in range(0, count, 1000):
        await kept.put([event(FLOODED) for _ in range(1000)], time.time())
    await kept.close()


@asynccontextmanager
async def running(bench: hop.Bench, queued: int, *, real: bool = False) -> AsyncIterator[Rig]:
    """Run a store with a queue, and a gateway with instances; ``real``: init processes."""
    http, admin, frames, stored = free_ports(4)
    place = bench.place / f"flood-{queued}{'-real' * real}"
    data = place / "data"
    data.mkdir(parents=True)
    await queue_up(data, queued)
    code = archive({"nothing": b""})
    await keep(data, code)
    path = os.pathsep.join(each for each in sys.path if not each.startswith(sys.base_prefix))
    store_pid = await bench.start(
        hop.OTHERS, bench.python, "-m", "klambda_store",
        KLAMBDA_DATA=str(data), KLAMBDA_STORE_PORT=str(stored), PYTHONPATH=path,
        KLAMBDA_INSTALLATION_KEY=cluster.KEY,
    )  # fmt: skip
    await hop.until_ready(stored)
    os.kill(store_pid, signal.SIGSTOP)
    more = (*objects(), *([real_object(code)] if real else []))
    made = cluster.running(place, instances=INSTANCES[SYNCHRONOUS], functions=1, more=more)
    async with made as kubeconfig:
        pid = await bench.start(
            hop.MEASURED, bench.python, "-m", "klambda_gateway",
            KUBECONFIG=str(kubeconfig), KLAMBDA_NAMESPACE=cluster.HOME, PYTHONPATH=path,
            KLAMBDA_HTTP_PORT=str(http), KLAMBDA_ADMIN_PORT=str(admin),
            KLAMBDA_INSTANCE_PORT=str(frames), KLAMBDA_IDLE_SECONDS="86400",
            KLAMBDA_STORE_URL=f"http://127.0.0.1:{stored}",
        )  # fmt: skip
        await hop.until_ready(admin)
        if real:
            os.kill(store_pid, signal.SIGCONT)  # the code comes from there
            await start_inits(bench, place, f"127.0.0.1:{frames}")
            await hop.connected(admin, REAL)
        else:
            for name, count in INSTANCES.items():
                await bench.start(
                    hop.OTHERS, bench.peers, "instances", "-gateway", f"127.0.0.1:{frames}",
                    "-key", cluster.KEY, "-namespace", cluster.NAMESPACE,
                    "-deployment", f"{name}-latest-1", "-count", str(count),
                )  # fmt: skip
            await hop.connected(admin, sum(INSTANCES.values()))
        address = f"127.0.0.1:{http}"
        system = hop.System(name="gateway", pid=pid, address=address, path=hop.PATH, signed=True)
        store = StoreEvents(f"http://127.0.0.1:{stored}", cluster.KEY)
        try:
            yield Rig(bench=bench, system=system, store=store, store_pid=store_pid)
        finally:
            os.kill(store_pid, signal.SIGCONT)
            await store.close()


async def synchronous(rig: Rig, *, seconds: float, rounds: int) -> None:
    """Measure synchronous calls with the flood and without."""
    print(f"| {' | '.join(COLUMNS)} |\n|{'--:|' * len(COLUMNS)}")
    for connections in CONNECTIONS:
        case = hop.Case(size=64, connections=connections, seconds=seconds)
        pairs = []
        for _ in range(rounds):
            rig.flood(on=False)
            await asyncio.sleep(0.2)
            alone = await rig.bench.load(rig.system, case)
            rig.flood(on=True)
            await asyncio.sleep(0.3)
            pairs.append((alone, await rig.bench.load(rig.system, case)))
        print(_row(connections, pairs), flush=True)
    print(f"aim: p99 with the flood < {SYNC_AIM} times alone")


def _row(connections: int, pairs: Sequence[tuple[hop.Sample, hop.Sample]]) -> str:
    def middle(member: str) -> tuple[float, float, float]:
        values = [(getattr(a, member), getattr(w, member)) for a, w in pairs]
        alone, with_ = (statistics.median(each) for each in zip(*values, strict=True))
        return alone, with_, statistics.median(w / a for a, w in values)

    p50, p99, rate = middle("p50_us"), middle("p99_us"), middle("per_second")
    return (
        f"| {connections} | {p50[0]:.0f} | {p50[1]:.0f} | {p50[2]:.2f} | {p99[0]:.0f} "
        f"| {p99[1]:.0f} | {p99[2]:.2f} | {rate[0]:.0f} | {rate[1]:.0f} |"
    )


async def others(rig: Rig, seconds: float) -> list[float]:
    """Send events of another function; return the milliseconds from acceptance to settlement."""
    ids = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        one = event(OTHER)
        await rig.store.put(one)
        ids.append(one.id)
        await asyncio.sleep(EVERY_S)
    ages = []
    for each in ids:
        record = await _settled(rig.store, each)
        ages.append(((record.settled_at or 0) - record.received_at) * 1000)
    return sorted(ages)


async def _settled(store: StoreEvents, event_id: str) -> Record:
    while True:
        record = await store.lookup(cluster.NAMESPACE, event_id)
        if record is not None and record.settled_at is not None:
            return record
        await asyncio.sleep(0.05)


async def _depth(store: StoreEvents) -> int:
    await asyncio.sleep(STATS_S + 0.1)  # older statistics are told again
    return sum(each.depth for each in await store.stats() if each.function == FLOODED)


async def rate(rig: Rig, seconds: float) -> float:
    """Measure how many events of the flood are settled in a second when nothing else happens."""
    rig.flood(on=True)
    before, began = await _depth(rig.store), time.monotonic()
    await asyncio.sleep(seconds)
    return (before - await _depth(rig.store)) / (time.monotonic() - began)


async def measure(options: argparse.Namespace) -> None:
    """Run everything."""
    with tempfile.TemporaryDirectory(prefix="klambda-flood-") as directory:
        place = Path(directory)
        bench = hop.Bench(place, await hop.build(place), options.python)
        quiet: list[list[float]] = []
        try:
            for queued in (0, 10_000, options.events):
                async with running(bench, queued) as rig:
                    rig.flood(on=True)
                    if not queued:
                        await others(rig, 1)
                        quiet = [await others(rig, options.seconds) for _ in range(options.rounds)]
                    else:
                        await asyncio.sleep(2)
                    print(
                        f"{queued} queued: RSS of the store {rss(rig.store_pid):.1f} MiB, "
                        f"of the gateway {rss(rig.system.pid):.1f} MiB",
                        flush=True,
                    )
                    if queued == options.events:
                        await _flooded(rig, quiet, options)
                await bench.stop()
            async with running(bench, options.events // 5, real=True) as rig:
                done = await rate(rig, options.seconds)
                print(f"through {REAL} real instances: {done:.0f} events/s (aim: ≥ {RATE_AIM})")
        finally:
            await bench.stop()


async def _flooded(rig: Rig, quiet: list[list[float]], options: argparse.Namespace) -> None:
    print(f"worked off: {await rate(rig, options.seconds):.0f} events/s (aim: ≥ {RATE_AIM})")
    busy = [await others(rig, options.seconds) for _ in range(options.rounds)]
    print(f"left in the queue: {await _depth(rig.store)}")
    for name, rounds in (("alone", quiet), ("beside the flood", busy)):
        p50, p95 = (statistics.median(r[int(len(r) * q)] for r in rounds) for q in (0.5, 0.95))
        print(f"another function's events {name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    print(f"aim: p95 beside the flood < {OTHER_AIM} times alone")
    await synchronous(rig, seconds=options.seconds, rounds=options.rounds)
    print(f"left in the queue: {await _depth(rig.store)}")
    for part, pid in (("store", rig.store_pid), ("gateway", rig.system.pid)):
        print(f"RSS of the {part} at the end: {rss(pid):.1f} MiB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.flood", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--python", default=sys.executable)
    asyncio.run(measure(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
