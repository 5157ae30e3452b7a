"""`python -m klambda_store.events.move FROM TO`: take all events from one place to another.

A place is a directory (the store's data directory, with its SQLite file) or a PostgreSQL URL. Stop
the stores first. Everything goes along: what is queued with its attempts and due time, leases (a
gateway that runs an event reports it to the new place), records. Running it again goes on: rows
that are there already stay as they are. Nothing is deleted at the old place.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

from klambda_store.events.port import EventStoreError
from klambda_store.events.sqlite import SqliteEvents

ROWS: Final = 100
USAGE: Final = (
    "usage: python -m klambda_store.events.move FROM TO (a directory or a postgresql URL)"
)


def place_of(text: str) -> Any:
    """The adapter for a place."""
    if text.startswith(("postgres://", "postgresql://")):
        from klambda_store.events.postgres import PostgresEvents  # an optional dependency

        return PostgresEvents(text)
    return SqliteEvents(Path(text))


async def move(source: Any, target: Any) -> int:
    """Copy all rows; return how many. Raises EventStoreError."""
    await source.open()
    await target.open()
    count, after = 0, ""
    while rows := await source.export_rows(after, ROWS):
        await target.import_rows(rows)
        count, after = count + len(rows), rows[-1][0]
    return count


async def _main(source: Any, target: Any) -> int:
    try:
        count = await move(source, target)
    except EventStoreError as error:
        sys.stderr.write(f"not moved: {type(error).__name__}: {error}\n")
        return 1
    finally:
        await source.close()
        await target.close()
    sys.stdout.write(f"{count} events and records moved\n")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(USAGE)
    sys.exit(asyncio.run(_main(*map(place_of, sys.argv[1:]))))
