"""Functions take turns, whatever their queues hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from klambda_store.events.fairness import take_turns, wants
from tests.support.events import wants as request


def test_the_round_begins_behind_who_was_served_last() -> None:
    asked = request(10, credits={"b": 0, "c": 20}, default_credit=3)
    assert list(wants(asked, ["c", "a", "b", "d"], "a").items()) == [("c", 10), ("d", 3), ("a", 3)]
    assert list(wants(asked, ["a", "c"], "z")) == ["a", "c"]
    assert wants(asked, [], "") == {}


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(0, 100), max_size=20)),
    st.integers(0, 30),
    st.integers(1, 500),
)
def test_turns(queues: dict[str, list[int]], limit: int, room: int) -> None:
    found = {
        uid: [(f"{uid}{number}", size) for number, size in enumerate(sizes)]
        for uid, sizes in queues.items()
    }
    chosen = take_turns(found, limit=limit, bytes_limit=room)
    sizes = {event: size for each in found.values() for event, size in each}
    assert len(chosen) <= limit
    assert len({event for _, event in chosen}) == len(chosen)
    if len(chosen) > 1:
        assert sum(sizes[event] for _, event in chosen) <= room
    given_to = {uid: [event for who, event in chosen if who == uid] for uid in found}
    for uid, events in given_to.items():
        assert events == [event for event, _ in found[uid]][: len(events)], "in their order"
    for one in found:
        for other in found:
            if len(given_to[one]) < len(found[one]):
                assert len(given_to[other]) <= len(given_to[one]) + 1, "in turns"
