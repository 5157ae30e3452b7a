"""Events in PostgreSQL: for several stores at once, or when one machine is outgrown.

Place: the other adapter of ``port``, chosen by ``KLAMBDA_EVENTS_DATABASE_URL``. Invariants: what is
due is locked with ``SKIP LOCKED``, so that stores that lease at the same time do not wait for each
other and never hand out one event twice; every commit waits for the disk. Migrations run under an
advisory lock: whoever comes first does them. Times are the stores' clocks (keep them in step).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import asyncpg

from klambda_core.events import (
    LEASE_S,
    Event,
    LeaseRequest,
    Postponement,
    QueueStats,
    Record,
    Settlement,
)
from klambda_store.events import rows, sql
from klambda_store.events.fairness import Candidate, take_turns, wants
from klambda_store.events.port import (
    REDRIVE_ROWS,
    Corrupt,
    EventStoreError,
    NoSpace,
    Retention,
    Taken,
)

CONNECTIONS: Final = 8
COMMAND_S: Final = 20.0
CONNECT_S: Final = 5.0
SWEEP_ROWS: Final = 500
MIGRATION_LOCK: Final = 0x6B6C616D
"""Advisory lock: "klam"."""
DUE: Final = """SELECT due.function_uid, due.id, due.size
    FROM unnest($1::text[], $2::int[]) AS wanted (uid, credit) CROSS JOIN LATERAL (
        SELECT function_uid, id, size FROM events
        WHERE settled_at IS NULL AND function_uid = wanted.uid AND due_at <= $3 AND paused = 0
        ORDER BY due_at LIMIT wanted.credit FOR UPDATE SKIP LOCKED
    ) AS due"""


class PostgresEvents:
    """The adapter; ``open`` it first, inside its loop."""

    shared = True

    def __init__(
        self,
        url: str,
        *,
        retention: Retention | None = None,
        new_lease: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._url = url
        self._retention = retention or Retention()
        self._new_lease = new_lease
        self._last_served = ""
        self._pool: asyncpg.Pool | None = None

    async def open(self) -> None:
        """Connect, bring the schema up to date. Raises EventStoreError."""
        if self._pool is None:
            with _translated():
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=1,
                    max_size=CONNECTIONS,
                    timeout=CONNECT_S,
                    command_timeout=COMMAND_S,
                    server_settings={
                        "application_name": "klambda-store",
                        "synchronous_commit": "on",
                    },
                )
        async with self._transaction() as db:
            await db.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
            await db.execute(sql.VERSIONS)
            version = await db.fetchval(sql.VERSION)
            if version > len(sql.MIGRATIONS):
                raise EventStoreError(f"the database is of a later release (schema {version})")
            for number, statements in sql.migrations("postgres", version):
                for statement in statements:
                    await db.execute(statement)
                await db.execute(sql.MIGRATED, number)

    async def close(self) -> None:
        """Let go of the connections."""
        if self._pool is not None:
            await self._pool.close()

    # --- writing ----------------------------------------------------------------------------------

    async def put(self, events: Sequence[Event], now: float) -> None:
        """See the port."""
        values = [sql.put_values(event, now) for event in sorted(events, key=lambda e: e.id)]
        async with self._transaction() as db:
            await db.executemany(sql.PUT, values)

    async def lease(self, request: LeaseRequest, now: float) -> Taken:
        """See the port."""
        async with self._transaction() as db:
            functions = [row[0] for row in await db.fetch(sql.FUNCTIONS)]
            wanted = wants(request, functions, self._last_served)
            found: dict[str, list[Candidate]] = {uid: [] for uid in wanted}
            for uid, event, size in await db.fetch(DUE, [*wanted], [*wanted.values()], now):
                found[uid].append((event, size))
            chosen = take_turns(found, limit=request.limit, bytes_limit=request.bytes_limit)
            values = [
                (event, self._new_lease(), request.holder, now + LEASE_S) for _, event in chosen
            ]
            taken = await db.fetchmany(sql.TAKE, values) if values else []
            next_due = await db.fetchval(sql.NEXT, now)
        if chosen:
            self._last_served = chosen[-1][0]
        return Taken(events=tuple(sql.leased_of(row, now) for row in taken), next_due=next_due)

    async def renew(self, leases: Sequence[tuple[str, str]], now: float) -> set[str]:
        """See the port."""
        return await self._fenced(sql.RENEW, [(*each, now + LEASE_S) for each in leases])

    async def retry_at(self, items: Sequence[Postponement], now: float) -> set[str]:
        """See the port."""
        return await self._fenced(sql.RETRY, [rows.retry_values(item, now) for item in items])

    async def settle(self, items: Sequence[Settlement], now: float) -> set[str]:
        """See the port."""
        kept, forgotten = rows.settle_values(items, self._retention, now)
        lost = await self._fenced(sql.SETTLE, kept)
        return lost | await self._fenced(sql.FORGET, forgotten)

    async def sweep(self, now: float) -> int:
        """See the port."""
        async with self._transaction() as db:
            done: str = await db.execute(sql.SWEEP, now, SWEEP_ROWS)
        return int(done.rpartition(" ")[2])

    async def redrive(self, function_uid: str, before: float, now: float) -> int:
        """See the port."""
        async with self._transaction() as db:
            done: str = await db.execute(sql.REDRIVE, function_uid, before, now, REDRIVE_ROWS)
        return int(done.rpartition(" ")[2])

    async def _fenced(self, statement: str, values: rows.Values) -> set[str]:
        """Run a statement per event; return the ids (first parameter) that it did not touch."""
        if not values:
            return set()
        values = sorted(values, key=lambda each: str(each[0]))
        async with self._transaction() as db:
            touched = await db.fetchmany(statement + " RETURNING id", values)
        return {each[0] for each in values} - {row[0] for row in touched}

    # --- reading ----------------------------------------------------------------------------------

    async def stats(self, now: float) -> list[QueueStats]:
        """See the port."""
        found = []
        async with self._transaction() as db:
            for uid, depth, oldest in await db.fetch(sql.STATS):
                name = await db.fetchrow(sql.NAME, uid)
                if name is not None:
                    found.append(rows.stats_of((*name, uid, depth, oldest), now))
        return found

    async def lookup(self, namespace: str, event_id: str, now: float) -> Record | None:
        """See the port."""
        async with self._transaction() as db:
            row = await db.fetchrow(sql.LOOKUP, namespace, event_id)
        return None if row is None else sql.record_of(row, now)

    # --- moving -----------------------------------------------------------------------------------

    async def export_rows(self, after: str, limit: int) -> list[tuple[Any, ...]]:
        """Rows behind an id, all columns."""
        async with self._transaction() as db:
            return [tuple(row) for row in await db.fetch(sql.EXPORT, after, limit)]

    async def import_rows(self, found: Sequence[tuple[Any, ...]]) -> None:
        """Keep rows of another store, unless they are here."""
        async with self._transaction() as db:
            await db.executemany(sql.IMPORT, found)

    # --- inside -----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        if self._pool is None:
            raise EventStoreError("not open")
        with _translated():
            async with self._pool.acquire(timeout=CONNECT_S) as db, db.transaction():
                yield db


@contextlib.contextmanager
def _translated() -> Any:
    try:
        yield
    except asyncpg.DiskFullError as error:
        raise NoSpace(str(error)) from error
    except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
        raise Corrupt(str(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise EventStoreError(f"{type(error).__name__} {error}") from error
