"""The contract of ``EventStore``, the same for every adapter, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from klambda_core.events import LEASE_S, Delivery, Response
from klambda_store.events.port import EventStore, Retention
from klambda_store.events.postgres import PostgresEvents
from klambda_store.events.sqlite import SqliteEvents
from tests.support.events import event, retry, settled, wants
from tests.support.postgres import Postgres

NOW = 1_790_000_000.0
RETENTION = Retention(succeeded=60.0, failed=600.0)
Opener = Callable[[], EventStore]


@pytest.fixture(params=["sqlite", "postgres"])
def another(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Make an adapter on the same data, as a process that starts again would."""
    if request.param == "sqlite":
        return lambda: SqliteEvents(tmp_path, retention=RETENTION)
    server: Postgres = request.getfixturevalue("postgres")
    url = server.fresh_database()
    return lambda: PostgresEvents(url, retention=RETENTION)


@pytest.fixture
async def store(another: Opener) -> AsyncIterator[EventStore]:
    made = another()
    await made.open()
    yield made
    await made.close()


async def test_what_was_put_is_leased_complete_and_in_order(store: EventStore) -> None:
    first = event(payload=bytes(range(256)), qualifier="live", trace=None)
    second = event()
    await store.put([first], NOW)
    await store.put([second], NOW + 1)
    taken = await store.lease(wants(), NOW + 5)
    assert [each.event for each in taken.events] == [first, second]
    one = taken.events[0]
    assert (one.age, one.attempts, one.backoffs, one.leases) == (5.0, 0, 0, 1)
    assert (one.condition, one.error, one.response, one.pending) == (None, None, None, ())
    assert one.lease != taken.events[1].lease


async def test_a_leased_event_is_nobody_elses_until_the_lease_lapses(store: EventStore) -> None:
    await store.put([event()], NOW)
    (mine,) = (await store.lease(wants(), NOW)).events
    waiting = await store.lease(wants(), NOW + LEASE_S - 1)
    assert waiting.events == ()
    assert waiting.next_due == NOW + LEASE_S
    (theirs,) = (await store.lease(wants(), NOW + LEASE_S)).events
    assert (theirs.event.id, theirs.leases) == (mine.event.id, 2)
    lost = {mine.event.id}
    assert await store.settle([settled(mine)], NOW + LEASE_S) == lost
    assert await store.retry_at([retry(mine, 1)], NOW + LEASE_S) == lost
    assert await store.renew([(mine.event.id, mine.lease)], NOW + LEASE_S) == lost
    assert await store.settle([settled(theirs)], NOW + LEASE_S) == set()


async def test_a_renewed_lease_lasts(store: EventStore) -> None:
    await store.put([event()], NOW)
    (mine,) = (await store.lease(wants(), NOW)).events
    assert await store.renew([(mine.event.id, mine.lease)], NOW + 20) == set()
    assert (await store.lease(wants(), NOW + 49)).events == ()
    assert await store.settle([settled(mine)], NOW + 49) == set()
    assert await store.renew([(mine.event.id, mine.lease)], NOW + 49) == {mine.event.id}


async def test_leases_and_events_outlast_a_restart(store: EventStore, another: Opener) -> None:
    await store.put([event(), event()], NOW)
    (mine,) = (await store.lease(wants(1), NOW)).events
    await store.close()
    again = another()
    await again.open()
    (other,) = (await again.lease(wants(), NOW + 1)).events
    assert other.event.id != mine.event.id
    assert await again.settle([settled(mine), settled(other)], NOW + 2) == set()
    assert await again.stats(NOW) == []
    await again.close()


async def test_the_same_id_twice_is_one_event(store: EventStore) -> None:
    one = event()
    await store.put([one, one], NOW)
    await store.put([one], NOW + 1)
    (mine,) = (await store.lease(wants(), NOW + 2)).events
    await store.settle([settled(mine)], NOW + 2)
    await store.put([one], NOW + 3)
    assert (await store.lease(wants(), NOW + 3)).events == (), "not even after it is settled"


async def test_a_retry_comes_when_it_is_due_and_remembers(store: EventStore) -> None:
    await store.put([event()], NOW)
    (mine,) = (await store.lease(wants(), NOW)).events
    failed = Response(
        status_code=200, executed_version="7", function_error="Unhandled", payload=b"{}"
    )
    item = retry(mine, 60, error="Unhandled", response=failed)
    assert await store.retry_at([item], NOW + 1) == set()
    early = await store.lease(wants(), NOW + 60)
    assert (early.events, early.next_due) == ((), NOW + 61)
    (again,) = (await store.lease(wants(), NOW + 61)).events
    assert (again.attempts, again.backoffs, again.error) == (1, 0, "Unhandled")
    assert again.response == failed
    throttled = retry(again, 1, attempts=1, backoffs=1, error="Rate Exceeded.")
    await store.retry_at([throttled], NOW + 62)
    (last,) = (await store.lease(wants(), NOW + 63)).events
    assert (last.attempts, last.backoffs, last.error) == (1, 1, "Rate Exceeded.")
    assert last.response == failed, "what ran last is still known"


async def test_an_outcome_is_noted_before_it_is_told(store: EventStore) -> None:
    await store.put([event()], NOW)
    (mine,) = (await store.lease(wants(), NOW)).events
    pending = (
        Delivery(kind="on-failure", target="arn:aws:sqs:us-east-1:123456789012:q"),
        Delivery(kind="dead-letter", target="arn:aws:sns:us-east-1:123456789012:t"),
    )
    answer = Response(
        status_code=200, executed_version="$LATEST", function_error=None, payload=b"1"
    )
    noted = retry(
        mine, 0, condition="RetriesExhausted", pending=pending, response=answer, hold=True
    )
    assert await store.retry_at([noted], NOW) == set()
    assert (await store.lease(wants(), NOW + 29)).events == (), "held"
    (other,) = (await store.lease(wants(), NOW + 30)).events
    assert (other.condition, other.pending) == ("RetriesExhausted", pending)
    assert other.response == answer
    record = await store.lookup("default", mine.event.id, NOW + 30)
    assert record is not None
    assert (record.state, record.leased) == ("delivering", True)
    end = settled(other, state="undelivered", condition=None, response=None, pending=pending[:1])
    await store.settle([end], NOW + 31)
    record = await store.lookup("default", mine.event.id, NOW + 32)
    assert record is not None
    assert (record.state, record.condition) == ("undelivered", "RetriesExhausted")
    assert (record.pending, record.response) == (pending[:1], answer)
    assert record.event.payload == mine.event.payload, "kept for inspection"


async def test_functions_take_turns(store: EventStore) -> None:
    await store.put([event("a") for _ in range(50)], NOW)
    await store.put([event("b") for _ in range(3)], NOW + 1)
    await store.put([event("c") for _ in range(3)], NOW + 2)
    first = await store.lease(wants(6), NOW + 3)
    assert sorted(each.event.function for each in first.events) == ["a", "a", "b", "b", "c", "c"]
    after = await store.lease(wants(1), NOW + 3)
    assert [each.event.function for each in after.events] == ["a"]
    then = await store.lease(wants(1), NOW + 3)
    assert [each.event.function for each in then.events] == ["b"], "goes on behind the last one"


async def test_credit_and_room_bound_a_lease(store: EventStore) -> None:
    await store.put([event("a", payload=b"x" * 1000) for _ in range(9)], NOW)
    await store.put([event("b") for _ in range(9)], NOW)
    limited = wants(20, credits={"uid-a": 0, "uid-b": 2})
    taken = (await store.lease(limited, NOW)).events
    assert [each.event.function for each in taken] == ["b", "b"]
    taken = (await store.lease(wants(20, credits={"uid-b": 0}, default_credit=5), NOW)).events
    assert [each.event.function for each in taken] == ["a"] * 5
    small = wants(20, credits={"uid-b": 0}, bytes_limit=2500)
    assert len((await store.lease(small, NOW)).events) == 2
    tiny = wants(20, credits={"uid-b": 0}, bytes_limit=10)
    assert len((await store.lease(tiny, NOW)).events) == 1, "one goes whatever its size"
    assert (await store.lease(wants(0), NOW)).events == ()


async def test_a_response_that_travels_along_counts_for_the_room(store: EventStore) -> None:
    await store.put([event(), event(), event()], NOW)
    answer = Response(
        status_code=200, executed_version="1", function_error=None, payload=b"x" * 1000
    )
    for each in (await store.lease(wants(), NOW)).events:
        await store.retry_at([retry(each, 1, response=answer, condition="Success")], NOW)
    assert len((await store.lease(wants(bytes_limit=2500), NOW + 1)).events) == 2


async def test_two_who_ask_at_once_get_different_events(store: EventStore) -> None:
    await store.put([event() for _ in range(40)], NOW)
    asked = [store.lease(wants(5, holder=f"gw-{number}"), NOW) for number in range(8)]
    ids = [each.event.id for taken in await asyncio.gather(*asked) for each in taken.events]
    assert len(ids) == len(set(ids)) == 40


async def test_records_are_kept_and_forgotten(store: EventStore) -> None:
    good, bad, queued = event(), event(), event()
    for number, each in enumerate((good, bad, queued)):
        await store.put([each], NOW - 3 + number)
    first, second, _ = (await store.lease(wants(), NOW)).events
    ends = [settled(first), settled(second, state="failed", condition="RetriesExhausted")]
    await store.settle(ends, NOW)
    record = await store.lookup("default", good.id, NOW)
    assert record is not None
    assert (record.state, record.settled_at, record.leased) == ("succeeded", NOW, False)
    assert record.response is not None
    assert record.response.payload == b'"done"'
    assert record.event.payload == b""
    assert await store.lookup("other", good.id, NOW) is None, "another account's"
    assert await store.sweep(NOW + 59) == 0
    assert await store.sweep(NOW + 60) == 1
    assert await store.lookup("default", good.id, NOW) is None
    assert await store.lookup("default", bad.id, NOW) is not None
    assert await store.sweep(NOW + 600) == 1
    still = await store.lookup("default", queued.id, NOW)
    assert still is not None
    assert still.state == "queued", "what is not settled is never swept"


async def test_nothing_is_kept_when_nothing_is_to_be(another: Opener) -> None:
    store = another()
    store._retention = Retention(succeeded=0, failed=600)  # type: ignore[attr-defined]
    await store.open()
    one = event()
    await store.put([one], NOW)
    (mine,) = (await store.lease(wants(), NOW)).events
    assert await store.settle([settled(mine)], NOW) == set()
    assert await store.settle([settled(mine)], NOW) == {one.id}
    assert await store.lookup("default", one.id, NOW) is None
    await store.close()


async def test_queues_are_described(store: EventStore) -> None:
    await store.put([event("a"), event("a")], NOW)
    await store.put([event("b")], NOW + 10)
    await store.lease(wants(1), NOW + 10)
    found = {each.function: each for each in await store.stats(NOW + 20)}
    assert (found["a"].depth, found["a"].oldest_age) == (2, 20.0)
    assert (found["b"].depth, found["b"].oldest_age) == (1, 10.0)
    assert (found["a"].namespace, found["a"].function_uid) == ("default", "uid-a")


async def test_what_failed_is_taken_up_again_as_if_it_had_just_come(store: EventStore) -> None:
    good, bad, untold, others = event(), event(), event(), event("other")
    await store.put([good, bad, untold, others], NOW)
    failed = Response(
        status_code=200, executed_version="7", function_error="Unhandled", payload=b"{}"
    )
    pending = (Delivery(kind="on-failure", target="arn:q"),)
    ends: dict[str, dict[str, Any]] = {
        good.id: {},
        bad.id: {"state": "failed", "condition": "RetriesExhausted", "response": failed},
        untold.id: {
            "state": "undelivered", "condition": "RetriesExhausted", "pending": pending,
            "error": "no", "response": failed,
        },
        others.id: {"state": "failed", "condition": "RetriesExhausted"},
    }  # fmt: skip
    for each in (await store.lease(wants(), NOW)).events:
        await store.settle([settled(each, **ends[each.event.id])], NOW + 5)
    assert await store.redrive("uid-f", NOW + 4, NOW + 10) == 0, "what fails later stays"
    assert await store.redrive("uid-f", NOW + 5, NOW + 10) == 2
    assert await store.redrive("uid-f", NOW + 10, NOW + 10) == 0
    taken = {each.event.id: each for each in (await store.lease(wants(), NOW + 11)).events}
    assert set(taken) == {bad.id, untold.id}
    again = taken[bad.id]
    assert (again.event, again.age, again.attempts, again.leases) == (bad, 1.0, 0, 1)
    assert (again.condition, again.error, again.response, again.pending) == (None, None, None, ())
    told = taken[untold.id]
    assert (told.condition, told.error, told.pending) == ("RetriesExhausted", "no", pending)
    assert (told.response, told.attempts, told.backoffs) == (failed, 1, 0)
    record = await store.lookup("default", bad.id, NOW + 11)
    assert record is not None
    assert (record.state, record.redriven, record.received_at) == ("queued", 1, NOW + 10)
    assert await store.settle([settled(each) for each in taken.values()], NOW + 12) == set()
    assert await store.redrive("uid-f", NOW + 20, NOW + 20) == 0


async def test_two_who_redrive_at_once_do_it_once(store: EventStore) -> None:
    await store.put([event() for _ in range(600)], NOW)
    while taken := (await store.lease(wants(1000, default_credit=1000), NOW)).events:
        await store.settle([settled(each, state="failed") for each in taken], NOW)
    counts = await asyncio.gather(*(store.redrive("uid-f", NOW, NOW + 1) for _ in range(4)))
    while rest := await store.redrive("uid-f", NOW, NOW + 1):
        counts.append(rest)
    assert sum(counts) == 600
    (queue,) = await store.stats(NOW + 1)
    assert queue.depth == 600
