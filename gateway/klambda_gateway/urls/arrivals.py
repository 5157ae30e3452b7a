"""URLs that may be on their way: an id that nobody knows is waited for before it is refused.

Theory. A URL that was made at another gateway a moment ago comes by watch, within milliseconds as a
rule. An id cannot be turned back into a name that could be read (it is a MAC), so an unknown one
waits a little for the table to bring it; no question goes to Kubernetes, whatever is asked for.
Place: ``urls.door`` comes here when the table has nothing. Invariants: bounded: so many wait at a
time, the next is refused at once, and so is an id that was waited for in vain a moment ago; what is
no id never waits. Not here: the table (``table``).
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from typing import Final

from klambda_gateway.urls.table import UrlTable, UrlTarget

PATIENCE_S: Final = 1.0
"""Changes reach every gateway within a second (design/resources.md, "Reading back")."""
AT_ONCE: Final = 64
VAIN_S: Final = 10.0
VAIN_KEPT: Final = 1024
_ID: Final = re.compile(r"[a-z2-7]{32}")


class Arrivals:
    """Waits for URLs. Use in one event loop."""

    def __init__(self, table: UrlTable, *, patience: float = PATIENCE_S) -> None:
        self._table = table
        self._patience = patience
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._count = 0
        self._vain: OrderedDict[str, float] = OrderedDict()
        table.on_added = self._added

    async def find(self, url_id: str) -> UrlTarget | None:
        """What is behind an id, if need be in a moment."""
        known = self._table.get(url_id)
        if known is not None or not self._worth_it(url_id):
            return known
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(url_id, []).append(waiter)
        self._count += 1
        try:
            async with asyncio.timeout(self._patience):
                await waiter
        except TimeoutError:
            self._in_vain(url_id)
        finally:
            self._count -= 1
            self._left(url_id, waiter)
        return self._table.get(url_id)

    def _worth_it(self, url_id: str) -> bool:
        if self._count >= AT_ONCE or not _ID.fullmatch(url_id):
            return False
        since = self._vain.get(url_id)
        return since is None or asyncio.get_running_loop().time() - since >= VAIN_S

    def _in_vain(self, url_id: str) -> None:
        self._vain.pop(url_id, None)
        self._vain[url_id] = asyncio.get_running_loop().time()
        if len(self._vain) > VAIN_KEPT:
            self._vain.popitem(last=False)

    def _left(self, url_id: str, waiter: asyncio.Future[None]) -> None:
        others = self._waiting.get(url_id, [])
        if waiter in others:
            others.remove(waiter)
        if not others:
            self._waiting.pop(url_id, None)

    def _added(self, url_id: str) -> None:
        for waiter in self._waiting.pop(url_id, ()):
            if not waiter.done():
                waiter.set_result(None)
