"""The election in virtual time, against a Lease object with optimistic locking and faults."""

# ruff: noqa: ARG002 - fakes keep the signatures of what they stand for

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from klambda_core.kinds import Kind
from klambda_kube.errors import AlreadyExists, Conflict, NotFound, Unreachable
from klambda_kube.lease import SILENT_S, Lease
from tests.support.virtualtime import virtual

WALL = datetime(2026, 11, 21, 12, 0, 0, 1000, tzinfo=UTC)


class Server:
    """One Lease object. `fault` is called before each request and may raise or hang."""

    def __init__(self) -> None:
        self.object: dict[str, Any] | None = None
        self.version = 0
        self.holders: list[str] = []
        self.fault: dict[str, Callable[[str], Any]] = {}

    async def _answer(self, client: str, verb: str) -> dict[str, Any]:
        self.version += verb != "get"
        assert self.object is not None
        self.object["metadata"]["resourceVersion"] = str(self.version)
        holder = self.object["spec"].get("holderIdentity") or ""
        if not self.holders or self.holders[-1] != holder:
            self.holders.append(holder)
        return deepcopy(self.object)


class Client:
    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    async def _meet(self, verb: str) -> None:
        await asyncio.sleep(0.01)
        if fault := self.server.fault.get(self.name):
            result = fault(verb)
            if asyncio.iscoroutine(result):
                await result

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        await self._meet("get")
        if self.server.object is None:
            raise NotFound(404, "NotFound", name)
        return await self.server._answer(self.name, "get")

    async def create(
        self, kind: Kind, namespace: str | None, body: dict[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        await self._meet("create")
        if self.server.object is not None:
            raise AlreadyExists(409, "AlreadyExists", "")
        self.server.object = deepcopy(body)
        return await self.server._answer(self.name, "create")

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: dict[str, Any],
        *,
        field_manager: str,
    ) -> dict[str, Any]:
        await self._meet("patch")
        if self.server.object is None:
            raise NotFound(404, "NotFound", name)
        if (
            patch["metadata"]["resourceVersion"]
            != self.server.object["metadata"]["resourceVersion"]
        ):
            raise Conflict(409, "Conflict", "modified")
        self.server.object["spec"].update(patch["spec"])
        return await self.server._answer(self.name, "patch")


class Candidate:
    def __init__(self, server: Server, name: str) -> None:
        self.log: list[tuple[str, float]] = []
        self.lease = Lease(
            Client(server, name),
            namespace="klambda",
            name="leader",
            identity=name,
            on_acquired=lambda: self._note("acquired"),
            on_lost=lambda: self._note("lost"),
            jitter=lambda: 0.0,
            wall=lambda: WALL,
        )
        self.task = asyncio.create_task(self.lease.run())

    def _note(self, what: str) -> None:
        self.log.append((what, round(asyncio.get_running_loop().time(), 1)))

    async def stop(self) -> None:
        if not self.task.done():
            self.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await self.task

    @property
    def words(self) -> list[str]:
        return [what for what, _ in self.log]


@asynccontextmanager
async def leading() -> AsyncIterator[tuple[Server, Candidate]]:
    """A server, and a candidate who leads."""
    server = Server()
    first = Candidate(server, "first")
    await first.lease.acquired.wait()
    yield server, first
    await first.stop()


def lost_for(seconds: float) -> Callable[[str], Any]:
    end = asyncio.get_running_loop().time() + seconds

    def fault(verb: str) -> None:
        if asyncio.get_running_loop().time() < end:
            raise Unreachable("cut", maybe_applied=True)

    return fault


def hang(_: str) -> Any:
    return asyncio.sleep(1e6)


@virtual
async def test_the_first_comes_to_lead_and_the_second_waits() -> None:
    async with leading() as (server, first):
        second = Candidate(server, "second")
        await asyncio.sleep(300)
        assert first.words == ["acquired"]
        assert first.lease.held()
        assert second.words == []
        assert not second.lease.held()
        assert server.object is not None
        assert server.object["spec"] == {
            "holderIdentity": "first",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-11-21T12:00:00.001000Z",
            "renewTime": "2026-11-21T12:00:00.001000Z",
            "leaseTransitions": 0,
        }
        await second.stop()


@virtual
async def test_others_know_when_nobody_leads_and_since_when_the_next_one_does() -> None:
    async with leading() as (server, _):
        second, third = Candidate(server, "second"), Candidate(server, "third")
        loop = asyncio.get_running_loop()
        for _turn in range(200):
            await asyncio.sleep(0.37)
            assert second.lease.led_since() < 1.0, "it renews, and has led for long"
        server.fault["first"] = hang
        fell_silent = loop.time()
        await asyncio.sleep(SILENT_S + 3)
        assert second.lease.led_since() == third.lease.led_since() == loop.time()
        taken = [asyncio.create_task(each.lease.acquired.wait()) for each in (second, third)]
        await asyncio.wait(taken, return_when=asyncio.FIRST_COMPLETED)
        acquired = loop.time()
        await asyncio.sleep(30)
        for each in (second, third):
            assert fell_silent < acquired - 1 <= each.lease.led_since() <= acquired + 3
            await each.stop()
        for waiting in taken:
            waiting.cancel()


@virtual
async def test_a_clean_exit_hands_over_within_one_retry() -> None:
    async with leading() as (server, first):
        second = Candidate(server, "second")
        await asyncio.sleep(60)
        left = asyncio.get_running_loop().time()
        await first.stop()
        assert first.words == ["acquired", "lost"]
        await second.lease.acquired.wait()
        assert asyncio.get_running_loop().time() - left < 2.5
        assert server.object is not None
        assert server.object["spec"]["leaseTransitions"] == 1
        assert server.object["spec"]["leaseDurationSeconds"] == 15
        await second.stop()


@pytest.mark.parametrize("fault", ["cut", "hang"])
@virtual
async def test_a_leader_that_cannot_renew_stops_before_another_starts(fault: str) -> None:
    async with leading() as (server, first):
        second = Candidate(server, "second")
        await asyncio.sleep(60)
        server.fault["first"] = lost_for(1e6) if fault == "cut" else hang
        began = asyncio.get_running_loop().time()
        await second.lease.acquired.wait()
        lost = dict(first.log)["lost"]
        won = dict(second.log)["acquired"]
        assert not first.lease.held()
        assert lost < won, "two leaders at once"
        assert lost - began <= 10.1
        assert won - began <= 15 + 2 + 2.1
        await second.stop()


@virtual
async def test_a_short_outage_is_survived() -> None:
    async with leading() as (server, first):
        second = Candidate(server, "second")
        await asyncio.sleep(60)
        server.fault["first"] = lost_for(7)
        await asyncio.sleep(120)
        assert first.words == ["acquired"]
        assert second.words == []
        await second.stop()


@virtual
async def test_a_renewal_whose_answer_was_lost_is_recognised_as_our_own() -> None:
    async with leading() as (server, first):
        assert server.object is not None
        server.version += 1  # what the lost renewal did
        server.object["metadata"]["resourceVersion"] = str(server.version)
        await asyncio.sleep(60)
        assert first.words == ["acquired"]


@virtual
async def test_a_thief_is_noticed_at_the_next_renewal() -> None:
    async with leading() as (server, first):
        assert server.object is not None
        server.version += 1
        server.object["metadata"]["resourceVersion"] = str(server.version)
        server.object["spec"]["holderIdentity"] = "thief"
        await asyncio.sleep(3)
        assert first.words == ["acquired", "lost"]
        await asyncio.sleep(20)  # the thief never renews
        assert first.words == ["acquired", "lost", "acquired"]


@virtual
async def test_a_deleted_lease_is_stood_for_again() -> None:
    async with leading() as (server, first):
        server.object = None
        await asyncio.sleep(10)
        assert first.words == ["acquired", "lost", "acquired"]


@virtual
async def test_the_release_of_an_exit_does_not_hang() -> None:
    async with leading() as (server, first):
        server.fault["first"] = hang
        left = asyncio.get_running_loop().time()
        await first.stop()
        assert asyncio.get_running_loop().time() - left <= 2.1


@virtual
async def test_a_restarted_holder_takes_its_own_lease_back_at_once() -> None:
    server = Server()
    first = Candidate(server, "same")
    await first.lease.acquired.wait()
    server.fault["same"] = hang
    await first.stop()
    server.fault.clear()
    again = Candidate(server, "same")
    left = asyncio.get_running_loop().time()
    await again.lease.acquired.wait()
    assert asyncio.get_running_loop().time() - left < 0.1
    assert server.object is not None
    assert server.object["spec"]["leaseTransitions"] == 0
    await again.stop()


@virtual
async def test_many_candidates_under_faults_never_lead_together() -> None:
    server = Server()
    candidates = [Candidate(server, f"c{number}") for number in range(4)]
    for round_ in range(40):
        name = f"c{round_ % 4}"
        server.fault[name] = lost_for(5 + round_ % 13)
        for _ in range(30):
            await asyncio.sleep(0.7)
            assert sum(each.lease.held() for each in candidates) <= 1
    server.fault.clear()
    await asyncio.sleep(40)
    assert sum(each.lease.held() for each in candidates) == 1
    for each in candidates:
        await each.stop()


def test_times_that_cannot_be_safe_are_refused() -> None:
    with pytest.raises(ValueError, match="renew_deadline"):
        Lease(
            Client(Server(), "a"),
            namespace="n",
            name="l",
            identity="a",
            duration=10,
            renew_deadline=10,
        )
