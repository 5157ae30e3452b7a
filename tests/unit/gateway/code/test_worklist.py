"""The worklist: each object in need is worked on until it is not, news end a wait."""

# ruff: noqa: ARG002 - fakes keep the signatures of what they stand for

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from klambda_core.kinds import LAYER_VERSION
from klambda_gateway.code.worklist import PARALLEL, WEIGHT, Worklist
from klambda_kube.api import Api, ListResult
from klambda_kube.errors import Unreachable
from klambda_kube.reflector import Reflector

LONG = 1_000.0
"""A pause that no test waits out."""


def obj(name: str, version: int, *, needs: bool = True) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "uid": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "needs": needs}


class Source:
    """A list, and then silence; events are shown to the mirror by ``observe``."""

    def __init__(self, *items: dict[str, Any]) -> None:
        self.items = list(items)

    async def pages(self, *_: Any, **__: Any) -> AsyncGenerator[ListResult, None]:
        yield ListResult(items=self.items, resource_version="10")

    async def watch(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""


class Work:
    """What is called, and what it answers; an exception is raised."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.calls: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, namespace: str, name: str) -> bool:
        self.calls.put_nowait(name)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextlib.asynccontextmanager
async def running(worklist: Worklist) -> AsyncIterator[None]:
    task = asyncio.create_task(worklist.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def worklist(
    source: Source, work: Callable[[str, str], Awaitable[bool]], **options: Any
) -> Worklist:
    return Worklist(
        cast("Api", source), LAYER_VERSION, needs=lambda body: bool(body["needs"]), work=work,
        **options,
    )  # fmt: skip


async def test_only_what_needs_it_is_worked_on() -> None:
    work = Work()
    async with running(worklist(Source(obj("a", 1), obj("b", 2, needs=False)), work)):
        assert await work.calls.get() == "a"
        await asyncio.sleep(0)
        assert work.calls.empty()


@pytest.mark.parametrize(
    "trouble", [Unreachable("gone", maybe_applied=False), RuntimeError("odd"), False]
)
async def test_what_failed_is_tried_again(trouble: bool | Exception) -> None:
    work = Work(trouble, trouble, True)
    async with running(worklist(Source(obj("a", 1)), work, wait=0.0)):
        for _ in range(3):
            assert await work.calls.get() == "a"
        await asyncio.sleep(0)
        assert work.calls.empty()


async def test_a_nudge_ends_the_wait() -> None:
    work = Work(False, False, True)
    listed = worklist(Source(obj("a", 1)), work, wait=LONG)
    async with running(listed):
        for _ in range(2):
            assert await work.calls.get() == "a"
            await asyncio.sleep(0)
            listed.nudge()
        assert await work.calls.get() == "a"


async def test_every_change_is_told_when_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that opens a layer is a change of an object that needs nothing."""
    told: list[None] = []
    mirrors: list[Reflector[Any]] = []
    original = Reflector.run

    async def run(mirror: Reflector[Any]) -> None:
        mirrors.append(mirror)
        await original(mirror)

    monkeypatch.setattr(Reflector, "run", run)
    work = Work()
    listed = worklist(
        Source(obj("a", 1), obj("b", 2, needs=False)), work, changed=lambda: told.append(None)
    )
    async with running(listed):
        assert await work.calls.get() == "a"
        assert len(told) == 2
        mirrors[0].observe(obj("b", 20, needs=False))
        assert len(told) == 3
    assert work.calls.empty()


async def test_heavy_objects_take_turns_and_light_ones_are_many_at_once() -> None:
    begun: set[str] = set()
    gate = asyncio.Event()

    async def work(namespace: str, name: str) -> bool:
        begun.add(name)
        await gate.wait()
        return True

    light = [f"light-{number}" for number in range(PARALLEL - 2)]
    items = [obj(name, number) for number, name in enumerate([*light, "heavy-1", "heavy-2"])]
    found = worklist(
        Source(*items),
        work,
        weigh=lambda body: WEIGHT if body["metadata"]["name"].startswith("heavy") else 0,
    )
    async with running(found):
        async with asyncio.timeout(10):
            while len(begun) <= len(light):  # noqa: ASYNC110 - no news but what was called
                await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert begun == {*light, "heavy-1"}
        gate.set()
        async with asyncio.timeout(10):
            while "heavy-2" not in begun:  # noqa: ASYNC110
                await asyncio.sleep(0)
