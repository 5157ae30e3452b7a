"""Memory of gateway and operator by the number of Functions: real API server, real processes.

Functions are applied a thousand at a time, each with code of its own in the object; when all are
Active and the processes have been quiet for a while, their resident memory is read. Nothing runs:
an idle function is what most functions are.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from klambda_core.kinds import DEPLOYMENT, FUNCTION
from klambda_kube.api import Api
from klambda_kube.config import from_kubeconfig
from tests.support.apiserver import free_ports, running_apiserver
from tests.support.rights import install_roles
from tools.bench.processes import rss

HOME: Final = "klambda"
QUIET_S: Final = 15.0


def function(name: str) -> dict[str, Any]:
    """One of them."""
    source = f"def handler(event, context):\n    return {name!r}\n"
    return {
        "metadata": {"name": name},
        "spec": {
            "runtime": "python3.13",
            "handler": "app.handler",
            "environment": {"variables": {"STAGE": "test", "TABLE": name}},
            "tags": {"team": "bench"},
            "code": {"files": {"app.py": source}},
        },
    }


async def add(api: Api, first: int, count: int) -> None:
    """Apply so many and wait until each is Active."""
    limit = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with limit:
            await api.create(FUNCTION, "default", function(f"f{number}"), field_manager="bench")

    await asyncio.gather(*(one(first + number) for number in range(count)))
    while True:
        active = 0
        async for page in api.pages(FUNCTION, "default"):
            active += sum("active" in (each.get("status") or {}) for each in page.items)
        if active >= first + count:
            return
        await asyncio.sleep(2)


async def measure(kubeconfig: Path, parts: dict[str, subprocess.Popen[bytes]], steps: int) -> None:
    """Print a row per thousand."""
    async with Api(from_kubeconfig(kubeconfig)) as api:
        before: dict[str, float] = {}
        for step in range(steps + 1):
            began = time.monotonic()
            if step:
                await add(api, (step - 1) * 1000, 1000)
            took = time.monotonic() - began
            await asyncio.sleep(QUIET_S)
            sizes = {name: rss(process.pid) for name, process in parts.items()}
            before = before or sizes
            deployments = len((await api.list(DEPLOYMENT, "default")).items)
            cells = " | ".join(
                f"{size:.1f} | {(size - before[name]) / step if step else 0:.1f}"
                for name, size in sizes.items()
            )
            print(f"| {step * 1000} | {deployments} | {took:.0f} | {cells} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--thousands", type=int, default=5)
    steps: int = parser.parse_args().thousands
    parts = ("gateway", "store", "operator")
    heads = " | ".join(f"{part} MiB | per 1,000" for part in parts)
    print(f"| Functions | Deployments | until Active s | {heads} |")
    print(f"|--:|--:|--:|{'--:|' * 2 * len(parts)}", flush=True)
    with running_apiserver() as server, tempfile.TemporaryDirectory() as folder:
        server.create_namespace(HOME)
        install_roles(server)
        http, admin, frames, store, other = free_ports(5)
        environment = {
            **os.environ,
            "KUBECONFIG": str(server.kubeconfig),
            "KLAMBDA_NAMESPACE": HOME,
            "KLAMBDA_RUNTIMES": json.dumps({"python3.13": {"image": "runtime:test"}}),
            "KLAMBDA_HTTP_PORT": str(http),
            "KLAMBDA_INSTANCE_PORT": str(frames),
            "KLAMBDA_STORE_URL": f"http://127.0.0.1:{store}",
            "KLAMBDA_STORE_PORT": str(store),
            "KLAMBDA_DATA": f"{folder}/store",
        }
        ports = {"gateway": admin, "store": store, "operator": other}
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for part in parts:
                if part == "store":
                    environment["KLAMBDA_INSTALLATION_KEY"] = key_of(server)
                with (Path(folder) / f"{part}.log").open("wb") as log:
                    running[part] = subprocess.Popen(
                        [sys.executable, "-m", f"klambda_{part}"],
                        env=environment | {"KLAMBDA_ADMIN_PORT": str(ports[part])},
                        stdout=log,
                        stderr=log,
                    )
            asyncio.run(measure(server.kubeconfig, running, steps))
        finally:
            for process in running.values():
                process.kill()
            for process in running.values():
                process.wait()


def key_of(server: Any) -> str:
    """The installation key, once the gateway has made it."""
    path = f"/api/v1/namespaces/{HOME}/secrets/klambda-installation"
    while True:
        status, body = server.request("GET", path)
        if status == 200:
            return base64.b64decode(body["data"]["key"]).decode()
        time.sleep(0.2)


if __name__ == "__main__":
    main()
