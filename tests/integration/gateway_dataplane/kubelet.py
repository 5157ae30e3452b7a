"""Stands for ReplicaSet controller and kubelet: pods of Deployments are init processes here.

Follows ``spec.replicas`` of our Deployments, makes Pod objects, runs the real init binary for each
with the environment of the pod template, and reports the pod's status late, as a kubelet does.
Goes down by deletion cost.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from klambda_core.kinds import DEPLOYMENT, POD
from klambda_core.labels import SELECTOR, STARTER
from klambda_kube.api import Api
from klambda_kube.errors import KubeError
from tests.support.instance_peer import Init

STATUS_DELAY_S = 0.3
COST = "controller.kubernetes.io/pod-deletion-cost"


class Kubelet:
    """Await ``run``, then ``close``: no request is given up half way, whose socket would stay."""

    def __init__(self, api: Api, binary: Path, gateways: list[str], bootstrap: str) -> None:
        self._api = api
        self.binary = binary
        """What the next pod runs."""
        self.gateways = gateways
        self._bootstrap = bootstrap
        self._root = tempfile.TemporaryDirectory(prefix="klambda-pods-")
        self._numbers = itertools.count(1)
        self.running: dict[str, Init] = {}
        """By pod name."""
        self.bare: set[str] = set()
        """Of those, the ones that a gateway made."""
        self.started = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stopped: Callable[[], bool]) -> None:
        while not stopped():
            try:
                await self._turn()
            except KubeError as error:
                print("kubelet:", error)
            await asyncio.sleep(0.05)

    async def _turn(self) -> None:
        deployments = (await self._api.list(DEPLOYMENT, label_selector=SELECTOR)).items
        pods = (await self._api.list(POD, label_selector=SELECTOR)).items
        owned: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for pod in pods:
            meta = pod["metadata"]
            name = meta["labels"]["klambda.io/deployment"]
            owned.setdefault((meta["namespace"], name), []).append(pod)
        for deployment in deployments:
            meta = deployment["metadata"]
            all_of_it = owned.pop((meta["namespace"], meta["name"]), [])
            mine = [pod for pod in all_of_it if STARTER not in pod["metadata"]["labels"]]
            for pod in all_of_it:
                if STARTER in pod["metadata"]["labels"]:
                    await self._take(pod)
            missing = deployment["spec"]["replicas"] - len(mine)
            for _ in range(missing):
                await self._make(deployment)
            mine.sort(key=lambda pod: int((pod["metadata"].get("annotations") or {}).get(COST, 0)))
            for pod in mine[: max(0, -missing)]:
                await self._remove(pod)
        for orphans in owned.values():
            for pod in orphans:
                await self._remove(pod)
        there = {pod["metadata"]["name"] for pod in pods}
        for name in self.bare - there:  # the gateway deleted it
            self.bare.discard(name)
            self._later(self._stop(self.running.pop(name)))

    async def _take(self, pod: dict[str, Any]) -> None:
        """Run a Pod that somebody else made."""
        if pod["metadata"]["name"] not in self.running:
            self.bare.add(pod["metadata"]["name"])
            await self._run(pod)

    async def _make(self, deployment: dict[str, Any]) -> None:
        template, meta = deployment["spec"]["template"], deployment["metadata"]
        name = f"{meta['name']}-{next(self._numbers)}"
        pod = await self._api.create(
            POD,
            meta["namespace"],
            {"metadata": {**template["metadata"], "name": name}, "spec": template["spec"]},
            field_manager="kubelet",
        )
        await self._run(pod)

    async def _run(self, pod: dict[str, Any]) -> None:
        meta, name = pod["metadata"], pod["metadata"]["name"]
        self.started += 1
        init = Init(self.binary, Path(self._root.name) / name, self._bootstrap)
        self.running[name] = init
        environment = {
            each["name"]: each["value"]
            for each in pod["spec"]["containers"][0]["env"]
            if "value" in each and each["name"] != "KLAMBDA_BOOTSTRAP"
        }
        environment |= {
            "KLAMBDA_POD_UID": pod["metadata"]["uid"],
            "KLAMBDA_POD_NAME": name,
            "KLAMBDA_NAMESPACE": meta["namespace"],
            "KLAMBDA_GATEWAYS": ",".join(self.gateways),
        }
        await init.start(**environment)
        self._later(self._report(pod["metadata"]))

    async def _report(self, meta: dict[str, Any]) -> None:
        await asyncio.sleep(STATUS_DELAY_S)
        status = {
            "phase": "Running",
            "podIPs": [{"ip": "127.0.0.1"}],
            "podIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        try:
            await self._api.merge_patch(
                POD,
                meta["namespace"],
                meta["name"],
                {"status": status},
                field_manager="kubelet",
                subresource="status",
            )
        except KubeError as error:
            print("kubelet:", error)

    async def _remove(self, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        init = self.running.pop(meta["name"], None)
        self.bare.discard(meta["name"])
        if init is not None:
            self._later(self._stop(init))
        await self._api.delete(POD, meta["namespace"], meta["name"], uid=meta["uid"])

    async def _stop(self, init: Init) -> None:
        await init.stop()

    def _later(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        await asyncio.gather(*(init.stop() for init in self.running.values()))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._root.cleanup()
