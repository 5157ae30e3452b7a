"""The reflector against a scripted source: what it reports, and when."""

# ruff: noqa: ARG002 - fakes keep the signatures of what they stand for

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klambda_core.kinds import FUNCTION, Kind
from klambda_kube.api import ListResult, Object
from klambda_kube.errors import ApiError, Gone, KubeError, Unreachable
from klambda_kube.reflector import Reflector

Change = tuple[str | None, str | None]


def obj(
    name: str, version: int, *, uid: str = "", value: str = "", namespace: str = "ns"
) -> Object:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(version),
        },
        "value": value or f"{name}@{version}",
    }


def event(kind: str, body: Object) -> dict[str, Any]:
    return {"type": kind, "object": body}


class Script:
    """A source that plays lists and watches in turn; after the last it stays silent for ever."""

    def __init__(self, *acts: object) -> None:
        self.acts = list(acts)
        self.calls: list[tuple[str, Any]] = []
        self.exhausted = asyncio.Event()

    async def _next(self, wanted: type) -> Any:
        if not self.acts:
            self.exhausted.set()
            await asyncio.Event().wait()
        act = self.acts.pop(0)
        if isinstance(act, KubeError):
            raise act
        assert isinstance(act, wanted), f"{act!r} is not what was asked for"
        return act

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> AsyncGenerator[ListResult, None]:
        self.calls.append(("list", limit))
        listed: Listed = await self._next(Listed)
        for page in listed.pages:
            if isinstance(page, KubeError):
                raise page
            yield ListResult(items=page, resource_version=str(listed.version))

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        inactivity: float = 70,
    ) -> AsyncGenerator[bytes, None]:
        self.calls.append(("watch", resource_version))
        events: list[Any] = await self._next(list)
        for each in events:
            if isinstance(each, KubeError):
                raise each
            if callable(each):
                each()
                continue
            yield json.dumps(each).encode()


class Listed:
    def __init__(self, version: int, *pages: list[Object] | KubeError) -> None:
        self.version = version
        self.pages = pages


def project(body: Object) -> str | None:
    if body["value"] == "raise":
        raise ValueError(body["value"])
    return None if body["value"] == "ignore" else str(body["value"])


async def play(
    *acts: object, on_change: Callable[[Change], None] = lambda _: None
) -> tuple[Reflector[str], list[Change], Script]:
    script = Script(*acts)
    changes: list[Change] = []

    def note(old: str | None, new: str | None) -> None:
        changes.append((old, new))
        on_change((old, new))

    reflector = Reflector(script, FUNCTION, project, on_change=note, jitter=lambda: -1.0)
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(script.exhausted.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return reflector, changes, script


GONE = Gone(410, "Expired", "too old")
CUT = Unreachable("cut", maybe_applied=True)


async def test_events_after_a_list_are_reported_in_order() -> None:
    reflector, changes, script = await play(
        Listed(10, [obj("a", 3)], [obj("b", 7)]),
        [
            event("MODIFIED", obj("a", 11)),
            event("ADDED", obj("c", 12)),
            event("DELETED", obj("b", 13)),
            event("BOOKMARK", {"metadata": {"resourceVersion": "20"}}),
        ],
    )
    assert changes == [
        (None, "a@3"),
        (None, "b@7"),
        ("a@3", "a@11"),
        (None, "c@12"),
        ("b@7", None),
    ]
    assert sorted(reflector) == ["a@11", "c@12"]
    assert reflector.get(("ns", "a")) == "a@11"
    assert script.calls == [("list", 500), ("watch", "10"), ("watch", "20")]


@pytest.mark.parametrize(
    "failure",
    [
        GONE,
        event("ERROR", {"code": 410, "reason": "Expired", "message": "too old"}),
        event("ERROR", {"code": 500, "reason": "InternalError", "message": "etcd"}),
        event("SURPRISE", {}),
    ],
)
async def test_a_deletion_during_a_gap_is_reported_after_the_relist(failure: object) -> None:
    _, changes, script = await play(
        Listed(10, [obj("a", 3), obj("b", 4)]),
        [failure],
        Listed(20, [obj("a", 3)]),
    )
    assert changes == [(None, "a@3"), (None, "b@4"), ("b@4", None)]
    assert [call for call, _ in script.calls] == ["list", "watch", "list", "watch"]


async def test_a_cut_resumes_where_it_was_without_a_list() -> None:
    _, changes, script = await play(
        Listed(10, []),
        [event("ADDED", obj("a", 11)), CUT],
        [event("MODIFIED", obj("a", 12))],
    )
    assert changes == [(None, "a@11"), ("a@11", "a@12")]
    assert script.calls == [("list", 500), ("watch", "10"), ("watch", "11"), ("watch", "12")]


async def test_a_list_that_expires_midway_is_taken_in_one_piece_and_changes_nothing_before() -> (
    None
):
    _, changes, script = await play(
        Listed(10, [obj("a", 3)], GONE),
        Listed(12, [obj("a", 3), obj("b", 11)]),
    )
    assert changes == [(None, "a@3"), (None, "b@11")]
    assert script.calls[:2] == [("list", 500), ("list", 0)]


async def test_a_namesake_is_reported_as_gone_and_new() -> None:
    _, changes, _ = await play(
        Listed(10, [obj("a", 3, uid="first")]),
        [GONE],
        Listed(20, [obj("a", 15, uid="second")]),
    )
    assert changes == [(None, "a@3"), ("a@3", None), (None, "a@15")]


async def test_a_deletion_of_the_predecessor_does_not_take_the_successor() -> None:
    reflector, changes, _ = await play(
        Listed(10, [obj("a", 9, uid="second")]),
        [event("DELETED", obj("a", 11, uid="first"))],
    )
    assert list(reflector) == ["a@9"]
    assert changes == [(None, "a@9")]


async def test_unchanged_objects_are_not_reported_again_by_a_relist() -> None:
    _, changes, _ = await play(Listed(10, [obj("a", 3)]), [GONE], Listed(20, [obj("a", 3)]))
    assert changes == [(None, "a@3")]


async def test_an_observed_object_is_there_at_once_and_not_overtaken_by_older_events() -> None:
    reflector: Reflector[str]

    def observe() -> None:
        reflector.observe(obj("a", 15))
        assert reflector.get(("ns", "a")) == "a@15"

    script = Script(
        Listed(10, [obj("a", 3)]),
        [
            observe,
            event("MODIFIED", obj("a", 12)),
            event("MODIFIED", obj("a", 15)),
            event("MODIFIED", obj("a", 16)),
        ],
    )
    changes: list[Change] = []
    reflector = Reflector(
        script, FUNCTION, project, on_change=lambda old, new: changes.append((old, new))
    )
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(script.exhausted.wait(), 5)
    task.cancel()
    assert changes == [(None, "a@3"), ("a@3", "a@15"), ("a@15", "a@16")]


async def observing(*acts: object) -> tuple[Reflector[str], Script, list[Change]]:
    script = Script(*acts)
    changes: list[Change] = []
    reflector = Reflector(
        script,
        FUNCTION,
        project,
        on_change=lambda old, new: changes.append((old, new)),
        jitter=lambda: -1.0,
    )
    return reflector, script, changes


async def run_out(reflector: Reflector[str], script: Script) -> None:
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(script.exhausted.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_answer_that_the_stream_has_passed_does_not_resurrect() -> None:
    reflector, script, changes = await observing()
    script.acts = [
        Listed(10, [obj("a", 3)]),
        [event("DELETED", obj("a", 12)), lambda: reflector.observe(obj("a", 11))],
    ]
    await run_out(reflector, script)
    assert changes == [(None, "a@3"), ("a@3", None)]


async def test_nothing_is_observed_before_the_first_list() -> None:
    reflector, _, changes = await observing()
    reflector.observe(obj("a", 11))
    assert not changes


async def test_an_observed_object_newer_than_a_relist_survives_it() -> None:
    reflector, script, changes = await observing()
    script.acts = [
        Listed(10, []),
        [lambda: reflector.observe(obj("a", 15)), GONE],
        Listed(14, []),
        [GONE],
        Listed(16, []),
    ]
    await run_out(reflector, script)
    assert changes == [(None, "a@15"), ("a@15", None)]


async def test_a_forgotten_object_is_not_brought_back_by_older_events_nor_told_twice() -> None:
    reflector, script, changes = await observing()
    script.acts = [
        Listed(10, [obj("a", 3)]),
        [
            lambda: reflector.forget(("ns", "a"), "someone-else"),
            lambda: reflector.forget(("ns", "a"), "uid-a"),
            lambda: reflector.observe(obj("a", 11)),  # the late answer to an earlier update
            event("MODIFIED", obj("a", 11)),
            event("DELETED", obj("a", 12)),
            event("ADDED", obj("a", 13, uid="next")),
        ],
    ]
    await run_out(reflector, script)
    assert changes == [(None, "a@3"), ("a@3", None), (None, "a@13")]


async def test_a_restored_database_with_lower_versions_is_believed() -> None:
    reflector, changes, _ = await play(
        Listed(1000, [obj("a", 900)]),
        [ApiError(504, "Timeout", "Too large resource version")],
        Listed(50, [obj("a", 40), obj("b", 41)]),
        [event("MODIFIED", obj("a", 51))],
    )
    assert changes == [(None, "a@900"), ("a@900", "a@40"), (None, "b@41"), ("a@40", "a@51")]
    assert sorted(reflector) == ["a@51", "b@41"]


async def test_the_projection_decides_what_counts() -> None:
    reflector, changes, _ = await play(
        Listed(10, [obj("a", 3, value="ignore"), obj("b", 4), obj("c", 5, value="raise")]),
        [event("MODIFIED", obj("b", 11, value="ignore"))],
    )
    assert changes == [(None, "b@4"), ("b@4", None)]
    assert len(reflector) == 0


async def test_a_consumer_that_raises_does_not_stop_the_mirror() -> None:
    def fail(_: Change) -> None:
        raise RuntimeError("bug")

    reflector, changes, _ = await play(
        Listed(10, [obj("a", 3)]), [event("ADDED", obj("b", 11))], on_change=fail
    )
    assert len(changes) == 2
    assert ("ns", "b") in reflector


async def test_several_namespaces_are_one_mirror() -> None:
    class Two(Script):
        async def pages(
            self, kind: Kind, namespace: str | None = None, **_: Any
        ) -> AsyncGenerator[ListResult, None]:
            assert namespace is not None
            yield ListResult(items=[obj("a", 3, namespace=namespace)], resource_version="10")

    script = Two()
    reflector = Reflector(script, FUNCTION, project, namespaces=["x", "y", "x"])
    assert not reflector.synced.is_set()
    assert reflector.age() == float("inf")
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.synced.wait(), 5)
    await script.exhausted.wait()
    assert sorted(reflector.keys()) == [("x", "a"), ("y", "a")]
    reflector.observe(obj("q", 99, namespace="z"))  # not ours
    assert len(reflector) == 2
    assert reflector.age() < 5
    task.cancel()


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("change"), st.sampled_from("abc"), st.booleans(), st.booleans()
        ),  # name, delete it if there, observe at once
        st.sampled_from([("send",), ("cut",), ("gone",)]),
    ),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_the_mirror_ends_equal_and_each_difference_is_told_once(
    steps: list[tuple[Any, ...]],
) -> None:
    """A server with a history; streams are cut, expire and are listed again at random."""

    async def scenario() -> None:
        server = Server(steps)
        changes: list[Change] = []
        reflector = Reflector(
            server,
            FUNCTION,
            project,
            on_change=lambda old, new: changes.append((old, new)),
            jitter=lambda: -1.0,
        )
        server.reflector = reflector
        await run_out(reflector, server)
        assert sorted(reflector) == sorted(str(each["value"]) for each in server.live.values())
        replayed: dict[str, str] = {}
        for old, new in changes:
            name = (old or new or "")[0]
            assert replayed.get(name) == old, "a change starts from what was told before"
            if new is None:
                del replayed[name]
            else:
                replayed[name] = new

    asyncio.run(scenario())


class Server(Script):
    def __init__(self, steps: list[tuple[Any, ...]]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.version = 10
        self.live: dict[str, Object] = {}
        self.history: list[tuple[int, dict[str, Any]]] = []
        self.reflector: Reflector[str] | None = None

    def change(self, name: str, delete: bool, observed: bool) -> None:
        """One change of the world, which the mirror's owner may have made and observe at once."""
        assert self.reflector is not None
        self.version += 1
        known = self.live.get(name)
        if known is not None and delete:
            del self.live[name]
            uid = known["metadata"]["uid"]
            self.history.append((self.version, event("DELETED", obj(name, self.version, uid=uid))))
            if observed:
                self.reflector.forget(("ns", name), uid)
            return
        uid = known["metadata"]["uid"] if known else f"{name}-{self.version}"
        self.live[name] = obj(name, self.version, uid=uid)
        self.history.append(
            (self.version, event("MODIFIED" if known else "ADDED", self.live[name]))
        )
        if observed:
            self.reflector.observe(self.live[name])

    async def pages(
        self, kind: Kind, namespace: str | None = None, **_: Any
    ) -> AsyncGenerator[ListResult, None]:
        yield ListResult(items=list(self.live.values()), resource_version=str(self.version))

    async def watch(
        self, kind: Kind, namespace: str | None = None, *, resource_version: str, **_: Any
    ) -> AsyncGenerator[bytes, None]:
        position = int(resource_version)
        while True:
            match self.steps.pop(0) if self.steps else ("send",):
                case ("change", name, delete, observed):
                    self.change(name, delete, observed)
                case ("cut",):
                    raise CUT
                case ("gone",):
                    raise GONE
                case _:
                    for version, each in [e for e in self.history if e[0] > position]:
                        position = version
                        yield json.dumps(each).encode()
                    if not self.steps:
                        self.exhausted.set()
                        await asyncio.Event().wait()
