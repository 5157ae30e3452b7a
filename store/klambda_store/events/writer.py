"""One thread that owns a SQLite connection and commits for everybody at once.

Theory. A commit costs one fsync, whatever it holds. While one is under way the next works pile up,
and they become the next group: the busier, the larger, so that throughput is not one event per
fsync. A work's result is told only when its group is on the disk. When a group fails, each of its
works is tried alone, so that one cannot fail another.

No cursor leaves the thread: who lets go of one resets its statement, and that of a caller's thread
would be in the middle of another work with the same statement, which then fails as misuse.

Place: below ``sqlite``. Not here: what a work does.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

GROUP: Final = 512
"""Works in one commit at most."""

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
_Item = tuple[Work, "asyncio.Future[Any]"]


def connect(path: Path, *, cache_kib: int = 16384) -> sqlite3.Connection:
    """Open the file: write-ahead log, every commit synced before it returns.

    ``cache_kib`` bounds the pages that it keeps: memory does not follow the queue.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


class Writer:
    """The thread. Make it inside the loop that will call ``do``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="events-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a work inside a transaction; return when it is on the disk. Raises sqlite3.Error."""
        if self._closed:
            raise sqlite3.ProgrammingError("the writer is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((work, future))
        return await future

    async def close(self) -> None:
        """Finish what was given, then end."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        ended = False
        while not ended:
            items = [self._queue.get()]
            while len(items) < GROUP and not self._queue.empty():
                items.append(self._queue.get())
            ended = items[-1] is None
            self._group([item for item in items if item is not None])

    def _group(self, items: list[_Item]) -> None:
        try:
            outcomes: list[Any] = self._transaction([work for work, _ in items])
        except Exception as error:  # noqa: BLE001 - the callers get it
            if len(items) > 1:
                for item in items:
                    self._group([item])
                return
            outcomes = [error]
        futures = [future for _, future in items]
        self._loop.call_soon_threadsafe(_tell, futures, outcomes)

    def _transaction(self, works: list[Work]) -> list[Any]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            results = [_plain(work(self._connection)) for work in works]
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return results


def _plain(result: Any) -> Any:
    return None if isinstance(result, sqlite3.Cursor) else result


def _tell(futures: list[asyncio.Future[Any]], outcomes: list[Any]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
