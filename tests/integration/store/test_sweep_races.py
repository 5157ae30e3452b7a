"""A sweep against whoever brings a blob into use at that moment: nothing referenced ever goes.

A real store process, on its volume and in a bucket; the gateway's own sweeper and client.
Kubernetes is a dictionary of objects, so that a test chooses the moment, or leaves it to chance.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from klambda_core.kinds import FUNCTION, LAYER_VERSION, Kind
from klambda_gateway.blobs import Blobs, StoreError
from klambda_gateway.code.shelf import Shelf
from klambda_gateway.code.sweeper import AGE_S, Sweeper
from klambda_kube.api import Api, ListResult
from tests.integration.store.conftest import Start
from tests.support.objectstore import ObjectStore
from tests.support.store import KEY, Process

BODY = b"a package that nothing has named for long"
DIGEST = hashlib.sha256(BODY).hexdigest()
Step = Callable[[], Awaitable[None]]


async def nothing() -> None:
    pass


@dataclass(kw_only=True)
class Objects:
    """Functions by name, each with the digest that it names; stands for the API."""

    named: dict[str, str] = field(default_factory=dict)
    after_lists: Step = nothing
    """What happens when a sweep has read all references, and deletes next."""

    async def pages(
        self, kind: Kind, _: str | None = None, **__: object
    ) -> AsyncIterator[ListResult]:
        items = [function(*each) for each in self.named.items()] if kind == FUNCTION else []
        yield ListResult(items=items, resource_version="1")
        if kind == LAYER_VERSION:
            step, self.after_lists = self.after_lists, nothing
            await step()


def function(name: str, sha256: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": name},
        "spec": {"code": {"blob": {"sha256": sha256, "size": 1}}},
    }


@dataclass(kw_only=True)
class Place:
    """Where the store keeps blobs; it can be started again."""

    start: Start
    folder: Path
    environ: Mapping[str, str]
    process: Process | None = None

    async def up(self) -> Process:
        port = self.process.port if self.process is not None else 0
        self.process = self.start(self.folder, port, **self.environ)
        await asyncio.to_thread(self.process.wait)
        return self.process

    async def again(self, how: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        await asyncio.to_thread(self.process.end, how)
        await self.up()


@pytest.fixture(params=["volume", "bucket"])
def place(request: pytest.FixtureRequest, start: Start, tmp_path: Path) -> Iterator[Place]:
    if request.param == "volume":
        yield Place(start=start, folder=tmp_path, environ={})
        return
    with ObjectStore() as service:
        yield Place(start=start, folder=tmp_path, environ=service.environ())


@dataclass(kw_only=True)
class Scene:
    """A store with one blob that nothing has named for a day, and the sweep in which it goes."""

    place: Place
    blobs: Blobs
    objects: Objects = field(default_factory=Objects)
    clock: float = 0.0

    def gateway(self) -> Blobs:
        """Another gateway's client."""
        assert self.place.process is not None
        return Blobs(f"http://127.0.0.1:{self.place.process.port}", KEY)

    def sweeper(self, age: float = AGE_S) -> Sweeper:
        api = cast("Api", self.objects)
        shelf = Shelf(api, self.blobs, region="us-east-1", account_of=lambda _: "1" * 12)
        return Sweeper(api, self.blobs, shelf, age=age, now=lambda: self.clock)

    async def last_sweep(self, step: Step) -> None:
        """Sweep with this step between the reading of references and the deletion."""
        sweeper = self.sweeper()
        await sweeper.sweep()
        self.clock += AGE_S
        self.objects.after_lists = step
        await sweeper.sweep()

    async def taken_up(self, name: str = "f", by: Blobs | None = None) -> bool:
        """What a gateway does about a Function that kubectl made; whether its code is there."""
        self.objects.named[name] = DIGEST
        return await (by or self.blobs).exists("default", DIGEST)

    async def there(self) -> bool:
        return DIGEST in {each.sha256 for each in await self.blobs.list("default")}


@pytest.fixture
async def scene(place: Place) -> AsyncIterator[Scene]:
    process = await place.up()
    async with Blobs(f"http://127.0.0.1:{process.port}", KEY) as blobs:
        await blobs.put("default", BODY)
        yield Scene(place=place, blobs=blobs)


async def test_what_nothing_takes_up_goes(scene: Scene) -> None:
    await scene.last_sweep(nothing)
    assert not await scene.there()
    assert not await scene.taken_up(), "and whoever names it then is told"


async def test_what_an_object_takes_up_stays(scene: Scene) -> None:
    async def step() -> None:
        assert await scene.taken_up()

    await scene.last_sweep(step)
    assert await scene.blobs.get("default", DIGEST) == BODY


async def test_what_is_uploaded_at_another_gateway_stays(scene: Scene) -> None:
    async with scene.gateway() as other:

        async def step() -> None:
            await other.put("default", BODY)

        await scene.last_sweep(step)
    assert await scene.blobs.get("default", DIGEST) == BODY
    scene.clock += AGE_S - 1
    await scene.last_sweep(nothing)  # a new leader counts anew
    assert not await scene.there()


async def test_promises_of_a_store_that_has_ended_are_kept(scene: Scene) -> None:
    async def step() -> None:
        assert await scene.taken_up()
        await scene.place.again()

    await scene.last_sweep(step)
    assert await scene.blobs.get("default", DIGEST) == BODY


async def test_a_deletion_and_a_promise_at_once_are_one_after_the_other(scene: Scene) -> None:
    """Whatever the order: who is told that it is there finds it there."""
    for _ in range(40):
        await scene.blobs.put("default", BODY)
        (listed,) = await scene.blobs.list("default")
        promised, gone = await asyncio.gather(
            scene.blobs.exists("default", DIGEST), scene.blobs.delete(listed)
        )
        assert await scene.there() == (not gone)
        assert promised != gone, "one of the two has it"


@dataclass(kw_only=True)
class Crowd:
    """Two leaders that sweep whatever is not named, gateways that use, a store that dies."""

    scene: Scene
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    used: int = 0

    async def sweep(self) -> None:
        while not self.ending.is_set():
            try:
                await self.scene.sweeper(age=0).sweep()
            except StoreError:
                await asyncio.sleep(0.05)

    async def use(self, number: int) -> None:
        chance = random.Random(number)
        async with self.scene.gateway() as blobs:
            for turn in range(60):
                body, name = f"package {chance.randrange(4)}".encode(), f"f{number}-{turn}"
                self.scene.objects.named[name] = hashlib.sha256(body).hexdigest()
                if await brought_into_use(blobs, body):
                    assert await patiently(blobs, body) == body, "it is named, and was there"
                    self.used += 1
                del self.scene.objects.named[name]

    async def die(self) -> None:
        for how in (signal.SIGKILL, signal.SIGTERM):
            await asyncio.sleep(0.2)
            await self.scene.place.again(how)


async def brought_into_use(blobs: Blobs, body: bytes) -> bool:
    """Ask for a blob and upload it when it is not there; whether the store answered."""
    try:
        sha256 = hashlib.sha256(body).hexdigest()
        return await blobs.exists("default", sha256) or bool(await blobs.put("default", body))
    except StoreError:
        return False


async def test_sweeps_and_uses_as_they_come(scene: Scene) -> None:
    crowd = Crowd(scene=scene)
    async with asyncio.TaskGroup() as group:
        sweepers = [group.create_task(crowd.sweep()) for _ in range(2)]
        others = [group.create_task(crowd.use(number)) for number in range(4)]
        await asyncio.wait([*others, group.create_task(crowd.die())])
        crowd.ending.set()
        await asyncio.wait(sweepers)
    assert crowd.used > 50


async def patiently(blobs: Blobs, body: bytes) -> bytes:
    """The blob, from a store that may be away for some seconds."""
    sha256 = hashlib.sha256(body).hexdigest()
    for _ in range(50):
        try:
            return await blobs.get("default", sha256)
        except StoreError as error:
            if error.status == 404:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("the store does not come back")
