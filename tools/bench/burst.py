"""Bursts from zero on the cluster of `make up`: many functions at once, one function many times.

Run by `make bench-burst`; needs a node with room for a hundred instances (they request 5m of CPU).
Prints, for each case, how long requests waited until their handler ran; which part of that was
Kubernetes' (pod made, bound) and which the node's; what the same number of starts takes through
replicas and as bare Pods, without requests; and the CPU time that a start cost, by program.
Also: how long 500 Functions applied at once take until each is Active and can be invoked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import secrets
import statistics
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import botocore.config

from klambda_core.kinds import DEPLOYMENT, FUNCTION, POD
from klambda_gateway.scale.bare import bare_pod
from klambda_kube.api import Api
from klambda_kube.config import load
from klambda_kube.errors import NotFound
from klambda_kube.reflector import Reflector
from tests.support.cluster import CONTROL_PLANE, Cluster, wait_until
from tools.bench.processes import TICKS

SOURCE: Final = (
    "import time\n"
    "def handler(event, context):\n"
    "    began = time.time()\n"
    "    time.sleep(event or 0)\n"
    "    return began\n"
)
HOLD_S: Final = 30
"""A run of the one function that gets a hundred requests: none takes another's instance."""
NAMESPACE: Final = "default"
LIMIT_S: Final = 180
IDLE_S: Final = 60
"""Nothing is drained while the last are still starting."""
CASES: Final = ((20, 1), (100, 1), (1, 100))
"""So many functions, each so many times."""


class Bench:
    """One run against one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.prefix = f"bench-burst-{secrets.token_hex(3)}"
        config = botocore.config.Config(
            retries={"total_max_attempts": 1}, max_pool_connections=128, read_timeout=120
        )
        self.aws: Any = cluster.session.client(
            "lambda", endpoint_url=cluster.endpoint, config=config
        )

    def manifest(self, name: str) -> dict[str, Any]:
        """A function with little appetite."""
        return {
            "apiVersion": FUNCTION.api_version,
            "kind": FUNCTION.kind,
            "metadata": {"name": name},
            "spec": {
                "runtime": "python3.13",
                "handler": "app.handler",
                "timeout": 2 * HOLD_S,
                "scaling": {"idleSeconds": IDLE_S},
                "pod": {"cpu": "5m", "labels": {"bench": self.prefix}},
                "code": {"files": {"app.py": SOURCE}},
            },
        }

    @contextlib.contextmanager
    def functions(self, count: int) -> Iterator[list[str]]:
        """So many functions that have never run; gone afterwards."""
        names = [f"{self.prefix}-{number}" for number in range(count)]
        items = [self.manifest(name) for name in names]
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.cluster.kubectl("apply", "-f", "-", stdin=listed)
        try:
            self.cluster.kubectl("wait", "fn", *names, "--for=condition=Ready", "--timeout=120s")
            time.sleep(5)
            yield names
        finally:
            self.cluster.kubectl("delete", "fn", *names, "--wait=false")
            flags = ("-l", f"bench={self.prefix}")
            wait_until("no pods", lambda: not self.cluster.objects("pods", *flags), timeout=180)

    # --- requests ---------------------------------------------------------------------------------

    def requests(self, names: Sequence[str], each: int, hold: float) -> list[dict[str, float]]:
        """Invoke all at once: seconds from the request until its handler ran."""
        jobs = [name for name in names for _ in range(each)]
        gate = threading.Barrier(len(jobs))

        def one(name: str) -> dict[str, float]:
            gate.wait()
            sent = time.time()
            answer = self.aws.invoke(FunctionName=name, Payload=json.dumps(hold))
            body = json.loads(answer["Payload"].read())
            if "FunctionError" in answer:
                raise SystemExit(f"{name} answered {body}")
            return {"sent": sent, "ran": body - sent}

        with ThreadPoolExecutor(len(jobs)) as pool:
            return list(pool.map(one, jobs))

    # --- starts without requests ------------------------------------------------------------------

    async def starts(self, names: Sequence[str], each: int, way: str) -> list[float]:
        """Start so many of each: seconds until each instance had its runtime, as it tells."""
        async with Api(load(self.cluster.env)) as api:
            listed = await api.list(DEPLOYMENT, NAMESPACE, label_selector="klambda.io/function")
            wanted = set(names)
            mine = [
                each_
                for each_ in listed.items
                if each_["metadata"]["labels"]["klambda.io/function"] in wanted
            ]
            began = time.time()
            if way == "replicas":
                calls = [
                    api.merge_patch(
                        DEPLOYMENT, NAMESPACE, one["metadata"]["name"],
                        {"spec": {"replicas": each}}, field_manager="bench", subresource="scale",
                    )
                    for one in mine
                ]  # fmt: skip
            else:
                calls = [
                    api.create(POD, NAMESPACE, bare_pod(one), field_manager="bench")
                    for one in mine
                    for _ in range(each)
                ]
            await asyncio.gather(*calls)
        return self.started(began, len(names) * each)

    def started(self, began: float, count: int) -> list[float]:
        """Read from all gateways' logs when instances reported their start, to any of them."""
        deadline = time.monotonic() + LIMIT_S
        while len(found := self._told(began)) < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"within {LIMIT_S} s {len(found)} of {count} have started")
            time.sleep(1)
        return found

    def _told(self, began: float) -> list[float]:
        text = self.cluster.kubectl(
            "logs", "-n", CONTROL_PLANE, "-l", "app.kubernetes.io/component=gateway",
            "--tail=-1", "--max-log-requests=20", f"--since={int(time.time() - began) + 2}s",
        )  # fmt: skip
        times = [
            datetime.fromisoformat(json.loads(line)["time"]).timestamp() - began
            for line in text.splitlines()
            if '"instance-started"' in line and self.prefix in line
        ]
        return [each for each in times if each > 0]


class Pods:
    """When pods were seen to be made and bound, by watching."""

    def __init__(self, cluster: Cluster, label: str) -> None:
        self.made: dict[str, float] = {}
        self.bound: dict[str, float] = {}
        path = '{.metadata.name} {.spec.nodeName}{"\\n"}'
        words = ["kubectl", "get", "pods", "-l", label, "-w", "-o", f"jsonpath={path}"]
        self._process = subprocess.Popen(
            words, env=cluster.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()
        time.sleep(1)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            now, (name, _, node) = time.time(), line.strip().partition(" ")
            self.made.setdefault(name, now)
            if node:
                self.bound.setdefault(name, now)

    def close(self) -> None:
        """Stop watching."""
        self._process.terminate()
        self._process.wait()


def cpu() -> dict[str, float]:
    """CPU seconds so far by program, children that were waited for included; and all.

    All is without what other machines took on the same host ("stolen", a line of its own).
    """
    found: dict[str, float] = defaultdict(float)
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                head, _, rest = (place / "stat").read_text().rpartition(")")
                fields = rest.split()
                name = re.sub(r"^kworker/.*", "(kworkers)", head.partition("(")[2])
                found[name] += sum(map(int, fields[11:15])) / TICKS
    first = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, stolen = map(int, first[:8])
    found["(interrupts)"] = (irq + softirq) / TICKS
    found["(stolen)"] = stolen / TICKS
    found["(whole machine)"] = (user + nice + system + irq + softirq) / TICKS
    return found


def row(label: str, values: Sequence[float]) -> str:
    """A line of the table."""
    ordered = sorted(values)
    cuts = statistics.quantiles(ordered, n=100, method="inclusive") if len(ordered) > 1 else []
    p50, p95 = (cuts[49], cuts[94]) if cuts else (ordered[0], ordered[0])
    return f"| {label} | {len(ordered)} | {p50:.2f} | {p95:.2f} | {ordered[-1]:.2f} |"


def spent(before: Mapping[str, float], after: Mapping[str, float], count: int) -> str:
    """CPU milliseconds per start by program."""
    used = {name: (now - before.get(name, 0.0)) * 1000 / count for name, now in after.items()}
    most = sorted(used.items(), key=lambda each: -each[1])[:20]
    return ", ".join(f"{name} {value:.0f}" for name, value in most if value >= 1)


def burst(bench: Bench, functions: int, each: int) -> None:
    """One case, with requests."""
    label = f"{functions} functions x {each}"
    with bench.functions(functions) as names:
        pods = Pods(bench.cluster, f"bench={bench.prefix}")
        before = cpu()
        found = bench.requests(names, each, HOLD_S if each > 1 else 0)
        after = cpu()
        pods.close()
        sent = min(one["sent"] for one in found)
        print(row(f"{label}: request until its handler runs", [one["ran"] for one in found]))
        print(row("  pod made", [at - sent for at in pods.made.values()]))
        print(row("  pod bound", [at - sent for at in pods.bound.values()]))
        print(f"  CPU ms per start: {spent(before, after, functions * each)}", flush=True)


def started(bench: Bench, functions: int, each: int) -> None:
    """The same number of starts both ways, without requests."""
    for way in ("replicas", "bare Pods"):
        with bench.functions(functions) as names:
            before = cpu()
            found = asyncio.run(bench.starts(names, each, way))
            print(row(f"{functions} x {each} by {way}: until the runtime runs", found))
            print(f"  CPU ms per start: {spent(before, cpu(), functions * each)}", flush=True)


def dry_run(bench: Bench, name: str) -> bool:
    """Tell whether a function can be invoked; the gateway may hear of it after we have."""
    try:
        answer = bench.aws.invoke(FunctionName=name, InvocationType="DryRun")
    except (
        bench.aws.exceptions.ResourceNotFoundException,
        bench.aws.exceptions.ResourceConflictException,
    ):
        return False
    return bool(answer["StatusCode"] == 204)


def _active(body: Mapping[str, Any]) -> str | None:
    name: str = body["metadata"]["name"]
    return name if (body.get("status") or {}).get("active") else None


async def applied(bench: Bench, count: int) -> None:
    """Many Functions at once: until each is Active, and invocable."""
    names = [f"{bench.prefix}-many-{number}" for number in range(count)]
    at: dict[str, dict[str, float]] = {name: {} for name in names}

    def active(_: object, name: str | None) -> None:
        if name in at:
            at[name].setdefault("active", time.time())

    over = threading.Event()  # ends the threads, too, when the watch or a write has failed

    def invocable(name: str) -> None:
        wait_until(
            f"{name} can be invoked", lambda: over.is_set() or dry_run(bench, name), timeout=LIMIT_S
        )
        at[name]["invocable"] = time.time()

    async with Api(load(bench.cluster.env)) as api, asyncio.timeout(LIMIT_S):
        mirror = Reflector(api, FUNCTION, _active, namespaces=[NAMESPACE], on_change=active)
        following = asyncio.create_task(mirror.run())
        await mirror.synced.wait()
        limit = asyncio.Semaphore(32)

        async def create(name: str) -> None:
            async with limit:
                at[name]["created"] = time.time()
                await api.create(FUNCTION, NAMESPACE, bench.manifest(name), field_manager="b")

        async def followed(name: str) -> None:
            while "active" not in at[name]:
                if following.done():
                    raise SystemExit(f"the watch has ended: {following.exception()!r}")
                await asyncio.sleep(0.05)
            await loop.run_in_executor(pool, invocable, name)

        began = time.time()
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(16)
        try:
            await asyncio.gather(*(create(name) for name in names))
            written = time.time() - began
            await asyncio.gather(*(followed(name) for name in names))
        finally:
            over.set()
            pool.shutdown(wait=False, cancel_futures=True)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            for name in names:
                with contextlib.suppress(NotFound):
                    await api.delete(FUNCTION, NAMESPACE, name)
    for word in ("active", "invocable"):
        values = [each[word] - each["created"] for each in at.values()]
        print(row(f"{count} Functions applied (written in {written:.1f} s): {word}", values))


def case(text: str) -> tuple[int, int]:
    """Read a case of the command line."""
    functions, _, each = text.partition("x")
    return int(functions), int(each)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=["burst", "starts", "applied"])
    parser.add_argument("--cases", nargs="*", type=case, default=CASES, help="such as 100x1")
    options = parser.parse_args(words)
    bench = Bench(Cluster())
    print("| seconds | n | p50 | p95 | last |\n|---|--:|--:|--:|--:|")
    if "burst" in options.only:
        for functions, each in options.cases:
            burst(bench, functions, each)
    if "starts" in options.only:
        for functions, each in options.cases:
            started(bench, functions, each)
    if "applied" in options.only:
        asyncio.run(applied(bench, 500))


if __name__ == "__main__":
    main()
