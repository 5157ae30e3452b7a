"""Letting go: scenarios in virtual time, each a window and what it must lead to."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.scale.decide import (
    ASK_AGAIN_S,
    REPLACE_S,
    Idle,
    Spec,
    State,
    Targets,
    Window,
    decide,
)

SPEC = Spec(idle_seconds=60)
MINIMUM = Spec(idle_seconds=60, minimum=2)
OLD = Spec(idle_seconds=60, superseded=True)
NOW = 1000.0


def idle(*ages: float) -> tuple[Idle, ...]:
    return tuple(Idle(uid=f"i{number}", since=NOW - age) for number, age in enumerate(ages))


def ahead(*ages: float, broken: bool = False) -> tuple[Idle, ...]:
    return tuple(
        Idle(uid=f"p{number}", since=NOW - age, provisioned=True, broken=broken)
        for number, age in enumerate(ages)
    )


def kept(count: int, idle_seconds: float = 60) -> Spec:
    return Spec(idle_seconds=idle_seconds, provisioned=count)


def window(**members: Any) -> Window:
    counted = sum(len(members.get(each, ())) for each in ("idle", "done", "absent"))
    pods = counted + members.get("running", 0)
    return Window(**{"replicas": pods, "pods": pods} | members)


def targets(seen: Window, spec: Spec = SPEC, state: State | None = None) -> Targets:
    return decide(seen, spec, NOW, state or State())[0]


NOTHING = Targets()


@pytest.mark.parametrize(
    ("seen", "spec", "expected"),
    [
        (window(), SPEC, NOTHING),
        (window(running=3), SPEC, NOTHING),
        (window(idle=idle(59)), SPEC, NOTHING),
        (window(idle=idle(60)), SPEC, Targets(drain=("i0",))),
        (window(idle=idle(61, 90, 5)), SPEC, Targets(drain=("i1", "i0"))),
        (window(idle=idle(90), waiting=1), SPEC, NOTHING),
        (window(idle=idle(0), running=1), OLD, Targets(drain=("i0",))),
        (window(idle=idle(0), waiting=1), OLD, Targets(drain=("i0",))),
        (window(idle=idle(90, 90)), Spec(idle_seconds=60, minimum=1), Targets(drain=("i0",))),
        (
            window(idle=idle(90), running=1),
            Spec(idle_seconds=60, minimum=1),
            Targets(drain=("i0",)),
        ),
        (window(done=("d",)), SPEC, Targets(release=("d",), replicas=0)),
        (window(done=("d",), running=2), SPEC, Targets(release=("d",), replicas=2)),
        (window(done=("d",), running=2, starting=True), SPEC, NOTHING),
        (window(done=("d",), running=2, ready=False), SPEC, NOTHING),
        (window(done=("d",), running=1, replicas=3), SPEC, NOTHING),
        (window(done=("d",), running=1, replicas=1), SPEC, NOTHING),
        (window(done=("d",), absent=idle(1)), SPEC, NOTHING),
        (window(done=("d",), absent=idle(60)), SPEC, Targets(release=("d", "i0"), replicas=0)),
        (window(absent=idle(60), waiting=1), SPEC, NOTHING),
        (window(absent=idle(0)), OLD, Targets(release=("i0",), replicas=0)),
        (window(done=("d",), running=1, waiting=1), SPEC, Targets(release=("d",), replicas=1)),
        (window(ended=("e",), running=1), SPEC, Targets(delete=("e",))),
        (
            window(done=("a", "b"), running=1),
            Spec(idle_seconds=60, minimum=2),
            Targets(start=1),
        ),
        (
            window(done=("a", "b"), running=2),
            Spec(idle_seconds=60, minimum=2),
            Targets(release=("a", "b"), replicas=2),
        ),
    ],
)
def test_one_decision(seen: Window, spec: Spec, expected: Targets) -> None:
    assert targets(seen, spec) == expected


@pytest.mark.parametrize(
    ("seen", "spec", "expected"),
    [
        # desired = max(running + waiting, provisioned): data-plane.md, "Scaling"
        (window(), kept(3), Targets(start=3)),
        (window(coming=2, replicas=2), kept(3), Targets(start=1)),
        (window(coming=5, replicas=5, waiting=5), kept(3), NOTHING),
        (window(idle=idle(5)), kept(2), Targets(start=2)),
        (window(idle=ahead(5), provisioned=1), kept(2), Targets(start=1)),
        (window(idle=ahead(900, 900), provisioned=2), kept(2), NOTHING),
        (window(idle=ahead(900), running=1, provisioned=2), kept(2), NOTHING),
        (window(running=4, provisioned=2), kept(2), NOTHING),
        # spill-over ages like everything else, and beside what is kept
        (
            window(idle=ahead(900, 900) + idle(61, 59), provisioned=2),
            kept(2),
            Targets(drain=("i0",)),
        ),
        # lowered or removed: the longest idle of them go after the idle window
        (window(idle=ahead(900, 30, 70), provisioned=3), kept(2), Targets(drain=("p0",))),
        (window(idle=ahead(61, 59), provisioned=2), SPEC, Targets(drain=("p0",))),
        (window(idle=ahead(900), running=1, provisioned=2), kept(1), Targets(drain=("p0",))),
        # superseded: at once
        (
            window(idle=ahead(0), provisioned=1),
            Spec(idle_seconds=60, provisioned=1, superseded=True),
            Targets(drain=("p0",)),
        ),
        # a minimum is started like what is provisioned, counting all that there is
        (window(), MINIMUM, Targets(start=2)),
        (window(absent=idle(1)), MINIMUM, Targets(start=1)),
        (window(idle=idle(900), running=1), MINIMUM, NOTHING),
        (window(idle=idle(900, 901, 5)), MINIMUM, Targets(drain=("i1",))),
        (window(done=("d",), idle=idle(5)), MINIMUM, Targets(start=1)),
        (window(replicas=2), MINIMUM, NOTHING),
        (window(failing=True), MINIMUM, NOTHING),
        (window(), dataclasses.replace(MINIMUM, superseded=True), NOTHING),
        (window(), dataclasses.replace(MINIMUM, provisioned=3), Targets(start=3)),
        # bare pods: deleted when done or given up; they count for the minimum
        (window(bare=1, bare_done=("b",)), SPEC, Targets(delete=("b",))),
        (window(bare=1, bare_absent=idle(60)), SPEC, Targets(delete=("i0",))),
        (window(bare=1, bare_absent=idle(59)), SPEC, NOTHING),
        (window(bare=1, bare_absent=idle(60), waiting=1), SPEC, NOTHING),
        (window(bare=1, bare_absent=idle(0)), OLD, Targets(delete=("i0",))),
        (window(bare=2), MINIMUM, NOTHING),
        (window(bare=2, bare_done=("b",)), MINIMUM, Targets(delete=("b",), start=1)),
        (window(bare=2, done=("d",)), MINIMUM, Targets(release=("d",), replicas=0)),
        # while starts fail nothing is started, and what is on its way is not given up
        (window(failing=True), kept(2), NOTHING),
        (window(absent=idle(900, 900), coming=2), kept(2), NOTHING),
        # one is done (died, drained): replaced first, lowered when the new one is there
        (window(done=("d",), idle=ahead(5), provisioned=1), kept(2), Targets(start=1)),
        (
            window(done=("d",), idle=ahead(5, 5), provisioned=2),
            kept(2),
            Targets(release=("d",), replicas=2),
        ),
        # INIT failed: kept for a while, then replaced
        (window(idle=ahead(REPLACE_S - 1, broken=True), provisioned=1), kept(1, 1), NOTHING),
        (
            window(idle=ahead(REPLACE_S, broken=True), provisioned=1),
            kept(1),
            Targets(drain=("p0",), start=1),
        ),
    ],
)
def test_what_is_provisioned(seen: Window, spec: Spec, expected: Targets) -> None:
    assert targets(seen, spec) == expected


def test_a_drain_is_asked_once_and_again_only_when_nothing_came_of_it() -> None:
    seen = window(idle=idle(90))
    first, state = decide(seen, SPEC, NOW, State())
    assert first.drain == ("i0",)
    second, state = decide(seen, SPEC, NOW + 1, state)
    assert second == NOTHING
    third, state = decide(seen, SPEC, NOW + ASK_AGAIN_S, state)
    assert third.drain == ("i0",)
    _, state = decide(window(running=1), SPEC, NOW + 6, state)
    assert state == State(), "it ran instead: forgotten"


def test_pods_that_cannot_be_made_are_given_up_after_the_idle_window() -> None:
    seen = window(running=2, replicas=9)
    state = State()
    for second in range(60):
        found, state = decide(seen, SPEC, NOW + second, state)
        assert found == NOTHING
    found, _ = decide(seen, SPEC, NOW + 60, state)
    assert found == Targets(replicas=2)
    waited = dataclasses.replace(seen, waiting=1)
    assert decide(waited, SPEC, NOW + 60, state)[0] == NOTHING


@given(
    running=st.integers(0, 4),
    ages=st.lists(st.floats(0, 200), max_size=6),
    done=st.integers(0, 3),
    waiting=st.integers(0, 2),
    minimum=st.integers(0, 3),
    superseded=st.booleans(),
    starting=st.booleans(),
)
def test_what_runs_is_never_let_go(
    running: int,
    ages: list[float],
    done: int,
    waiting: int,
    minimum: int,
    superseded: bool,
    starting: bool,
) -> None:
    gone = tuple(f"d{number}" for number in range(done))
    seen = window(running=running, idle=idle(*ages), done=gone, waiting=waiting, starting=starting)
    spec = Spec(idle_seconds=60, minimum=minimum, superseded=superseded)
    found, state = decide(seen, spec, NOW, State())
    assert set(found.drain) <= {each.uid for each in seen.idle}
    assert set(found.release) <= set(gone)
    if found.replicas is not None:
        assert not starting
        assert found.replicas >= running + len(ages)
        assert found.replicas == seen.replicas - len(found.release)
    if not superseded:
        left = running + len(ages) - len(found.drain)
        assert left >= min(minimum, running + len(ages))
    again, _ = decide(seen, spec, NOW, state)
    assert again.drain == ()


def test_provisioned_in_virtual_time() -> None:
    """Set, filled, spilt over, idle for an hour, lowered, removed: never below what is set."""
    state, number, on_demand, wanted = State(), 0, 0, 4
    for second in range(4000):
        wanted = 4 if second < 3800 else 1 if second < 3900 else 0
        spike = 3 if 100 <= second < 160 else 0
        on_demand = max(on_demand, spike)
        since = NOW + (second if spike else max(160, 0) if second >= 160 else 0)
        seen = Window(
            replicas=number + on_demand,
            pods=number + on_demand,
            running=number + on_demand if spike else 0,
            provisioned=number,
            idle=()
            if spike
            else tuple(
                Idle(uid=f"{kind}{each}", since=since, provisioned=kind == "p")
                for kind, count in (("p", number), ("d", on_demand))
                for each in range(count)
            ),
        )
        found, state = decide(seen, kept(wanted), NOW + second, state)
        number += found.start
        number -= sum(each.startswith("p") for each in found.drain)
        on_demand -= sum(each.startswith("d") for each in found.drain)
        if second < 3800:
            assert number == 4
        if second == 300:
            assert on_demand == 0
    assert (number, on_demand) == (0, 0)


def test_a_square_wave_in_virtual_time() -> None:
    """Load for a minute, then none: what it needed stays for the idle window and then goes."""
    state, instances, lows = State(), 10, []
    for second in range(200):
        busy = second < 60
        since = NOW + 59
        seen = Window(
            replicas=instances,
            pods=instances,
            running=instances if busy else 0,
            idle=()
            if busy
            else tuple(Idle(uid=f"i{number}", since=since) for number in range(instances)),
        )
        found, state = decide(seen, SPEC, NOW + second, state)
        if found.drain:
            done = Window(replicas=instances, pods=instances, done=found.drain)
            lowered, state = decide(done, SPEC, NOW + second, state)
            assert lowered.replicas is not None
            instances = lowered.replicas
            lows.append((second, instances))
    assert lows == [(119, 0)]
