"""The schema of events and every statement on it, in SQL that SQLite and PostgreSQL both read.

Theory. ``due_at`` is the only clock: an event may be leased when it is past. Leasing moves it 30 s
on, renewing moves it again, so a lease that is not renewed lapses by itself, whoever died. One
partial index over (function, due) of the events that are not settled serves leasing, the round over
functions (a loose scan: one probe per function, whatever the length of its queue) and statistics.
Payloads stand last in the row: what does not need them does not read them.

Statements use PostgreSQL's ``$1``; ``for_sqlite`` makes ``?1`` of it. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from klambda_core.events import Event, Leased, Record, Response
from klambda_core.eventwire import pending_of

Dialect = Literal["sqlite", "postgres"]

_TYPES: Final[dict[Dialect, dict[str, str]]] = {
    "sqlite": {"bytes": "BLOB", "real": "REAL"},
    "postgres": {"bytes": "BYTEA", "real": "DOUBLE PRECISION"},
}

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE events (
            id TEXT PRIMARY KEY,
            namespace TEXT NOT NULL,
            function TEXT NOT NULL,
            function_uid TEXT NOT NULL,
            qualifier TEXT,
            arn TEXT NOT NULL,
            trace TEXT,
            received_at {real} NOT NULL,
            due_at {real} NOT NULL,
            state TEXT NOT NULL DEFAULT 'queued',
            paused INTEGER NOT NULL DEFAULT 0,
            redriven INTEGER NOT NULL DEFAULT 0,
            lease TEXT,
            holder TEXT,
            leases INTEGER NOT NULL DEFAULT 0,
            attempts INTEGER NOT NULL DEFAULT 0,
            backoffs INTEGER NOT NULL DEFAULT 0,
            condition TEXT,
            error TEXT,
            pending TEXT NOT NULL DEFAULT '[]',
            status_code INTEGER,
            executed_version TEXT,
            function_error TEXT,
            settled_at {real},
            expires_at {real},
            size INTEGER NOT NULL,
            payload {bytes} NOT NULL,
            response {bytes}
        )""",
        """CREATE INDEX events_due ON events (function_uid, due_at, received_at)
            WHERE settled_at IS NULL""",
        "CREATE INDEX events_expiring ON events (expires_at) WHERE settled_at IS NOT NULL",
    ),
    (
        """CREATE INDEX events_dead ON events (function_uid, settled_at)
            WHERE state IN ('failed', 'undelivered')""",
    ),
)
"""One tuple of statements per version of the schema, never changed once released."""

VERSIONS: Final = "CREATE TABLE IF NOT EXISTS klambda_schema (version INTEGER NOT NULL PRIMARY KEY)"
VERSION: Final = "SELECT coalesce(max(version), 0) FROM klambda_schema"
MIGRATED: Final = "INSERT INTO klambda_schema (version) VALUES ($1)"

PUT: Final = """INSERT INTO events
    (id, namespace, function, function_uid, qualifier, arn, trace, received_at, due_at, size,
    payload)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING"""

_FUNCTIONS: Final = """WITH RECURSIVE f(uid) AS (
        SELECT min(function_uid) FROM events WHERE settled_at IS NULL
        UNION ALL
        SELECT (SELECT min(e.function_uid) FROM events e
                WHERE e.settled_at IS NULL AND e.function_uid > f.uid)
        FROM f WHERE f.uid IS NOT NULL
    ) """
FUNCTIONS: Final = _FUNCTIONS + "SELECT uid FROM f WHERE uid IS NOT NULL"
NEXT: Final = (
    _FUNCTIONS
    + """SELECT min(n) FROM (SELECT (SELECT min(e.due_at) FROM events e
            WHERE e.settled_at IS NULL AND e.function_uid = f.uid AND e.due_at > $1) AS n
        FROM f WHERE f.uid IS NOT NULL) AS nexts"""
)
DUE: Final = """SELECT id, size FROM events
    WHERE settled_at IS NULL AND function_uid = $1 AND due_at <= $2 AND paused = 0
    ORDER BY due_at LIMIT $3"""

_LEASED: Final = (
    "id, namespace, function, function_uid, qualifier, arn, trace, payload, lease, received_at, "
    "attempts, backoffs, leases, condition, error, pending, status_code, executed_version, "
    "function_error, response"
)
TAKE: Final = f"""UPDATE events SET lease = $2, holder = $3, due_at = $4, leases = leases + 1
    WHERE id = $1 RETURNING {_LEASED}"""
RENEW: Final = "UPDATE events SET due_at = $3 WHERE id = $1 AND lease = $2 AND settled_at IS NULL"

_OUTCOME: Final = """condition = coalesce($4, condition), error = coalesce($5, error),
    pending = $6, attempts = $7,
    executed_version = CASE WHEN CAST($8 AS INTEGER) IS NULL THEN executed_version ELSE $9 END,
    function_error = CASE WHEN CAST($8 AS INTEGER) IS NULL THEN function_error ELSE $10 END,
    response = CASE WHEN CAST($8 AS INTEGER) IS NULL THEN response ELSE $11 END,
    size = CASE WHEN CAST($8 AS INTEGER) IS NULL THEN size ELSE length(payload) + $12 END,
    status_code = coalesce(CAST($8 AS INTEGER), status_code)"""
RETRY: Final = f"""UPDATE events SET lease = $3, {_OUTCOME}, due_at = $13, backoffs = $14,
    state = $15
    WHERE id = $1 AND lease = $2 AND settled_at IS NULL"""
SETTLE: Final = f"""UPDATE events SET lease = NULL, state = $3, {_OUTCOME}, settled_at = $13,
    expires_at = $14, payload = CASE WHEN CAST($15 AS INTEGER) = 1 THEN payload ELSE $16 END
    WHERE id = $1 AND lease = $2 AND settled_at IS NULL"""
FORGET: Final = "DELETE FROM events WHERE id = $1 AND lease = $2 AND settled_at IS NULL"

REDRIVE: Final = """UPDATE events SET settled_at = NULL, expires_at = NULL, lease = NULL,
    received_at = $3, due_at = $3, backoffs = 0, leases = 0, redriven = redriven + 1,
    state = CASE state WHEN 'failed' THEN 'queued' ELSE 'delivering' END,
    attempts = CASE state WHEN 'failed' THEN 0 ELSE attempts END,
    condition = CASE state WHEN 'failed' THEN NULL ELSE condition END,
    error = CASE state WHEN 'failed' THEN NULL ELSE error END,
    status_code = CASE state WHEN 'failed' THEN NULL ELSE status_code END,
    executed_version = CASE state WHEN 'failed' THEN NULL ELSE executed_version END,
    function_error = CASE state WHEN 'failed' THEN NULL ELSE function_error END,
    response = CASE state WHEN 'failed' THEN NULL ELSE response END,
    size = CASE state WHEN 'failed' THEN length(payload) ELSE size END
    WHERE settled_at IS NOT NULL AND id IN (
        SELECT id FROM events WHERE function_uid = $1 AND state IN ('failed', 'undelivered')
            AND settled_at <= $2 ORDER BY settled_at LIMIT $4)"""
"""From failed to queued, as if it had just come.

From undelivered to delivering: only told again."""

LOOKUP: Final = f"""SELECT {_LEASED}, state, due_at, settled_at, redriven FROM events
    WHERE namespace = $1 AND id = $2"""
STATS: Final = """SELECT function_uid, count(*), min(received_at) FROM events
    WHERE settled_at IS NULL GROUP BY function_uid"""
NAME: Final = """SELECT namespace, function FROM events
    WHERE settled_at IS NULL AND function_uid = $1 LIMIT 1"""
SWEEP: Final = """DELETE FROM events WHERE id IN (
    SELECT id FROM events WHERE settled_at IS NOT NULL AND expires_at <= $1 LIMIT $2)"""

COLUMNS: Final = (
    *("id", "namespace", "function", "function_uid", "qualifier", "arn", "trace"),
    *("received_at", "due_at", "state", "paused", "redriven", "lease", "holder", "leases"),
    *("attempts", "backoffs", "condition", "error", "pending", "status_code"),
    *("executed_version", "function_error", "settled_at", "expires_at", "size", "payload"),
    "response",
)
EXPORT: Final = f"SELECT {', '.join(COLUMNS)} FROM events WHERE id > $1 ORDER BY id LIMIT $2"
IMPORT: Final = (
    f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES "
    f"({', '.join(f'${number}' for number in range(1, len(COLUMNS) + 1))}) "
    "ON CONFLICT (id) DO NOTHING"
)


def migrations(dialect: Dialect, version: int) -> list[tuple[int, list[str]]]:
    """What is still to do for a database at this version of the schema."""
    return [
        (number, [statement.format(**_TYPES[dialect]) for statement in statements])
        for number, statements in enumerate(MIGRATIONS, 1)
        if number > version
    ]


def for_sqlite(statement: str) -> str:
    """With SQLite's numbered parameters."""
    return statement.replace("$", "?")


def put_values(event: Event, now: float) -> tuple[Any, ...]:
    """Parameters of PUT."""
    return (
        event.id,
        event.namespace,
        event.function,
        event.function_uid,
        event.qualifier,
        event.arn,
        event.trace,
        now,
        now,
        len(event.payload),
        event.payload,
    )


def outcome_values(response: Response | None) -> tuple[Any, ...]:
    """Parameters 8 to 12 of RETRY and SETTLE: no response leaves the last one as it is."""
    if response is None:
        return None, None, None, None, 0
    return (
        response.status_code,
        response.executed_version,
        response.function_error,
        response.payload,
        len(response.payload),
    )


def leased_of(row: Sequence[Any], now: float) -> Leased:
    """Read a row of TAKE."""
    return Leased(
        event=_event_of(row),
        lease=row[8],
        age=max(0.0, now - row[9]),
        attempts=row[10],
        backoffs=row[11],
        leases=row[12],
        condition=row[13],
        error=row[14],
        pending=pending_of(row[15]),
        response=_response_of(row),
    )


def record_of(row: Sequence[Any], now: float) -> Record:
    """Read a row of LOOKUP."""
    return Record(
        event=_event_of(row),
        state=row[20],
        received_at=row[9],
        due_at=row[21],
        settled_at=row[22],
        leased=row[8] is not None and row[21] > now,
        attempts=row[10],
        backoffs=row[11],
        leases=row[12],
        condition=row[13],
        error=row[14],
        pending=pending_of(row[15]),
        response=_response_of(row),
        redriven=row[23],
    )


def _event_of(row: Sequence[Any]) -> Event:
    return Event(
        id=row[0],
        namespace=row[1],
        function=row[2],
        function_uid=row[3],
        qualifier=row[4],
        arn=row[5],
        trace=row[6],
        payload=bytes(row[7]),
    )


def _response_of(row: Sequence[Any]) -> Response | None:
    if row[16] is None:
        return None
    return Response(
        status_code=row[16],
        executed_version=row[17],
        function_error=row[18],
        payload=bytes(row[19] or b""),
    )
