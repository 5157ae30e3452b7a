"""One connection between an instance and a gateway: bytes that take their time, in order, or never.

The gateway's end is the real `Link`; the instance's end is a `Port`. A cut loses what is under way
from some moment on, and each end hears of it in its own time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

from klambda_gateway.instances.frames import Decoder, Frame, FrameType, encode
from klambda_gateway.instances.link import Link

FAST_S: Final = (0.000_05, 0.000_5)
SLOW_S: Final = (0.001, 0.01)
SLOW_SHARE: Final = 0.01
APART_S: Final = 1e-9
"""Timers of one moment have no order."""


class _Pipe:
    """One direction: first in, first out."""

    def __init__(self, chance: Random, deliver: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._chance = chance
        self._deliver = deliver
        self._last = 0.0
        self._until = float("inf")

    def write(self, data: bytes) -> None:
        low, high = SLOW_S if self._chance.random() < SLOW_SHARE else FAST_S
        after = self._last + APART_S
        at = max(after, self._loop.time() + low + (high - low) * self._chance.random())
        self._last = at
        self._loop.call_at(at, self._arrive, at, data)

    def _arrive(self, at: float, data: bytes) -> None:
        if at <= self._until:
            self._deliver(data)

    def cut(self) -> float:
        """Lose what comes after some near moment, which is returned."""
        now = self._loop.time()
        self._until = min(self._until, now + FAST_S[1] * self._chance.random())
        return max(now, self._until)


class _Transport(asyncio.Transport):
    """What the real link writes to."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.to_instance.write(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take everything."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.0.0.1", 1) if name == "peername" else default

    def abort(self) -> None:
        self._wire.cut(quiet=True)


class Port:
    """The instance's end."""

    def __init__(self, wire: Wire, number: int, gateway: str) -> None:
        self.number = number
        self.gateway = gateway
        self._wire = wire

    def send(self, kind: FrameType, header: Mapping[str, Any], body: bytes = b"") -> None:
        self._wire.to_gateway.write(encode(kind, header, body))

    def close(self) -> None:
        self._wire.cut(quiet=False)


class Wire:
    """The connection."""

    def __init__(
        self,
        link: Link,
        chance: Random,
        *,
        number: int,
        gateway: str,
        received: Callable[[Port, Frame], None],
        lost: Callable[[Port], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._chance = chance
        self._received = received
        self._lost = lost
        self._decoder = Decoder()
        self.link = link
        self.port = Port(self, number, gateway)
        self.whole = True
        self.to_gateway = _Pipe(chance, link.data_received)
        self.to_instance = _Pipe(chance, self._arrived)
        link.connection_made(_Transport(self))

    def _arrived(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            self._received(self.port, frame)

    def cut(self, *, quiet: bool = False, noticed: float = 0.001) -> None:
        """Break it; the ends hear of it within so many seconds (``quiet``: the gateway knows)."""
        if not self.whole:
            return
        self.whole = False
        ends = (self.to_gateway.cut(), self.to_instance.cut())
        delays = [self._chance.random() * noticed for _ in ends]
        if not quiet:
            self._loop.call_at(ends[0] + delays[0], self.link.connection_lost, None)
        self._loop.call_at(ends[1] + delays[1], self._lost, self.port)

    def vanish(self, *, noticed: float) -> None:
        """Break it without a word; the gateway's kernel finds out after so many seconds."""
        if self.whole:
            self.cut(quiet=True)
            self._loop.call_later(noticed, self.link.connection_lost, None)
