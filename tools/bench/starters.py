"""Both ways to start instances, as far as the control plane goes: Deployments, or bare Pods.

A real etcd, API server, controller-manager and scheduler, and a node that is only an object.
Measured is the time from the start call until each Pod exists and is bound, under the
controller-manager's default client limits (20 requests/s, burst 30) and under raised ones. What a
kubelet adds is the same for both ways (`make bench-burst`, on the cluster). Interleaved rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from klambda_core.kinds import DEPLOYMENT, POD, Kind
from klambda_kube.api import Api
from klambda_kube.config import from_kubeconfig
from klambda_kube.reflector import Reflector
from tests.support.apiserver import ApiServer, free_ports, running_apiserver

RAISED: Final = ("--kube-api-qps=500", "--kube-api-burst=1000")
LIMITS: Final = {"default (20/s)": (), "raised (500/s)": RAISED}
CASES: Final = ((20, 1), (1, 100), (100, 1))
"""(functions, instances of each), at once from zero."""
ACCOUNT: Final = Kind("", "v1", "serviceaccounts", "ServiceAccount")
LIMIT_S: Final = 180.0


def template(name: str) -> dict[str, Any]:
    """A pod like an instance's."""
    return {
        "metadata": {"labels": {"app": name, "bench": "starters"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "instance",
                    "image": "localhost/none",
                    "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
                }
            ],
        },
    }


def deployment(name: str) -> dict[str, Any]:
    """What the operator makes, in short: nothing runs yet."""
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": 0,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": template(name),
        },
    }


@contextlib.contextmanager
def controllers(server: ApiServer, limits: Sequence[str]) -> Iterator[None]:
    """Controller-manager and scheduler, with these client limits for the former."""
    keys, config = server.settings.pki, server.kubeconfig
    shared = [f"--kubeconfig={config}", "--leader-elect=false", "--bind-address=127.0.0.1"]
    first, second = free_ports(2)
    commands = [
        [
            "kube-controller-manager", *shared, *limits, f"--secure-port={first}",
            f"--service-account-private-key-file={keys.account_key}", f"--root-ca-file={keys.ca}",
        ],
        ["kube-scheduler", *shared, *RAISED, f"--secure-port={second}"],
    ]  # fmt: skip
    processes = []
    try:
        for program, *flags in commands:
            with (server.folder / f"{program}.log").open("ab") as log:
                command = ["setpriv", "--pdeathsig", "KILL", str(server.programs / program), *flags]
                processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


class Bound:
    """When each pod of a namespace was seen to be bound to a node."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.at: dict[str, float] = {}
        self._news = asyncio.Event()
        self.mirror = Reflector(api, POD, _bound, namespaces=[namespace], on_change=self._change)

    def _change(self, _: str | None, name: str | None) -> None:
        if name is not None:
            self.at.setdefault(name, time.monotonic())
            self._news.set()

    async def wait(self, count: int) -> None:
        """Wait until so many are bound."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.at) < count:
                self._news.clear()
                await self._news.wait()


def _bound(pod: dict[str, Any]) -> str | None:
    name: str = pod["metadata"]["name"]
    return name if pod["spec"].get("nodeName") else None


async def functions(api: Api, namespace: str, count: int) -> list[str]:
    """Make so many Deployments with their ReplicaSets."""
    names = [f"f{number}" for number in range(count)]
    for name in names:
        await api.create(DEPLOYMENT, namespace, deployment(name), field_manager="bench")
    await told(api, namespace, names, "observedGeneration", 1)
    return names


async def told(api: Api, namespace: str, names: Sequence[str], member: str, least: int) -> None:
    """Wait until the controllers have nothing left to say of these Deployments."""
    async with asyncio.timeout(LIMIT_S):
        for name in names:
            while True:
                status = (await api.get(DEPLOYMENT, namespace, name)).get("status") or {}
                if status.get(member, 0) >= least:
                    break
                await asyncio.sleep(0.1)
    await asyncio.sleep(2.0)


async def by_replicas(api: Api, namespace: str, names: Sequence[str], each: int) -> None:
    """Raise replicas, as the gateway does."""
    patch = {"spec": {"replicas": each}}
    calls = (
        api.merge_patch(DEPLOYMENT, namespace, name, patch, field_manager="b", subresource="scale")
        for name in names
    )
    await asyncio.gather(*calls)


async def by_pods(api: Api, namespace: str, names: Sequence[str], each: int) -> None:
    """Create the pods."""
    calls = (
        api.create(
            POD,
            namespace,
            {"metadata": {"name": f"{name}-{n}", **template(f"bare-{name}")["metadata"]},
             "spec": template(name)["spec"]},
            field_manager="b",
        )
        for name in names
        for n in range(each)
    )  # fmt: skip
    await asyncio.gather(*calls)


WAYS: Final = {"replicas": by_replicas, "bare Pods": by_pods}


async def measure(server: ApiServer, label: str, rounds: int) -> list[str]:
    """Rows of all cases, both ways in turns."""
    rows = []
    async with Api(from_kubeconfig(server.kubeconfig)) as api:
        for count, each in CASES:
            seen: dict[str, list[list[float]]] = {way: [] for way in WAYS}
            for number in range(rounds):
                for way, start in WAYS.items():
                    name = f"{label[:3]}-{way[:4]}-{count}-{number}".lower()
                    namespace = server.create_namespace(name)
                    await account(api, namespace)
                    names = await functions(api, namespace, count)
                    seen[way].append(await once(api, namespace, names, each, start))
                    if start is by_replicas:
                        await told(api, namespace, names, "replicas", each)
            for way, runs in seen.items():
                every = sorted(value for run in runs for value in run)
                cuts = statistics.quantiles(every, n=100, method="inclusive")
                p50, p95 = cuts[49], cuts[94]
                last = max(every)
                rows.append(
                    f"| {count} x {each} | {label} | {way} | {p50:.2f} | {p95:.2f} | {last:.2f} |"
                )
                print(rows[-1], flush=True)
    return rows


async def account(api: Api, namespace: str) -> None:
    """Wait for the namespace's default service account: no pod without it."""
    async with asyncio.timeout(LIMIT_S):
        while not (await api.list(ACCOUNT, namespace)).items:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def once(
    api: Api, namespace: str, names: Sequence[str], each: int, start: Any
) -> list[float]:
    """Seconds from the start call until each pod was bound."""
    bound = Bound(api, namespace)
    following = asyncio.create_task(bound.mirror.run())
    await bound.mirror.synced.wait()
    began = time.monotonic()
    await start(api, namespace, names, each)
    await bound.wait(len(names) * each)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    return [at - began for at in bound.at.values()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["default", "raised"], help="one kind of limits")
    options = parser.parse_args()
    print("| functions x instances | controller-manager | starter | p50 s | p95 s | last s |")
    print("|---|---|---|--:|--:|--:|")
    with running_apiserver(crds=()) as server:
        server.request("POST", "/api/v1/nodes", {"metadata": {"name": "paper"}})
        room = {"cpu": "1k", "memory": "1Ti", "pods": "10k"}
        status = {"status": {"allocatable": room, "capacity": room}}
        server.request(
            "PATCH", "/api/v1/nodes/paper/status", status, "application/merge-patch+json"
        )
        for label, limits in LIMITS.items():
            if options.only is None or label.startswith(options.only):
                with controllers(server, limits):
                    asyncio.run(measure(server, label, options.rounds))


if __name__ == "__main__":
    main()
