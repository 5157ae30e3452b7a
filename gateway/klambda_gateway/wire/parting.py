"""The last word to a client whose bytes cannot be read on: said in its turn, once.

    unreadable ─► answers under way? ─no─► the refusal, and the end of what we send
                       │yes                          │
                       └─► after the last of them ───┘    meanwhile what comes is thrown away

Theory. Where one message is broken, nobody knows where the next begins: nothing behind it may be
read as a request. And a refusal that overtook the answers before it would be taken for one of them.

Place: between uvicorn's protocol and ``patience``. Invariants: a request whose body breaks is never
run, and its refusal is its answer; a broken one behind others costs them nothing; closing with
bytes unread would reset the connection, so they are read, within bounds.
Not here: what is refused (``heads``, ``patience``, the parser).
"""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from klambda_core import limits
from klambda_core.errors import LambdaError

PARTING_MAX: Final = 4 * limits.MIB
"""How much is read and thrown away behind a refusal."""


class Parting(HttpToolsProtocol):
    """One connection, with an end that the client can read."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last_word: LambdaError | None = None
        self._parted: float | None = None
        """When it was said."""
        self._discarded = 0
        self._answering: Any = None
        """Whose turn it is to be answered, or was last."""

    def body_is_open(self) -> bool:
        """Tell whether the request that is read last has its head and not its end."""
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who is answered; uvicorn tells only who came last."""
        if self._under_way():
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _refuse(self, error: LambdaError) -> None:
        """Read no further, and say why when all before has its answer."""
        if self.transport.is_closing() or self._last_word is not None:
            return
        self._last_word = error
        if self.body_is_open():
            self._break_off()
        elif not self._under_way():
            self._part()

    def _under_way(self) -> bool:
        """Tell whether somebody is being answered."""
        return self._answering is not None and not self._answering.response_complete

    def _break_off(self) -> None:
        """End the request whose body is broken."""
        cycle: Any = self.cycle
        if self.pipeline:  # it is the last there, and was not started
            self.pipeline.popleft()
        elif cycle.response_complete:
            self._part(said=True)
        elif cycle.response_started:
            self.transport.abort()
        else:
            cycle.disconnected = cycle.response_complete = True
            cycle.message_event.set()
            self._part()

    def _part(self, *, said: bool = False) -> None:
        """Say it, unless the client has an answer already; what comes after is thrown away."""
        self._parted = self.loop.time()
        if not said and self._last_word is not None:
            self.transport.write(_rendered(self._last_word))
        self.transport.write_eof()

    def _discard(self, size: int) -> None:
        if self._parted is None:
            return
        self._discarded += size
        if self._discarded > PARTING_MAX:
            self.transport.abort()


def _rendered(error: LambdaError) -> bytes:
    body = error.body()
    headers = {**error.headers(), "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"{name}: {value}\r\n".encode("latin-1") for name, value in headers.items()]
    return b"".join((STATUS_LINE[error.status], *lines, b"\r\n", body))
