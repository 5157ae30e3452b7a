"""The reflector and the lease on a real API server, through the proxy that cuts and stalls."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from klambda_kube.api import Api, Object
from klambda_kube.errors import NotFound
from klambda_kube.installation import get_or_create_key, wait_for_key
from klambda_kube.lease import Lease
from klambda_kube.reflector import Reflector
from tests.integration.kube.conftest import CONFIG_MAP, eventually
from tests.support.faultproxy import FaultProxy, status

ConfigMap = Callable[..., Object]
Change = tuple[str | None, str | None]


def value_of(obj: Object) -> str:
    return f"{obj['metadata']['name']}={(obj.get('data') or {}).get('x', '')}"


class Mirror:
    def __init__(self, api: Api, namespace: str, *, inactivity: float = 5.0) -> None:
        self.changes: list[Change] = []
        self.reflector: Reflector[str] = Reflector(
            api,
            CONFIG_MAP,
            value_of,
            namespaces=[namespace],
            label_selector="made-by=test",
            on_change=lambda old, new: self.changes.append((old, new)),
            inactivity=inactivity,
            jitter=lambda: 0.0,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reflector.run())
        await asyncio.wait_for(self.reflector.synced.wait(), 10)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def values(self) -> list[str]:
        return sorted(self.reflector)


async def make(api: Api, namespace: str, body: Object) -> Object:
    return await api.create(CONFIG_MAP, namespace, body, field_manager="test")


async def test_it_follows(api: Api, direct: Api, namespace: str, config_map: ConfigMap) -> None:
    await make(direct, namespace, config_map("a", x="1"))
    mirror = Mirror(api, namespace)
    async with mirror.running():
        assert mirror.values() == ["a=1"]
        await make(direct, namespace, config_map("b", x="1"))
        await direct.merge_patch(
            CONFIG_MAP, namespace, "a", {"data": {"x": "2"}}, field_manager="t"
        )
        await direct.delete(CONFIG_MAP, namespace, "b")
        await eventually(lambda: len(mirror.changes) == 4)
    assert mirror.changes == [(None, "a=1"), (None, "b=1"), ("a=1", "a=2"), ("b=1", None)]


async def test_an_object_that_leaves_the_selection_is_gone(
    api: Api, direct: Api, namespace: str, config_map: ConfigMap
) -> None:
    await make(direct, namespace, config_map("a", x="1"))
    mirror = Mirror(api, namespace)
    async with mirror.running():
        for label in (None, "test"):
            patch = {"metadata": {"labels": {"made-by": label}}}
            await direct.merge_patch(CONFIG_MAP, namespace, "a", patch, field_manager="t")
        await eventually(lambda: len(mirror.changes) == 3)
    assert mirror.changes == [(None, "a=1"), ("a=1", None), (None, "a=1")]


async def test_what_happened_while_the_server_was_away(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    for name in "abc":
        await make(direct, namespace, config_map(name, x="1"))
    mirror = Mirror(api, namespace)
    async with mirror.running():
        proxy.refusing = True
        proxy.cut_streams()
        await direct.delete(CONFIG_MAP, namespace, "a")
        await direct.delete(CONFIG_MAP, namespace, "b")
        await make(direct, namespace, config_map("b", x="again"))
        proxy.fail(status(410, "Expired"), query="watch=true")  # resuming is refused: list anew
        proxy.refusing = False
        await eventually(lambda: mirror.values() == ["b=again", "c=1"])
    assert ("a=1", None) in mirror.changes
    assert mirror.changes[3:].count(("b=1", None)) == 1
    assert mirror.changes[-1] == (None, "b=again")
    assert mirror.reflector.relists == 2


async def test_a_cut_alone_resumes_without_a_list(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    mirror = Mirror(api, namespace)
    async with mirror.running():
        for round_ in range(5):
            await eventually(lambda: proxy.open_streams == 1)
            proxy.cut_streams()
            await make(direct, namespace, config_map(f"a{round_}", x="1"))
            await eventually(lambda count=round_ + 1: len(mirror.reflector) == count)  # type: ignore[misc]
    assert mirror.reflector.relists == 1


async def test_an_error_in_the_stream_leads_to_a_list(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    mirror = Mirror(api, namespace)
    async with mirror.running():
        for code, reason in ((410, "Expired"), (500, "InternalError")):
            await eventually(lambda: proxy.open_streams == 1)
            error = {"type": "ERROR", "object": {"code": code, "reason": reason}}
            before = mirror.reflector.relists
            await proxy.inject(json.dumps(error).encode())
            await eventually(lambda: mirror.reflector.relists == before + 1)  # noqa: B023
        await eventually(lambda: proxy.open_streams == 1)
        before = mirror.reflector.relists
        await proxy.inject(b"{half a li")
        await eventually(lambda: mirror.reflector.relists == before + 1)
        await make(direct, namespace, config_map("a", x="1"))
        await eventually(lambda: mirror.values() == ["a=1"])


async def test_a_silent_stream_is_replaced(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    mirror = Mirror(api, namespace, inactivity=1.0)
    async with mirror.running():
        await eventually(lambda: proxy.open_streams == 1)
        proxy.stall_streams()
        await make(direct, namespace, config_map("a", x="1"))
        await eventually(lambda: mirror.values() == ["a=1"], within=10)
        assert mirror.reflector.age() < 5


async def test_own_writes_are_there_at_once_and_do_not_flicker(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    mirror = Mirror(api, namespace, inactivity=60)
    async with mirror.running():
        await eventually(lambda: proxy.open_streams == 1)
        proxy.stall_streams()
        for x in "123":
            body = {"metadata": {"name": "a", "labels": {"made-by": "test"}}, "data": {"x": x}}
            written = await direct.apply(CONFIG_MAP, namespace, "a", body, field_manager="t")
            mirror.reflector.observe(written)
            assert mirror.values() == [f"a={x}"]
        await direct.delete(CONFIG_MAP, namespace, "a", uid=written["metadata"]["uid"])
        mirror.reflector.forget((namespace, "a"), written["metadata"]["uid"])
        assert mirror.values() == []
        await make(direct, namespace, config_map("b", x="end"))
        proxy.resume_streams()
        await eventually(lambda: mirror.values() == ["b=end"])
    assert mirror.changes == [
        (None, "a=1"),
        ("a=1", "a=2"),
        ("a=2", "a=3"),
        ("a=3", None),
        (None, "b=end"),
    ]


async def test_storm_of_changes_cuts_and_expiries(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    """Whatever was missed on the way, the end is equal and every change was told exactly once."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    mirror = Mirror(api, namespace, inactivity=2.0)
    async with mirror.running():
        for step in range(250):
            name = f"o{chance.randrange(8)}"
            try:
                if chance.random() < 0.4:
                    await direct.delete(CONFIG_MAP, namespace, name)
                else:
                    body = config_map(name, x=str(step))
                    written = await direct.apply(
                        CONFIG_MAP, namespace, name, body, field_manager="t"
                    )
                    if chance.random() < 0.3:
                        mirror.reflector.observe(written)
            except NotFound:
                pass
            misbehave(proxy, chance.randrange(14))
        proxy.resume_streams()
        listed = await direct.list(CONFIG_MAP, namespace, label_selector="made-by=test")
        expected = sorted(value_of(each) for each in listed.items)
        await eventually(lambda: mirror.values() == expected)
    told: dict[str, str] = {}
    for old, new in mirror.changes:
        name = (old or new or "").partition("=")[0]
        assert told.pop(name, None) == old, f"seed {seed}"
        if new is not None:
            told[name] = new
    assert sorted(told.values()) == expected, f"seed {seed}"


def misbehave(proxy: FaultProxy, how: int) -> None:
    """Four of the ways are faults, the others let things be."""
    match how:
        case 0:
            proxy.cut_streams()
        case 1:
            proxy.fail(status(410, "Expired"), query="watch=true")
            proxy.cut_streams()
        case 2:
            proxy.stall_streams()
        case 3:
            proxy.resume_streams()


async def test_a_consumer_that_blocks_the_loop_misses_nothing(
    api: Api, direct: Api, namespace: str, config_map: ConfigMap
) -> None:
    mirror = Mirror(api, namespace, inactivity=60)
    async with mirror.running():
        bodies = [config_map(f"s{number:03}", x="y" * 20_000) for number in range(60)]
        await asyncio.gather(*(make(direct, namespace, body) for body in bodies))
        for body in bodies[::2]:
            await direct.delete(CONFIG_MAP, namespace, body["metadata"]["name"])
        await eventually(lambda: len(mirror.reflector) == 30)
    assert sum(new is None for _, new in mirror.changes) == 30


def candidate(api: Api, namespace: str, identity: str, log: list[str]) -> Lease:
    return Lease(
        api,
        namespace=namespace,
        name="leader",
        identity=identity,
        on_acquired=lambda: log.append(f"+{identity}"),
        on_lost=lambda: log.append(f"-{identity}"),
        duration=3.0,
        renew_deadline=2.0,
        retry=0.4,
    )


async def test_the_lease_is_handed_over_and_taken_over(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str
) -> None:
    log: list[str] = []
    first, second = candidate(api, namespace, "a", log), candidate(direct, namespace, "b", log)
    task = asyncio.create_task(first.run())
    await asyncio.wait_for(first.acquired.wait(), 60)
    other = asyncio.create_task(second.run())
    await asyncio.sleep(1.5)
    assert not second.held()
    proxy.refusing = True  # a is cut off
    await asyncio.wait_for(second.acquired.wait(), 60)
    assert log == ["+a", "-a", "+b"], "the old one stopped before the new one began"
    proxy.refusing = False
    await asyncio.sleep(1.0)
    assert not first.held()
    other.cancel()  # a clean exit
    await asyncio.gather(other, return_exceptions=True)
    await asyncio.wait_for(first.acquired.wait(), 60)
    assert log == ["+a", "-a", "+b", "-b", "+a"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_all_parts_get_the_same_key_however_they_race(direct: Api, namespace: str) -> None:
    waiting = asyncio.create_task(wait_for_key(direct, namespace=namespace, poll=0.05))
    made = await asyncio.gather(*(get_or_create_key(direct, namespace=namespace) for _ in range(8)))
    assert {*made, await asyncio.wait_for(waiting, 60)} == {made[0]}
    assert len(bytes.fromhex(made[0])) == 32


@pytest.mark.parametrize("namespaces", [None, []])
async def test_scopes(api: Api, namespaces: list[str] | None) -> None:
    reflector: Reflector[str] = Reflector(api, CONFIG_MAP, value_of, namespaces=namespaces)
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.synced.wait(), 5)
    assert (len(reflector) > 0) == (namespaces is None)  # kube-system has config maps
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
