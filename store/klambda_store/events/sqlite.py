"""Events in a SQLite file: the store's own, for one process.

Place: the default adapter of ``port``. Invariants: one thread writes (``writer``), a second
connection reads statistics and records beside it; new events are refused while the volume has less
than ``RESERVE`` free, so that those that are there can still be worked off. A file that does not
pass SQLite's check at the start is left as it is, and nothing is served from it.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from klambda_core.events import (
    LEASE_S,
    Event,
    Leased,
    LeaseRequest,
    Postponement,
    QueueStats,
    Record,
    Settlement,
)
from klambda_store.events import rows, sql
from klambda_store.events.fairness import take_turns, wants
from klambda_store.events.port import (
    REDRIVE_ROWS,
    Corrupt,
    EventStoreError,
    NoSpace,
    Retention,
    Taken,
)
from klambda_store.events.writer import Writer, connect

RESERVE: Final = 32 << 20
"""Bytes of the volume that are kept for working off what is queued."""
READER_CACHE_KIB: Final = 2048
"""It counts, and finds single records: little is read twice."""
SWEEP_ROWS: Final = 500
FILE: Final = "events.sqlite3"

T = TypeVar("T")
_LITE: Final = {
    name: sql.for_sqlite(getattr(sql, name))
    for name in (
        *("PUT", "FUNCTIONS", "NEXT", "DUE", "TAKE", "RENEW", "RETRY", "SETTLE", "FORGET"),
        *("LOOKUP", "STATS", "NAME", "SWEEP", "MIGRATED", "EXPORT", "IMPORT", "REDRIVE"),
    )
}


class SqliteEvents:
    """The adapter; ``open`` it first, inside its loop."""

    shared = False

    def __init__(
        self,
        directory: Path,
        *,
        retention: Retention | None = None,
        new_lease: Callable[[], str] = lambda: secrets.token_hex(8),
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._directory = directory
        self._retention = retention or Retention()
        self._new_lease = new_lease
        self._free_bytes = free_bytes
        self._last_served = ""
        self._writer: Writer | None = None
        self._reader: sqlite3.Connection | None = None
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="events-reader")

    async def open(self) -> None:
        """Check the file, bring its schema up to date. Raises Corrupt, EventStoreError."""
        path = self._directory / FILE
        try:
            connection = await asyncio.to_thread(_prepared, path)
            self._reader = await asyncio.to_thread(connect, path, cache_kib=READER_CACHE_KIB)
        except sqlite3.DatabaseError as error:
            raise _translated(error) from error
        self._writer = Writer(connection)

    async def close(self) -> None:
        """Finish what was begun."""
        if self._writer is not None:
            await self._writer.close()
        self._reading.shutdown()
        if self._reader is not None:
            self._reader.close()

    # --- writing ----------------------------------------------------------------------------------

    async def put(self, events: Sequence[Event], now: float) -> None:
        """See the port."""
        if self._free_bytes(self._directory) < RESERVE:
            raise NoSpace("the volume is nearly full")
        values = [sql.put_values(event, now) for event in events]
        await self._write(lambda db: db.executemany(_LITE["PUT"], values))

    async def lease(self, request: LeaseRequest, now: float) -> Taken:
        """See the port."""
        return await self._write(lambda db: self._lease(db, request, now))

    def _lease(self, db: sqlite3.Connection, request: LeaseRequest, now: float) -> Taken:
        functions = [row[0] for row in db.execute(_LITE["FUNCTIONS"])]
        wanted = wants(request, functions, self._last_served)
        found = {
            uid: db.execute(_LITE["DUE"], (uid, now, credit)).fetchall()
            for uid, credit in wanted.items()
        }
        chosen = take_turns(found, limit=request.limit, bytes_limit=request.bytes_limit)
        leased: list[Leased] = []
        for uid, event in chosen:
            values = (event, self._new_lease(), request.holder, now + LEASE_S)
            (row,) = db.execute(_LITE["TAKE"], values).fetchall()
            leased.append(sql.leased_of(row, now))
            self._last_served = uid
        next_due = db.execute(_LITE["NEXT"], (now,)).fetchone()[0]
        return Taken(events=tuple(leased), next_due=next_due)

    async def renew(self, leases: Sequence[tuple[str, str]], now: float) -> set[str]:
        """See the port."""
        values = [(*each, now + LEASE_S) for each in leases]
        return await self._write(lambda db: _fenced(db, "RENEW", values))

    async def retry_at(self, items: Sequence[Postponement], now: float) -> set[str]:
        """See the port."""
        values = [rows.retry_values(item, now) for item in items]
        return await self._write(lambda db: _fenced(db, "RETRY", values))

    async def settle(self, items: Sequence[Settlement], now: float) -> set[str]:
        """See the port."""
        kept, forgotten = rows.settle_values(items, self._retention, now)
        return await self._write(
            lambda db: _fenced(db, "SETTLE", kept) | _fenced(db, "FORGET", forgotten)
        )

    async def sweep(self, now: float) -> int:
        """See the port."""
        return await self._write(lambda db: db.execute(_LITE["SWEEP"], (now, SWEEP_ROWS)).rowcount)

    async def redrive(self, function_uid: str, before: float, now: float) -> int:
        """See the port."""
        values = (function_uid, before, now, REDRIVE_ROWS)
        return await self._write(lambda db: db.execute(_LITE["REDRIVE"], values).rowcount)

    # --- reading ----------------------------------------------------------------------------------

    async def stats(self, now: float) -> list[QueueStats]:
        """See the port."""

        def read(db: sqlite3.Connection) -> list[QueueStats]:
            found = []
            for uid, depth, oldest in db.execute(_LITE["STATS"]).fetchall():
                name = db.execute(_LITE["NAME"], (uid,)).fetchone()
                if name is not None:
                    found.append(rows.stats_of((*name, uid, depth, oldest), now))
            return found

        return await self._read(read)

    async def lookup(self, namespace: str, event_id: str, now: float) -> Record | None:
        """See the port."""

        def read(db: sqlite3.Connection) -> Record | None:
            row = db.execute(_LITE["LOOKUP"], (namespace, event_id)).fetchone()
            return None if row is None else sql.record_of(row, now)

        return await self._read(read)

    # --- moving -----------------------------------------------------------------------------------

    async def export_rows(self, after: str, limit: int) -> list[tuple[Any, ...]]:
        """Rows behind an id, all columns."""
        return await self._read(lambda db: db.execute(_LITE["EXPORT"], (after, limit)).fetchall())

    async def import_rows(self, found: Sequence[tuple[Any, ...]]) -> None:
        """Keep rows of another store, unless they are here."""
        await self._write(lambda db: db.executemany(_LITE["IMPORT"], found))

    # --- inside -----------------------------------------------------------------------------------

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._writer is None:
            raise EventStoreError("not open")
        try:
            return await self._writer.do(work)
        except sqlite3.Error as error:
            raise _translated(error) from error

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        reader = self._reader
        if reader is None:
            raise EventStoreError("not open")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, work, reader)
        except sqlite3.Error as error:
            raise _translated(error) from error


def _prepared(path: Path) -> sqlite3.Connection:
    connection = connect(path)
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    connection.execute(sql.VERSIONS)
    (version,) = connection.execute(sql.VERSION).fetchone()
    if version > len(sql.MIGRATIONS):
        raise EventStoreError(f"the file is of a later release (schema {version})")
    for number, statements in sql.migrations("sqlite", version):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(_LITE["MIGRATED"], (number,))
        connection.execute("COMMIT")
    return connection


def _fenced(db: sqlite3.Connection, statement: str, values: Iterable[tuple[Any, ...]]) -> set[str]:
    """Run a statement per event; return the ids (first parameter) that it did not touch."""
    return {each[0] for each in values if db.execute(_LITE[statement], each).rowcount == 0}


def _translated(error: sqlite3.Error) -> EventStoreError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return NoSpace(str(error))
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or (
        code is None and type(error) is sqlite3.DatabaseError
    ):
        return Corrupt(str(error))
    return EventStoreError(str(error))
