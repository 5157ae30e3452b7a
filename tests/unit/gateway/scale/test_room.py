"""Who gives way in a full cluster: data-plane.md, "Cannot start"."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from klambda_gateway.scale.room import Guest, Homeless, give_way, lacks

NOW, PATIENCE = 100.0, 5.0
FULL = (
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
    "1 No preemption victims found for incoming pod."
)
NEVER = (
    "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: "
    "1 Preemption is not helpful for scheduling."
)
NEW = Homeless(function=("ns", "new"), since=NOW - 1, message=FULL, cpu=300, memory=160)


def new(**change: Any) -> Homeless:
    return dataclasses.replace(NEW, **change)


def guest(uid: str, age: float = 60, **change: Any) -> Guest:
    base = Guest(uid=uid, function=("ns", uid), since=NOW - age, cpu=100, memory=160)
    return dataclasses.replace(base, **change)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (FULL, {"cpu"}),
        (FULL.replace("cpu", "memory"), {"memory"}),
        (
            FULL.replace("1 Insufficient cpu", "1 Insufficient cpu, 2 Too many pods"),
            {"cpu", "pods"},
        ),
        (NEVER, set()),
        # some nodes are too small, others only full
        (
            (
                "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are "
                "available: 1 No preemption victims found for incoming pod, 1 Preemption is not "
                "helpful for scheduling."
            ),
            {"cpu"},
        ),
        ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", set()),
        ("0/1 nodes are available: 1 Insufficient cpu.", {"cpu"}),
        ("", set()),
    ],
)
def test_what_a_pod_lacks(message: str, expected: set[str]) -> None:
    assert lacks(message) == expected


@pytest.mark.parametrize(
    ("homeless", "guests", "leaving", "expected"),
    [
        ([], [guest("a")], [], ()),
        ([new()], [], [], ()),
        # longest idle first, as many as are needed and no more
        (
            [new()],
            [guest("a", 5), guest("b", 9), guest("c", 7), guest("d", 3)],
            [],
            ("b", "c", "a"),
        ),
        ([new(cpu=200)], [guest("a", 5), guest("b", 9), guest("c", 7)], [], ("b", "c")),
        ([new(cpu=101)], [guest("a", 5), guest("b", 9)], [], ("b", "a")),
        ([new()], [guest("a", cpu=1000), guest("b", 50)], [], ("a",)),
        # two pods need twice as much
        ([new(cpu=100)] * 2, [guest("a", 5), guest("b", 9), guest("c", 7)], [], ("b", "c")),
        # what is leaving already counts
        ([new()], [guest("a", 5), guest("b", 9)], [guest("x"), guest("y")], ("b",)),
        ([new(cpu=100)], [guest("a")], [guest("x")], ()),
        # less than is needed may do: nodes are not quite full
        ([new()], [guest("a")], [], ("a",)),
        # never of the same function, nor what ran a moment ago
        ([new()], [guest("a", function=("ns", "new")), guest("b", 0.9)], [], ()),
        # not for one that room would not help, nor when its requests have been told
        ([new(message=NEVER)], [guest("a")], [], ()),
        ([new(since=NOW - PATIENCE)], [guest("a")], [], ()),
        # by what is lacking
        (
            [new(message=FULL.replace("cpu", "memory"), memory=320)],
            [guest("a", 9), guest("b", 8), guest("c", 7)],
            [],
            ("a", "b"),
        ),
        (
            [new(message="0/1 nodes are available: 1 Too many pods.")],
            [guest("a", 9), guest("b", 8)],
            [],
            ("a",),
        ),
    ],
)
def test_who_gives_way(
    homeless: list[Homeless], guests: list[Guest], leaving: list[Guest], expected: tuple[str, ...]
) -> None:
    assert give_way(homeless, guests, leaving, now=NOW, patience=PATIENCE) == expected


def test_asking_again_asks_nobody_new() -> None:
    """Those who were asked are leaving: the next tick counts them."""
    guests = [guest(f"g{number}", 60 - number) for number in range(6)]
    first = give_way([NEW], guests, [], now=NOW, patience=PATIENCE)
    assert first == ("g0", "g1", "g2")
    rest = [each for each in guests if each.uid not in first]
    gone = [each for each in guests if each.uid in first]
    assert give_way([NEW], rest, gone, now=NOW + 1, patience=PATIENCE) == ()


def test_nobody_gives_way_for_surplus_pods_alone() -> None:
    assert give_way([new(surplus=True)], [guest("a")], [], now=NOW, patience=PATIENCE) == ()


def test_a_function_with_surplus_pods_gives_way_and_room_is_made_for_them_too() -> None:
    """The scheduler may give the first place to a surplus pod, which has waited for longer."""
    guests = [guest(str(n), age=60 - n, function=("ns", "full"), cpu=300) for n in range(4)]
    surplus = new(function=("ns", "full"), surplus=True)
    asked = give_way([surplus, NEW], guests, [], now=NOW, patience=PATIENCE)
    assert asked == ("0", "1")
