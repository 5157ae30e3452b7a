"""The client against a real API server, with faults in between."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing

import pytest

from klambda_core.kinds import FUNCTION, NAMESPACE
from klambda_kube.api import Api, Object
from klambda_kube.config import ClusterConfig, TokenSource, from_kubeconfig
from klambda_kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    Throttled,
    Unreachable,
)
from tests.integration.kube.conftest import CONFIG_MAP
from tests.support.apiserver import ApiServer
from tests.support.faultproxy import Cut, FaultProxy, Stall, status

ConfigMap = Callable[..., Object]


async def test_an_object_from_birth_to_death(
    api: Api, namespace: str, config_map: ConfigMap
) -> None:
    made = await api.create(CONFIG_MAP, namespace, config_map("a", x="1"), field_manager="test")
    assert made["metadata"]["managedFields"][0]["manager"] == "test"
    assert await api.get(CONFIG_MAP, namespace, "a") == made
    patched = await api.merge_patch(
        CONFIG_MAP, namespace, "a", {"data": {"x": None, "y": "2"}}, field_manager="test"
    )
    assert patched["data"] == {"y": "2"}
    applied = await api.apply(
        CONFIG_MAP, namespace, "a", {"metadata": {"name": "a"}, "data": {"z": "3"}},
        field_manager="other",
    )  # fmt: skip
    assert applied["data"] == {"y": "2", "z": "3"}
    await api.delete(CONFIG_MAP, namespace, "a", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await api.get(CONFIG_MAP, namespace, "a")


async def test_what_is_wrong_has_a_class(api: Api, namespace: str, config_map: ConfigMap) -> None:
    made = await api.create(CONFIG_MAP, namespace, config_map("a", x="1"), field_manager="test")
    with pytest.raises(AlreadyExists):
        await api.create(CONFIG_MAP, namespace, config_map("a"), field_manager="test")
    with pytest.raises(NotFound):
        await api.create(CONFIG_MAP, "no-such-namespace", config_map("a"), field_manager="test")
    old = {"metadata": {"resourceVersion": "1"}, "data": {"x": "2"}}
    with pytest.raises(Conflict):
        await api.merge_patch(CONFIG_MAP, namespace, "a", old, field_manager="test")
    with pytest.raises(Conflict):
        await api.delete(CONFIG_MAP, namespace, "a", uid="another")
    with pytest.raises(Conflict):
        await api.delete(CONFIG_MAP, namespace, "a", resource_version="1")
    with pytest.raises(Conflict, match="conflict"):
        await api.apply(
            CONFIG_MAP, namespace, "a", {"metadata": {"name": "a"}, "data": {"x": "9"}},
            field_manager="other", force=False,
        )  # fmt: skip
    with pytest.raises(Invalid) as invalid:
        await api.create(CONFIG_MAP, namespace, config_map("A_"), field_manager="test")
    assert invalid.value.causes[0].field == "metadata.name"
    assert (await api.get(CONFIG_MAP, namespace, "a"))["data"] == made["data"]


async def test_a_rule_of_our_own_schema_is_named(api: Api, namespace: str) -> None:
    body = {"metadata": {"name": "f"}, "spec": {"runtime": "python3.13", "timeout": 100_000}}
    with pytest.raises(Invalid) as invalid:
        await api.create(FUNCTION, namespace, body, field_manager="test")
    assert any("timeout" in cause.field for cause in invalid.value.causes)


async def test_identity(apiserver: ApiServer, proxy: FaultProxy, namespace: str) -> None:
    stranger = ClusterConfig(server=proxy.url, token=TokenSource(constant="wrong"))
    async with Api(stranger) as api:
        with pytest.raises(ApiError, match="401"):
            await api.get(NAMESPACE, None, namespace)
    anonymous = ClusterConfig(server=apiserver.url, tls=from_kubeconfig(apiserver.kubeconfig).tls)
    async with Api(anonymous) as api:
        with pytest.raises((Forbidden, ApiError)) as refused:
            await api.get(NAMESPACE, None, namespace)
        assert refused.value.status in (401, 403)


async def test_a_list_is_whole_whatever_the_chunk(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    names = [f"c{number:02}" for number in range(25)]
    for name in names:
        await direct.create(CONFIG_MAP, namespace, config_map(name), field_manager="test")
    await direct.create(CONFIG_MAP, namespace, {"metadata": {"name": "x"}}, field_manager="test")
    listed = await api.list(CONFIG_MAP, namespace, label_selector="made-by=test", limit=10)
    assert [each["metadata"]["name"] for each in listed.items] == names
    assert int(listed.resource_version) > 0
    assert sum("/configmaps" in path for _, path in proxy.seen) == 3
    by_field = await api.list(CONFIG_MAP, namespace, field_selector="metadata.name=c03")
    assert [each["metadata"]["name"] for each in by_field.items] == ["c03"]
    everywhere = await api.list(CONFIG_MAP, label_selector="made-by=test", limit=7)
    assert len(everywhere.items) >= 25
    proxy.fail(status(410, "Expired"), query="continue=")
    again = await api.list(CONFIG_MAP, namespace, label_selector="made-by=test", limit=10)
    assert [each["metadata"]["name"] for each in again.items] == names
    proxy.fail(status(410, "Expired"), path="/configmaps", times=9)
    with pytest.raises(Gone):
        await api.list(CONFIG_MAP, namespace)


@pytest.mark.parametrize("action", [Cut(after=False), Cut(after=True)])
async def test_reads_survive_a_broken_connection(
    api: Api, proxy: FaultProxy, namespace: str, action: Cut
) -> None:
    fault = proxy.fail(action, method="GET", times=2)
    assert (await api.get(NAMESPACE, None, namespace))["metadata"]["name"] == namespace
    assert fault.hits == 2


async def test_a_write_is_done_once_and_its_doubt_is_told(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    fault = proxy.fail(Cut(after=True), method="POST", times=5)
    with pytest.raises(Unreachable) as doubt:
        await api.create(CONFIG_MAP, namespace, config_map("a"), field_manager="test")
    assert doubt.value.maybe_applied
    assert fault.hits == 1
    assert await direct.get(CONFIG_MAP, namespace, "a")
    fault = proxy.fail(Cut(after=True), method="PATCH", times=1)
    with pytest.raises(Unreachable):
        await api.merge_patch(CONFIG_MAP, namespace, "a", {"data": {}}, field_manager="test")
    assert fault.hits == 1


async def test_idempotent_writes_are_repeated(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    proxy.fail(Cut(after=True), method="PATCH", times=2)
    made = await api.apply(CONFIG_MAP, namespace, "a", config_map("a", x="1"), field_manager="test")
    assert made["data"] == {"x": "1"}
    proxy.fail(Cut(after=True), method="DELETE", times=1)
    with pytest.raises(NotFound):  # the first attempt did it
        await api.delete(CONFIG_MAP, namespace, "a", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await direct.get(CONFIG_MAP, namespace, "a")


async def test_a_server_that_is_not_there_was_not_reached() -> None:
    async with Api(ClusterConfig(server="http://127.0.0.1:9")) as api:
        with pytest.raises(Unreachable) as refused:
            await api.create(NAMESPACE, None, {"metadata": {"name": "a"}}, field_manager="test")
    assert not refused.value.maybe_applied


async def test_throttling_is_obeyed_for_every_verb(
    api: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    fault = proxy.fail(status(429, "TooManyRequests", retry_after=0.2), method="POST", times=2)
    began = time.monotonic()
    await api.create(CONFIG_MAP, namespace, config_map("a"), field_manager="test")
    assert fault.hits == 2
    assert time.monotonic() - began >= 0.4
    proxy.fail(status(429, "TooManyRequests", retry_after=60))
    with pytest.raises(Throttled) as throttled:
        await api.get(CONFIG_MAP, namespace, "a")
    assert throttled.value.retry_after == 60


async def test_advice_with_a_server_error_is_for_reads_only(
    api: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    proxy.fail(status(503, "ServiceUnavailable", retry_after=0.1), method="GET")
    assert await api.get(NAMESPACE, None, namespace)
    proxy.fail(status(503, "ServiceUnavailable", retry_after=0.1), method="POST")
    with pytest.raises(ApiError, match="503"):
        await api.create(CONFIG_MAP, namespace, config_map("a"), field_manager="test")


async def test_every_attempt_is_observed(
    apiserver: ApiServer, proxy: FaultProxy, namespace: str
) -> None:
    calls: list[tuple[str, str, int]] = []
    config = ClusterConfig(server=proxy.url, token=TokenSource(constant=apiserver.token))
    async with Api(
        config, observe=lambda verb, kind, code, _: calls.append((verb, kind, code))
    ) as api:
        proxy.fail(Cut(after=False), method="GET")
        await api.get(NAMESPACE, None, namespace)
        with pytest.raises(NotFound):
            await api.get(CONFIG_MAP, namespace, "none")
    assert calls == [
        ("get", "namespaces", 0),
        ("get", "namespaces", 200),
        ("get", "configmaps", 404),
    ]


async def test_a_watch_brings_lines_and_notices_silence(
    api: Api, direct: Api, proxy: FaultProxy, namespace: str, config_map: ConfigMap
) -> None:
    start = (await api.list(CONFIG_MAP, namespace)).resource_version
    big = "x" * 300_000  # far longer than a read buffer
    await direct.create(CONFIG_MAP, namespace, config_map("a", big=big), field_manager="test")
    await direct.delete(CONFIG_MAP, namespace, "a")
    got: list[str] = []

    async def read() -> None:
        watch = api.watch(CONFIG_MAP, namespace, resource_version=start, inactivity=1.0)
        async with aclosing(watch) as lines:
            async for line in lines:
                event = json.loads(line)
                got.append(event["type"])
                assert event["object"]["data"]["big"] == big

    with pytest.raises(Unreachable):  # no bookmark within a second
        await read()
    assert got == ["ADDED", "DELETED"]


async def test_a_watch_that_the_server_ends_just_ends(api: Api, namespace: str) -> None:
    start = (await api.list(CONFIG_MAP, namespace)).resource_version
    lines = [
        json.loads(line)["type"]
        async for line in api.watch(CONFIG_MAP, namespace, resource_version=start, seconds=1)
    ]
    assert set(lines) <= {"BOOKMARK"}


async def test_calls_that_hang_are_given_up(
    api: Api, proxy: FaultProxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("klambda_kube.transport.ATTEMPTS", 1)
    proxy.fail(Stall(seconds=30))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await api.get(NAMESPACE, None, namespace)
