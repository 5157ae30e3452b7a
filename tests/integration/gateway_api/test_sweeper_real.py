"""The sweeper on real Kubernetes and a real store, with a clock of its own."""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from typing import Any

from klambda_core.arn import account_id
from klambda_core.kinds import FUNCTION, LAYER_VERSION, VERSION, Kind
from klambda_gateway.blobs import Blobs
from klambda_gateway.code.shelf import Shelf
from klambda_gateway.code.sweeper import AGE_S, Sweeper
from klambda_kube import config
from klambda_kube.api import Api, ListResult
from tests.integration.gateway_api.account import eventually
from tests.integration.gateway_api.conftest import KEY, REGION, Rig
from tests.integration.gateway_api.test_gateway_api_real import create
from tests.unit.gateway_api.fakes import make_zip


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def sweep(rig: Rig, *hours: float) -> set[str]:
    """Sweep at these times from now; what is in the store afterwards."""
    clock = [time.time()]
    settings = config.from_kubeconfig(rig.server.kubeconfig)
    async with Api(settings) as api, Blobs(rig.store, KEY) as blobs:
        shelf = Shelf(api, blobs, region=REGION, account_of=account_id)
        sweeper = Sweeper(
            api, blobs, shelf, namespaces=["default"], age=AGE_S, now=lambda: clock[0]
        )
        begin = clock[0]
        for hour in hours:
            clock[0] = begin + hour * 3600
            await sweeper.sweep()
        return {blob.sha256 for blob in await blobs.list("default")}


class Late(Api):
    """The API; when the references have been read, something happens."""

    def __init__(self, settings: config.ClusterConfig, then: Callable[[], None]) -> None:
        super().__init__(settings)
        self._then = then

    async def pages(self, kind: Kind, *given: Any, **more: Any) -> AsyncGenerator[ListResult, None]:
        async for page in super().pages(kind, *given, **more):
            yield page
        if kind == LAYER_VERSION:
            await asyncio.to_thread(self._then)


async def sweep_late(rig: Rig, then: Callable[[], None]) -> set[str]:
    """The sweep a day later in which what nothing names goes, and what happens before it goes."""
    clock = time.time()
    settings = config.from_kubeconfig(rig.server.kubeconfig)
    steps = iter((lambda: None, then))
    async with Late(settings, lambda: next(steps)()) as api, Blobs(rig.store, KEY) as blobs:
        shelf = Shelf(api, blobs, region=REGION, account_of=account_id)
        sweeper = Sweeper(api, blobs, shelf, namespaces=["default"], now=lambda: clock)
        await sweeper.sweep()
        clock += AGE_S
        await sweeper.sweep()
        return {blob.sha256 for blob in await blobs.list("default")}


def test_what_kubectl_takes_up_in_mid_sweep_stays(rig: Rig, client: Any, name: str) -> None:
    """Of two packages that nothing has named for a day, a Function names one just then."""
    packages = [make_zip(f"late = '{uuid.uuid4()}'\n") for _ in range(2)]
    for package in packages:
        create(client, name, Code={"ZipFile": package})
        client.delete_function(FunctionName=name)
    taken, left = (digest(each) for each in packages)
    kubectls = f"late-{uuid.uuid4().hex[:8]}"

    def take_up() -> None:
        body = {
            "apiVersion": FUNCTION.api_version,
            "kind": FUNCTION.kind,
            "metadata": {"name": kubectls},
            "spec": {
                "runtime": "python3.13", "handler": "f.h",
                "code": {"blob": {"sha256": taken, "size": len(packages[0])}},
            },
        }  # fmt: skip
        status, answer = rig.server.request("POST", FUNCTION.path("default"), body)
        assert status == 201, answer
        eventually(lambda: resolved(rig, kubectls))

    kept = asyncio.run(sweep_late(rig, take_up))
    assert taken in kept
    assert left not in kept
    assert resolved(rig, kubectls)
    rig.server.request("DELETE", FUNCTION.path("default", kubectls))


def resolved(rig: Rig, name: str) -> bool:
    """Whether the object says that its code is there."""
    _, body = rig.server.request("GET", FUNCTION.path("default", name))
    conditions = (body.get("status") or {}).get("conditions", [])
    return any((each["type"], each["status"]) == ("CodeResolved", "True") for each in conditions)


def test_what_nothing_names_goes_after_a_day(rig: Rig, client: Any, name: str) -> None:
    packages = [make_zip(f"sweep = '{uuid.uuid4()}'\n") for _ in range(5)]
    first, second, layered, dropped, third = packages
    used = client.publish_layer_version(LayerName=name, Content={"ZipFile": layered})
    arn = used["LayerVersionArn"]
    create(client, name, Code={"ZipFile": first}, Layers=[arn])
    rig.settle()
    client.publish_version(FunctionName=name)
    rig.settle()
    client.update_function_code(FunctionName=name, ZipFile=second)
    rig.settle()
    client.update_function_code(FunctionName=name, ZipFile=third)
    client.publish_layer_version(LayerName=name, Content={"ZipFile": dropped})
    client.publish_layer_version(LayerName=name, Content={"ZipFile": third})
    for number in (1, 2):
        client.delete_layer_version(LayerName=name, VersionNumber=number)

    kept = asyncio.run(sweep(rig, 0, 23))
    assert {digest(each) for each in packages} <= kept
    numbers = {
        each["spec"]["version"]
        for each in rig.objects(LAYER_VERSION)
        if each["spec"]["layerName"] == name
    }
    assert numbers == {1, 3}, "a tombstone that is used stays, one that is not has gone"

    kept = asyncio.run(sweep(rig, 0, 25))
    assert {digest(first), digest(third), digest(layered)} <= kept
    assert not {digest(second), digest(dropped)} & kept

    stored_as = next(
        each["metadata"]["name"]
        for each in rig.objects(FUNCTION)
        if each["spec"].get("functionName") == name
    )
    client.delete_function(FunctionName=name)
    rig.server.request("DELETE", VERSION.path("default", f"{stored_as}-v1"))  # no collector here
    kept = asyncio.run(sweep(rig, 0, 25, 50))
    assert not {digest(first), digest(layered)} & kept
    assert digest(third) in kept, "a layer's content"
