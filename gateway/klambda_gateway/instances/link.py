"""One connection of one instance: bytes in, frames out, back-pressure both ways.

Place: ``instances.server`` makes one per accepted connection and is told what happens on it.
Invariants: after ``close`` nothing more is delivered; a broken contract or an unhandled failure of
the receiver closes the connection; large events leave piece by piece as the transport takes them,
uncopied, and stop when their attempt is settled. Not here: what frames mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from klambda_gateway.bulk import Body, Piece, Rest, whole
from klambda_gateway.instances.call import Call
from klambda_gateway.instances.frames import (
    PIECE,
    Decoder,
    Frame,
    FrameType,
    ProtocolError,
    encode,
    encode_header,
    prefix,
)
from klambda_obs import logs

KEEPALIVE_IDLE_S: Final = 5
KEEPALIVE_PROBES: Final = 3
"""Contract §1: keep-alive three probes 5 s apart, on both ends."""
SILENCE_MS: Final = 20_000
"""Unacknowledged bytes for so long end the connection (TCP_USER_TIMEOUT)."""

BUFFERED: Final = 4 * PIECE
"""Bytes of an event that the transport may hold: enough for one system call to send several pieces.
They are views of the event, not copies."""

_log = logs.get("klambda.gateway.link")

Receiver = Callable[[Frame], None]


class Link(asyncio.Protocol):
    """The connection; ``receiver`` is replaced when the handshake is over."""

    def __init__(self, on_made: Callable[[Link], None], on_lost: Callable[[Link], None]) -> None:
        self.uid = ""
        self.boot = ""
        self.calls: dict[str, Call] = {}
        self.receiver: Receiver = _nobody
        self.peer = ""
        self.lost = False
        self._on_made = on_made
        self._on_lost = on_lost
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._rests: deque[tuple[Call, Rest]] = deque()
        """What is still to be sent of large events."""

    # --- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=BUFFERED)
        name = transport.get_extra_info("peername")
        self.peer = name[0].removeprefix("::ffff:") if name else ""
        sock = transport.get_extra_info("socket")
        if sock is not None:
            keep_alive(sock)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        """Decode and deliver."""
        if self.lost:
            return
        try:
            for frame in self._decoder.feed(data):
                self.receiver(frame)
        except ProtocolError as error:
            _log.warning("instance-broke-contract", uid=self.uid, peer=self.peer, error=str(error))
            self.close()
        except Exception:  # noqa: BLE001  a bug of ours costs one connection, not the gateway
            _log.exception("instance-frame-failed", uid=self.uid)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's name
        """Tell the server once."""
        self._end()

    def pause_writing(self) -> None:
        """Send no more of large events."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send more of them."""
        self._paused = False
        self._pour()

    # --- for the server and calls -----------------------------------------------------------------

    def send(
        self, kind: FrameType, header: Mapping[str, Any] | None = None, body: bytes = b""
    ) -> None:
        """Write one frame; without effect on a lost connection."""
        if self._transport is not None and not self.lost:
            self._transport.write(encode(kind, header, body))

    def invoke(self, call: Call, header: bytes, event: Body) -> None:
        """Send an attempt: its header (JSON) and all of the event, as fast as the transport can."""
        self.calls[call.id] = call
        if self._transport is None or self.lost:
            return
        if len(event) <= PIECE:
            self._transport.write(
                prefix(FrameType.INVOKE, len(header), len(event)) + header + whole(event)
            )
            return
        rest = Rest(event)
        self._transport.writelines(_frame(FrameType.INVOKE, header, rest))
        self._rests.append((call, rest))
        self._pour()

    def _pour(self) -> None:
        """Write as much as the transport takes, several frames at once."""
        while self._rests and not self._paused and not self.lost:
            call, rest = self._rests[0]
            if call.settled or not rest.left:
                self._rests.popleft()
                continue
            header = encode_header({"attempt": call.id})
            frames: list[Piece] = []
            for _ in range(BUFFERED // PIECE):
                if rest.left:
                    frames += _frame(FrameType.DATA, header, rest)
            assert self._transport is not None  # noqa: S101  what is poured was begun on it
            self._transport.writelines(frames)

    def close(self) -> None:
        """End the connection now; ``on_lost`` is called before this returns."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _end(self) -> None:
        if not self.lost:
            self.lost = True
            self.receiver = _nobody
            self._rests.clear()
            self._on_lost(self)


def _frame(kind: FrameType, header: bytes, rest: Rest) -> list[Piece]:
    """Return a frame with the next piece of an event."""
    body = rest.take(PIECE)
    start = prefix(kind, len(header), sum([len(part) for part in body])) + header
    return [start, *body]


def _nobody(frame: Frame) -> None:
    """Ignore what comes when nobody listens."""


def keep_alive(sock: socket.socket) -> None:
    """Make the kernel notice a dead peer, sending or not."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with contextlib.suppress(OSError, AttributeError):  # Linux; elsewhere the default times serve
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
