"""The work queue in virtual time: deduplication, serial keys, priorities, back-off."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_operator.model import Priority
from klambda_operator.workqueue import BACKOFF_MAX_S, WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock=clock, jitter=lambda: 1.0)


def taken(queue: WorkQueue[str]) -> list[str]:
    keys = []
    while (found := queue.take()) is not None:
        keys.append(found[0])
    return keys


def test_a_key_waits_only_once(queue: WorkQueue[str]) -> None:
    for key in ("a", "b", "a"):
        queue.add(key)
    assert queue.depth() == 2
    assert taken(queue) == ["a", "b"]


def test_a_key_is_never_worked_on_twice_at_a_time(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert taken(queue) == ["a"]
    queue.add("a")
    assert taken(queue) == []
    queue.done("a")
    assert taken(queue) == ["a"]


def test_done_without_news_is_the_end(queue: WorkQueue[str]) -> None:
    queue.add("a")
    taken(queue)
    queue.done("a")
    assert queue.idle()
    assert taken(queue) == []


def test_high_goes_before_low_but_low_has_its_turn(queue: WorkQueue[str]) -> None:
    for number in range(4):
        queue.add(f"low{number}", Priority.LOW)
        queue.add(f"high{number}")
    order = taken(queue)
    assert order[:4] == ["high0", "high1", "high2", "low0"]
    assert sorted(order) == sorted(f"{p}{n}" for p in ("low", "high") for n in range(4))


def test_a_low_key_is_raised_and_keeps_its_age(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a", Priority.LOW)
    clock.now += 5
    queue.add("a")
    queue.add("a", Priority.LOW)
    assert queue.depth() == 1
    assert queue.oldest() == 5.0
    assert queue.take() == ("a", 5.0)


def test_news_while_busy_keep_the_higher_priority(queue: WorkQueue[str]) -> None:
    queue.add("a")
    taken(queue)
    queue.add("a", Priority.HIGH)
    queue.add("a", Priority.LOW)
    queue.add("b", Priority.LOW)
    queue.done("a")
    assert taken(queue) == ["a", "b"]


def test_a_delayed_key_waits_for_its_time(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 10)
    assert taken(queue) == []
    assert queue.next_due() == 10.0
    clock.now += 10
    assert taken(queue) == ["a"]
    assert queue.next_due() is None


def test_the_earlier_of_two_dates_counts(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 3)
    queue.add_after("a", 7)
    clock.now += 3
    assert taken(queue) == ["a"]
    queue.done("a")
    clock.now += 20
    assert taken(queue) == []


def test_back_off_doubles_up_to_a_limit_and_is_forgotten(queue: WorkQueue[str]) -> None:
    waits = [queue.retry("a") for _ in range(13)]
    assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
    assert waits[-1] == BACKOFF_MAX_S
    queue.forget("a")
    assert queue.retry("a") == 0.2


def test_advice_of_the_server_is_heeded(queue: WorkQueue[str]) -> None:
    assert queue.retry("a", at_least=7.0) == 7.0


async def test_get_waits_for_a_key(queue: WorkQueue[str]) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == ("a", 0.0)


async def test_get_waits_for_a_delay() -> None:
    loop = asyncio.get_running_loop()
    queue: WorkQueue[str] = WorkQueue(clock=loop.time, jitter=lambda: 1.0)
    queue.add_after("a", 0.01)
    key, _ = await queue.get()
    assert key == "a"


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 3), st.sampled_from(Priority)),
        st.tuples(st.just("after"), st.integers(0, 3), st.integers(0, 5)),
        st.tuples(st.just("take"), st.just(0), st.just(0)),
        st.tuples(st.just("done"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("tick"), st.just(0), st.integers(0, 5)),
    )
)


@given(OPERATIONS)
def test_no_change_is_lost_and_no_key_is_doubled(operations: list[tuple[str, int, int]]) -> None:
    """After the last add of a key, the key is taken once more, whatever happens in between."""
    clock = Clock()
    queue: WorkQueue[int] = WorkQueue(clock=clock, jitter=lambda: 1.0)
    busy: set[int] = set()
    owed: set[int] = set()
    for name, key, value in operations:
        match name:
            case "add":
                queue.add(key, Priority(value))
                owed.add(key)
            case "after":
                queue.add_after(key, value)
                owed.add(key)
            case "tick":
                clock.now += value
            case "done":
                queue.done(key)
                busy.discard(key)
            case "take":
                if (found := queue.take()) is not None:
                    assert found[0] not in busy
                    busy.add(found[0])
                    owed.discard(found[0])
    for key in busy:
        queue.done(key)
    clock.now += 10
    rest = []
    while (found := queue.take()) is not None:
        rest.append(found[0])
        queue.done(found[0])
    assert owed <= set(rest)
