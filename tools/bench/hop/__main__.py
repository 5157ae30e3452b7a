"""The warm hop against Go's ReverseProxy: CPU, throughput, latency and memory, in one run.

    load ─► gateway process (unmodified; its cluster stands still) ─► instances that echo in frames
    load ─► Go httputil.ReverseProxy ─► Go net/http echo

Run by ``make bench-hop``. Each system runs on one core, its load and its far side on another. For
every size and number of connections the systems take turns, several rounds; what counts are the
ratios within one round, and their median. CPU is what the kernel charged to the process under
measurement, divided by the requests it answered. Loopback only; seconds per case.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from klambda_core.urls import url_id
from tests.support.apiserver import free_ports
from tests.support.compiled import compiled_tree
from tools.bench.hop import cluster
from tools.bench.processes import cpu, rss

HERE = Path(__file__).parent
SIZES = (64, 1024, 256 << 10, 6 << 20)
CONNECTIONS = (1, 32, 256)
LARGE = 256 << 10
IN_FLIGHT = 48 << 20
"""Bytes of bodies at once; gateways refuse more than 64 MiB."""
INTERPRETED = "interpreted"
VARIANTS: dict[str, tuple[int, dict[str, str]]] = {
    # name: (functions in the table, settings)
    "gateway": (1, {}),
    INTERPRETED: (1, {}),
    "without the fast lane": (1, {"KLAMBDA_FAST_LANE": "off"}),
    "with the access log": (1, {"KLAMBDA_ACCESS_LOG": "on"}),
    "10,000 functions": (10_000, {}),
}
PATH = "/2015-03-31/functions/hop/invocations"
URL = f"/_url/{url_id(cluster.KEY, cluster.NAMESPACE, 'hop')}/"
MEASURED, OTHERS = "0", "1"
"""Cores."""
BASELINE_REPEATS = 3


class ConnectionFailed(Exception):
    """A connection ended, or an answer was not the echo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One thing to send load to."""

    name: str
    pid: int
    address: str
    path: str = "/"
    signed: bool = False
    unsigned_payload: bool = False
    event: bool = False
    """The answer is the event of a function URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How it is loaded."""

    size: int
    connections: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What came of it."""

    cpu_us: float
    per_second: float
    p50_us: float
    p99_us: float
    rss_mib: float
    failed: int


@dataclass(slots=True)
class Bench:
    """The processes and what they are started with."""

    place: Path
    peers: Path
    python: str = sys.executable
    started: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, core: str, *command: str | Path, **environment: str) -> int:
        """Start a process on one core; its output goes to a file."""
        log = self.place / f"{len(self.started)}.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                "taskset", "-c", core, *command,
                env=os.environ | environment, stdout=out, stderr=out,
            )  # fmt: skip
        self.started.append(process)
        return process.pid

    async def stop(self) -> None:
        """End what was started, last first."""
        for process in reversed(self.started):
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def load(self, system: System, case: Case) -> Sample:
        """Load a system and account for its CPU.

        The baseline ends a connection now and then instead of answering a large body (seen with
        Go 1.26: EOF); such a sample of it is taken again. Of the gateway's none may fail.
        """
        for _ in range(0 if system.signed else BASELINE_REPEATS):
            try:
                return await self._load(system, case)
            except ConnectionFailed as error:
                print(f"again: {error}", file=sys.stderr)
        return await self._load(system, case)

    async def _load(self, system: System, case: Case) -> Sample:
        flags = ["-to", system.address, "-path", system.path, "-size", str(case.size)]
        flags += ["-connections", str(case.connections), "-seconds", str(case.seconds)]
        if system.signed:
            flags += ["-access-key", cluster.ACCESS["accessKeyId"]]
        if system.unsigned_payload:
            flags += ["-unsigned-payload"]
        if system.event:
            flags += ["-event"]
        before = cpu(system.pid)
        process = await asyncio.create_subprocess_exec(
            "taskset", "-c", OTHERS, self.peers, "load", *flags,
            env=os.environ | {"PEERS_SECRET": cluster.ACCESS["secretAccessKey"]},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        spent = cpu(system.pid) - before
        if process.returncode:
            raise RuntimeError(f"load on {system.name} failed")
        told = json.loads(out)
        if told["failed"]:
            raise ConnectionFailed(
                f"{system.name}: {told['failed']} connections failed: {told['why']}"
            )
        return Sample(
            cpu_us=spent / told["requests"] * 1e6,
            per_second=told["requests"] / told["seconds"],
            p50_us=told["p50_us"],
            p99_us=told["p99_us"],
            rss_mib=rss(system.pid),
            failed=told["failed"],
        )


async def until_ready(admin: int) -> None:
    """Wait until a gateway says that it is."""
    url = f"http://127.0.0.1:{admin}/readyz"
    for _ in range(300):
        try:
            await asyncio.to_thread(urllib.request.urlopen, url, timeout=1)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return
    raise RuntimeError("the gateway is never ready")


@asynccontextmanager
async def proxied(bench: Bench) -> AsyncIterator[System]:
    """Run the baseline."""
    back, front = free_ports(2)
    await bench.start(OTHERS, bench.peers, "echo", "-listen", f"127.0.0.1:{back}")
    pid = await bench.start(
        MEASURED, bench.peers, "proxy", "-listen", f"127.0.0.1:{front}",
        "-to", f"127.0.0.1:{back}", GOMAXPROCS="1",
    )  # fmt: skip
    await asyncio.sleep(0.3)
    yield System(name="Go ReverseProxy", pid=pid, address=f"127.0.0.1:{front}")


@asynccontextmanager
async def gateway(bench: Bench, *, instances: int, name: str) -> AsyncIterator[System]:
    """Run a gateway with its instances."""
    functions, settings = VARIANTS[name]
    http, admin, frames = free_ports(3)
    place = bench.place / name
    place.mkdir()
    sources = [each for each in sys.path if not each.startswith(sys.base_prefix)]
    if name != INTERPRETED:  # as in the image; the first time it takes a minute
        sources.insert(0, str(await asyncio.to_thread(compiled_tree, place / "compiled")))
    async with cluster.running(place, instances=instances, functions=functions) as kubeconfig:
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "KLAMBDA_NAMESPACE": cluster.HOME,
            "KLAMBDA_HTTP_PORT": str(http),
            "KLAMBDA_ADMIN_PORT": str(admin),
            "KLAMBDA_INSTANCE_PORT": str(frames),
            "KLAMBDA_IDLE_SECONDS": "86400",
            "KLAMBDA_STORE_URL": "http://127.0.0.1:9",
            "PYTHONPATH": os.pathsep.join(sources),
        } | settings
        pid = await bench.start(MEASURED, bench.python, "-m", "klambda_gateway", **environment)
        await until_ready(admin)
        await bench.start(
            OTHERS, bench.peers, "instances", "-gateway", f"127.0.0.1:{frames}",
            "-key", cluster.KEY, "-namespace", cluster.NAMESPACE,
            "-deployment", cluster.SERVED, "-count", str(instances),
        )  # fmt: skip
        await connected(admin, instances)
        yield System(name=name, pid=pid, address=f"127.0.0.1:{http}", path=PATH, signed=True)


async def connected(admin: int, instances: int) -> None:
    """Wait until the gateway counts so many instances."""
    wanted = f"klambda_gateway_instances_connected {float(instances)}"

    def there() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=5) as answer:
            return wanted in answer.read().decode()

    for _ in range(100):
        if await asyncio.to_thread(there):
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the instances never connected")


Rows = dict[tuple[int, int, str], list[Sample]]


COLUMNS = (
    "body", "connections", "system", "CPU µs/request", "CPU ratio", "requests/s", "ratio",
    "p50 µs", "p99 µs", "RSS MiB",
)  # fmt: skip


def show(rows: Rows, baseline: str) -> str:
    """Render a Markdown table: medians, and medians of the ratios to the baseline's rounds."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (size, connections, name), samples in rows.items():
        base = rows[size, connections, baseline]
        pairs = list(zip(samples, base, strict=True))
        cpu_ratio = statistics.median(own.cpu_us / other.cpu_us for own, other in pairs)
        rate_ratio = statistics.median(own.per_second / other.per_second for own, other in pairs)

        def middle(member: str, of: list[Sample] = samples) -> float:
            return float(statistics.median(getattr(each, member) for each in of))

        lines.append(
            f"| {size} | {connections} | {name} | {middle('cpu_us'):.1f} | {cpu_ratio:.2f} "
            f"| {middle('per_second'):.0f} | {rate_ratio:.2f} | {middle('p50_us'):.0f} "
            f"| {middle('p99_us'):.0f} | {middle('rss_mib'):.1f} |"
        )
    return "\n".join(lines)


async def measure(options: argparse.Namespace) -> None:
    """Run everything."""
    with tempfile.TemporaryDirectory(prefix="klambda-hop-") as directory:
        place = Path(directory)
        bench = Bench(place, await build(place), options.python)
        try:
            async with AsyncExitStack() as stack:
                enter = stack.enter_async_context
                systems = [await enter(proxied(bench))]
                for name in options.systems:
                    made = gateway(bench, instances=max(options.connections), name=name)
                    systems.append(await enter(made))
                    print(f"{name}: RSS idle {rss(systems[-1].pid):.1f} MiB", flush=True)
                print(show(await rounds(bench, systems, options), systems[0].name))
        finally:
            await bench.stop()


async def rounds(bench: Bench, systems: Sequence[System], options: argparse.Namespace) -> Rows:
    """Let the systems take turns."""
    rows: Rows = defaultdict(list)
    for size in options.sizes:
        for connections in options.connections:
            if size * connections > IN_FLIGHT:
                continue  # the bodies in flight would pass their cap, as they should
            case = Case(size=size, connections=connections, seconds=options.seconds)
            for _ in range(options.rounds):
                for system in ways(systems, size):
                    sample = await bench.load(system, case)
                    rows[size, connections, system.name].append(sample)
    return rows


def ways(systems: Sequence[System], size: int) -> list[System]:
    """Return how a system is asked: large bodies also unsigned, small ones at a URL."""
    every = list(systems)
    if size < LARGE:
        every += [
            replace(each, name=f"{each.name}, function URL", path=URL, signed=False, event=True)
            for each in systems
            if each.signed
        ]
    else:
        every += [
            replace(each, name=f"{each.name}, body unsigned", unsigned_payload=True)
            for each in systems
            if each.signed
        ]
    return every


async def build(place: Path) -> Path:
    """Build the other side."""
    go = shutil.which("go") or "/usr/local/go/bin/go"
    target = place / "peers"
    process = await asyncio.create_subprocess_exec(
        go, "build", "-trimpath", "-o", target, ".", cwd=HERE / "peers"
    )
    if await process.wait():
        sys.exit("Go is needed to build the other side")
    return target


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.hop", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--systems", nargs="+", choices=VARIANTS, default=["gateway"])
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="interpreter of the gateway, of the same version (an optimised build is 15 %% faster)",
    )
    parser.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    asyncio.run(measure(options()))
