"""What only a database that is shared and elsewhere can do: races, crashes, moving in and out."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from klambda_gateway.events.client import StoreEvents
from klambda_store.events.port import EventStoreError
from klambda_store.events.postgres import PostgresEvents
from klambda_store.events.sqlite import SqliteEvents
from tests.integration.store.conftest import Start
from tests.support.events import event, retry, settled, wants
from tests.support.postgres import Postgres, running
from tests.support.store import KEY

NOW = 1_790_000_000.0


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A server that the test may end."""
    with running() as server:
        yield server


async def test_stores_that_start_together_migrate_once(postgres: Postgres) -> None:
    url = postgres.fresh_database()
    stores = [PostgresEvents(url) for _ in range(4)]
    await asyncio.gather(*(each.open() for each in stores))
    await stores[0].put([event()], NOW)
    assert len((await stores[3].lease(wants(), NOW)).events) == 1
    for each in stores:
        await each.close()


async def test_two_stores_never_hand_out_one_event_twice(postgres: Postgres) -> None:
    url = postgres.fresh_database()
    stores = [PostgresEvents(url) for _ in range(3)]
    for each in stores:
        await each.open()
    events = [event(f"f{number % 7}") for number in range(400)]
    await stores[0].put(events, NOW)
    seen: list[str] = []

    async def drain(store: PostgresEvents) -> None:
        idle = 0
        while idle < 3:
            taken = (await store.lease(wants(9, default_credit=3), NOW + 1)).events
            idle = 0 if taken else idle + 1
            seen.extend(each.event.id for each in taken)
            assert await store.settle([settled(each) for each in taken], NOW + 1) == set()

    await asyncio.gather(*(drain(each) for each in stores for _ in range(2)))
    assert len(seen) == len(set(seen)) == 400
    assert await stores[1].stats(NOW) == []
    for each in stores:
        await each.close()


async def test_a_crash_of_the_server_loses_nothing_and_the_adapter_recovers(
    own_server: Postgres,
) -> None:
    store = PostgresEvents(own_server.fresh_database())
    await store.open()
    one = event()
    await store.put([one], NOW)
    own_server.end(signal.SIGQUIT)
    with pytest.raises(EventStoreError):
        await store.put([event()], NOW)
    own_server.start()
    async with asyncio.timeout(30):
        while True:
            try:
                (mine,) = (await store.lease(wants(), NOW)).events
                break
            except EventStoreError:
                await asyncio.sleep(0.1)
    assert mine.event == one
    await store.close()


async def test_a_database_of_a_later_release_is_refused(postgres: Postgres) -> None:
    url = postgres.fresh_database()
    store = PostgresEvents(url)
    await store.open()
    await store.close()
    db = await asyncpg.connect(url)
    await db.execute("INSERT INTO klambda_schema VALUES (99)")
    await db.close()
    again = PostgresEvents(url)
    with pytest.raises(EventStoreError, match="later release"):
        await again.open()
    await again.close()


async def test_two_store_processes_share_a_database(
    start: Start, postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.fresh_database()
    clients = []
    for name in ("a", "b"):
        process = start(tmp_path / name, KLAMBDA_EVENTS_DATABASE_URL=url)
        process.wait()
        clients.append(StoreEvents(f"http://127.0.0.1:{process.port}", KEY))
    first, second = clients
    seen = (await second.lease(wants())).news
    waiting = asyncio.create_task(second.news(seen, 20))
    one = event()
    await first.put(one)
    await waiting  # others' arrivals cannot be told: the wait is short instead
    (mine,) = (await second.lease(wants())).events
    assert mine.event == one
    assert (await first.lease(wants())).events == ()
    assert await first.settle(settled(mine)), "any store takes the report"
    for each in clients:
        await each.close()


async def test_a_store_waits_for_a_database_that_is_not_there_yet(
    start: Start, own_server: Postgres, tmp_path: Path
) -> None:
    url = own_server.fresh_database()
    own_server.end()
    process = start(tmp_path, KLAMBDA_EVENTS_DATABASE_URL=url)
    process.wait()  # blobs are served
    own_server.start()
    client = StoreEvents(f"http://127.0.0.1:{process.port}", KEY)
    await client.put(event())
    await client.close()


@pytest.mark.parametrize("direction", ["in", "out"])
async def test_moving_takes_everything_along(
    postgres: Postgres, tmp_path: Path, direction: str
) -> None:
    url = postgres.fresh_database()
    places = {"sqlite": str(tmp_path), "postgres": url}
    source, target = ("sqlite", "postgres") if direction == "in" else ("postgres", "sqlite")

    def adapter(kind: str) -> SqliteEvents | PostgresEvents:
        return SqliteEvents(tmp_path) if kind == "sqlite" else PostgresEvents(url)

    old = adapter(source)
    await old.open()
    events = [event(f"f{number}", payload=bytes([number, 0, 255])) for number in range(250)]
    await old.put(events, NOW)
    taken = (await old.lease(wants(3, default_credit=1), NOW)).events
    await old.retry_at([retry(taken[0], 60, error="no")], NOW)
    await old.settle([settled(taken[1])], NOW)
    await old.close()
    for _ in range(2):  # the second time nothing changes
        done = await asyncio.to_thread(moved, places[source], places[target])
        assert (done.returncode, done.stdout) == (0, "250 events and records moved\n"), done.stderr
    new = adapter(target)
    await new.open()
    rest = (await new.lease(wants(1000), NOW + 1)).events
    assert len(rest) == 247
    by_id = {each.id: each for each in events}
    assert all(each.event == by_id[each.event.id] for each in rest)
    assert await new.settle([settled(taken[2])], NOW + 1) == set(), "its lease is still good"
    (retried,) = (await new.lease(wants(1000), NOW + 60)).events[:1]
    assert (retried.event.id, retried.attempts, retried.error) == (taken[0].event.id, 1, "no")
    record = await new.lookup("default", taken[1].event.id, NOW)
    assert record is not None
    assert record.state == "succeeded"
    await new.close()


def moved(source: str, target: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "klambda_store.events.move", source, target]
    return subprocess.run(command, capture_output=True, text=True)


def test_moving_from_nowhere_says_so(tmp_path: Path) -> None:
    done = moved(str(tmp_path / "none"), str(tmp_path))
    assert (done.returncode, done.stderr.startswith("not moved")) == (1, True)
