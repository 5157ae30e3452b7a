"""Room for the bodies of requests to function URLs: one bound for each, one for all.

Place: ``wire.urls`` reads every body here. Invariants: a body is kept up to what an event may have
(6 MB), all bodies of a gateway up to ``HELD_MAX``; what is taken is given back when the request is
answered; what is not kept is read on and thrown away within bounds, because an answer in the middle
of an upload reaches few clients. Not here: the event made of it, which the invoke service bounds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from klambda_core import limits
from klambda_gateway.urls.refusals import Refused, too_large, unavailable
from klambda_gateway.wire.hangup import HungUp
from klambda_gateway.wire.lingering import Receive

DISCARDED_MAX: Final = 4 * limits.PAYLOAD_SYNC_MAX
"""A longer body is cut off."""
HELD_MAX: Final = 64 << 20
"""Bytes; as much as the invoke service's own bound (design/data-plane.md, "Hot path")."""


class Room:
    """The bytes that may still be held."""

    def __init__(self, free: int = HELD_MAX) -> None:
        self.free = free

    @asynccontextmanager
    async def body(self, receive: Receive) -> AsyncIterator[bytes | Refused]:
        """Read a body and hold it for the context, or say why not. Raises HungUp."""
        pieces: list[bytes] = []
        refusal: Refused | None = None
        held = size = 0
        try:
            async for piece in _pieces(receive):
                size += len(piece)
                if size > limits.PAYLOAD_SYNC_MAX:
                    refusal = too_large()
                elif len(piece) > self.free:
                    refusal = refusal or unavailable()
                if refusal is None:
                    pieces.append(piece)
                    held += len(piece)
                    self.free -= len(piece)
                    continue
                pieces.clear()
                self.free, held = self.free + held, 0
                if size > DISCARDED_MAX:
                    break
            yield b"".join(pieces) if refusal is None else refusal
        finally:
            self.free += held


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        yield message.get("body", b"")
        more = message.get("more_body", False)
