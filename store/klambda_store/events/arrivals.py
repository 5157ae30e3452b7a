"""News of events: whoever waits for work is woken when some may have come.

Place: ``api`` tells of every put and return, and lets gateways wait in a long poll. Where other
processes put into the same database, nobody can tell us: waits are short there.
"""

from __future__ import annotations

import asyncio
from typing import Final

LONGEST_S: Final = 20.0
SHARED_S: Final = 0.5


class Arrivals:
    """A count that grows, and those who wait for it to grow."""

    def __init__(self, *, shared: bool) -> None:
        self._longest = SHARED_S if shared else LONGEST_S
        self._grown = asyncio.Event()
        self._stopped = False
        self.count = 1

    def tell(self) -> None:
        """Something has come."""
        self.count += 1
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def stop(self) -> None:
        """Let everybody go, and never hold anybody again."""
        self._stopped = True
        self.tell()

    async def wait(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109 - the client's own
        """Return the count when it differs from ``seen``, or after ``timeout`` at the latest."""
        if seen == self.count and not self._stopped:
            try:
                async with asyncio.timeout(max(0.0, min(timeout, self._longest))):
                    await self._grown.wait()
            except TimeoutError:
                pass
        return self.count
