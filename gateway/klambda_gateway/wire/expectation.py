"""Expect: 100-continue, where the answer comes before the client was told to go on.

Theory. A client that waits for "100 Continue" and is answered at once may keep its body to itself
and send its next request: read on by the length of the body that never comes, that would be taken
for it. So such an answer ends the connection (RFC 9110, 10.1.1).

Place: ``protocol`` calls ``closes_unless_continued`` for each request that expects. Invariants: who
asks for the body keeps the connection as it was; a server that is ending keeps no connection.
Not here: the word itself, which uvicorn says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def closes_unless_continued(cycle: Any, ending: Callable[[], bool]) -> None:
    """Let an answer end the connection until the body is asked for."""
    keep_alive, receive = cycle.keep_alive, cycle.receive
    cycle.keep_alive = False

    async def continued() -> Any:
        if cycle.waiting_for_100_continue and not ending():
            cycle.keep_alive = keep_alive
        return await receive()

    cycle.receive = continued
