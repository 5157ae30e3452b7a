"""The access log: one line of JSON for each request of either lane, written in batches.

Place: ``wire.protocol`` notes what went below ASGI, ``AccessLogged`` everything else; off unless
the settings ask for it. Invariants: a request never waits for its line; lines are held for a
fraction of a second and written at the end, too; a path is logged without its query, which may
carry a signature, and nothing of bodies or headers is. Not here: what happened in an invocation
(its function's log).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from klambda_gateway.wire.lingering import Asgi, Message, Receive, Send

FLUSH_S: Final = 0.2
HELD_MAX: Final = 512
"""Lines."""
REQUEST_ID: Final = b"x-amzn-requestid"


class Access(NamedTuple):
    """A request that was answered."""

    client: str
    method: str
    path: str
    status: int
    request_id: str
    received: int | None
    """Bytes of the body as announced; None: it was chunked."""
    sent: int
    seconds: float
    lane: str


def write_out(text: str) -> None:
    """Write to where all logs go."""
    sys.stdout.write(text)
    sys.stdout.flush()


class AccessLog:
    """Collects lines."""

    def __init__(
        self,
        write: Callable[[str], None] = write_out,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._now = now
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = (-1, "")

    def note(self, access: Access) -> None:
        """Take a request."""
        line = {
            "time": self._time(),
            "level": "info",
            "logger": "klambda.gateway.access",
            "event": "access",
            "client": access.client,
            "method": access.method,
            "path": access.path,
            "status": access.status,
            "requestId": access.request_id,
            "received": access.received,
            "sent": access.sent,
            "milliseconds": round(access.seconds * 1000, 2),
            "lane": access.lane,
        }
        self._lines.append(orjson.dumps(line).decode())
        if len(self._lines) >= HELD_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def _time(self) -> str:
        """Return the time as all logs have it; a second's part is rendered once."""
        now = self._now()
        second = int(now)
        if self._second[0] != second:
            text = datetime.fromtimestamp(second, UTC).isoformat().removesuffix("+00:00")
            self._second = second, text
        return f"{self._second[1]}.{int((now - second) * 1000):03d}+00:00"

    def flush(self) -> None:
        """Write what is held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            lines, self._lines = self._lines, []
            self._write("\n".join(lines) + "\n")


class AccessLogged:
    """ASGI middleware: notes each request when its answer is out, or broken off."""

    def __init__(self, app: Asgi, log: AccessLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, request_id, sent = time.monotonic(), 499, "", 0

        async def noting(message: Message) -> None:
            nonlocal status, request_id, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = _header(message, REQUEST_ID) or ""
            else:
                sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            length = _header(scope, b"content-length")
            self._log.note(
                Access(
                    client=client_of(scope.get("client")),
                    method=scope["method"],
                    path=scope["raw_path"].partition(b"?")[0].decode("latin-1"),
                    status=status,
                    request_id=request_id,
                    received=int(length) if length is not None and length.isdigit() else None,
                    sent=sent,
                    seconds=time.monotonic() - began,
                    lane="api",
                )
            )


def _header(message: Message, name: bytes) -> str | None:
    headers: Any = message.get("headers", ())
    for key, value in headers:
        if key.lower() == name:
            return str(value.decode("latin-1"))
    return None


def client_of(address: Any) -> str:
    """Return the address of a peer, without its port."""
    return str(address[0]).removeprefix("::ffff:") if address else ""
