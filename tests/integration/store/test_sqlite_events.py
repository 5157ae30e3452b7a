"""What only SQLite can do wrong: full volumes, broken files, groups of works."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from klambda_store.events.port import Corrupt, EventStoreError, NoSpace
from klambda_store.events.sqlite import FILE, RESERVE, SqliteEvents
from klambda_store.events.writer import Writer, connect
from tests.support.events import event, settled, wants

NOW = 1_790_000_000.0


async def test_a_nearly_full_volume_takes_no_events_but_lets_them_be_worked_off(
    tmp_path: Path,
) -> None:
    free = RESERVE + 1
    store = SqliteEvents(tmp_path, free_bytes=lambda _: free)
    await store.open()
    await store.put([event()], NOW)
    free = RESERVE - 1
    with pytest.raises(NoSpace):
        await store.put([event()], NOW)
    (mine,) = (await store.lease(wants(), NOW)).events
    assert await store.settle([settled(mine)], NOW) == set()
    free = RESERVE + 1
    await store.put([event()], NOW)
    assert len((await store.lease(wants(), NOW)).events) == 1
    await store.close()


async def test_a_full_disk_refuses_the_whole_put_and_recovers(tmp_path: Path) -> None:
    store = SqliteEvents(tmp_path)
    await store.open()
    await store.put([event()], NOW)
    assert store._writer is not None
    limit = store._writer._connection.execute("PRAGMA page_count").fetchone()[0] + 20
    store._writer._connection.execute(f"PRAGMA max_page_count = {limit}")
    many = [event(payload=b"x" * 4096) for _ in range(100)]
    with pytest.raises(NoSpace):
        await store.put(many, NOW)
    assert len((await store.lease(wants(1000), NOW)).events) == 1, "all or none"
    store._writer._connection.execute("PRAGMA max_page_count = 1000000")
    await store.put(many, NOW)
    assert len((await store.lease(wants(1000), NOW)).events) == 100
    await store.close()


@pytest.mark.parametrize("damage", ["header", "page"])
async def test_a_broken_file_is_found_at_the_start_and_left_alone(
    tmp_path: Path, damage: str
) -> None:
    store = SqliteEvents(tmp_path)
    await store.open()
    await store.put([event(payload=b"x" * 900) for _ in range(50)], NOW)
    await store.close()
    path = tmp_path / FILE
    content = bytearray(path.read_bytes())
    at = 0 if damage == "header" else 4096 * 2
    content[at : at + 2000] = b"\xff" * 2000
    path.write_bytes(content)
    again = SqliteEvents(tmp_path)
    with pytest.raises(Corrupt):
        await again.open()
    with pytest.raises(EventStoreError):
        await again.put([event()], NOW)
    await again.close()
    assert path.read_bytes() == content


async def test_a_file_of_a_later_release_is_refused(tmp_path: Path) -> None:
    store = SqliteEvents(tmp_path)
    await store.open()
    await store.close()
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("INSERT INTO klambda_schema VALUES (99)")
    db.close()
    again = SqliteEvents(tmp_path)
    with pytest.raises(EventStoreError, match="later release"):
        await again.open()
    await again.close()


async def test_works_are_committed_in_groups_and_fail_alone(tmp_path: Path) -> None:
    writer = Writer(connect(tmp_path / "x"))
    await writer.do(lambda db: db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)"))

    def insert(number: int) -> asyncio.Future[object]:
        work = writer.do(lambda db: db.execute("INSERT INTO t VALUES (?)", (number,)))
        return asyncio.ensure_future(work)

    done = await asyncio.gather(*map(insert, [1, 2, 2, 3]), return_exceptions=True)
    assert [isinstance(each, sqlite3.IntegrityError) for each in done] == [
        False, False, True, False
    ]  # fmt: skip
    rows = await writer.do(lambda db: db.execute("SELECT n FROM t ORDER BY n").fetchall())
    assert rows == [(1,), (2,), (3,)]
    await writer.close()
    with pytest.raises(sqlite3.ProgrammingError):
        await writer.do(lambda _: None)


async def test_many_callers_at_once_are_never_refused(tmp_path: Path) -> None:
    """Two puts of one group share a statement; nobody may let go of it in another thread."""
    store = SqliteEvents(tmp_path)
    await store.open()

    async def caller() -> None:
        for _ in range(60):
            await store.put([event() for _ in range(30)], NOW)

    await asyncio.gather(*(caller() for _ in range(6)))
    (queue,) = await store.stats(NOW)
    assert queue.depth == 6 * 60 * 30
    await store.close()


async def test_what_was_put_is_in_the_log_on_the_disk(tmp_path: Path) -> None:
    store = SqliteEvents(tmp_path)
    await store.open()
    one = event()
    await store.put([one], NOW)
    # Another process reads it without the writer's help: committed, and in the file.
    with sqlite3.connect(tmp_path / FILE) as db:
        assert db.execute("SELECT id FROM events").fetchall() == [(one.id,)]
    db.close()
    (mode,) = store._writer._connection.execute("PRAGMA synchronous").fetchone()  # type: ignore[union-attr]
    assert mode == 2, "FULL: each commit is synced"
    await store.close()
