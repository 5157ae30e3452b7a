"""The frame codec: bytes of one instance connection to frames and back.

Place: under ``instances.link``; docs/runtime-contract.md §1 is the specification.
Invariants: pure and incremental (any split of the bytes gives the same frames); nothing longer than
the limits is ever held; a frame that leaves the decoder has a known type and every required member
with its type. Unknown members pass through: that is how version N meets N-1.
Not here: the order of frames (``handshake``, ``attempt``), macs, sockets.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from klambda_gateway.bulk import JOINED, Body, Piece, gathered

FRAME_LIMIT: Final = 1 << 20
"""Bytes after the length field (contract §1)."""
HEADER_LIMIT: Final = 512 << 10
PIECE: Final = 64 << 10
"""Bulk bytes travel in pieces of at most this."""

_JSON = json.JSONEncoder(separators=(",", ":")).encode
_LENGTH = struct.Struct(">I")
_REST = struct.Struct(">BI")
_PREFIX = struct.Struct(">IBI")


class FrameType(IntEnum):
    """Types 1-11 are a handshake or come from the gateway, 16-24 come from init."""

    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    ASSIGN = 4
    INVOKE = 5
    DATA = 6
    CANCEL = 7
    DRAIN = 8
    QUERY = 9
    PEERS = 10
    CREDIT = 11
    ASSIGNED = 16
    FAILED = 17
    STATE = 18
    REFUSED = 19
    ACCEPTED = 20
    HEAD = 21
    END = 22
    LOGS = 23
    PHASES = 24


class ProtocolError(ValueError):
    """The peer broke the contract; the connection is to be closed."""


class Frame(NamedTuple):
    """One frame: its type, its header and its raw body."""

    type: FrameType
    header: Mapping[str, Any] = MappingProxyType({})
    body: Body = b""


_NUMBER = (int, float)
_Kinds = type | tuple[type, ...]

REQUIRED: Final[Mapping[FrameType, Mapping[str, _Kinds]]] = {
    FrameType.HELLO: {
        "versions": list,
        "namespace": str,
        "pod": str,
        "podUid": str,
        "boot": str,
        "nonce": str,
    },
    FrameType.CHALLENGE: {"version": int, "gateway": str, "nonce": str, "mac": str},
    FrameType.PROOF: {"mac": str, "state": str},
    FrameType.ASSIGN: {"assignment": dict, "code": dict},
    FrameType.INVOKE: {
        "attempt": str,
        "requestId": str,
        "functionArn": str,
        "logTail": bool,
        "mode": str,
        "remaining": _NUMBER,
        "size": int,
        "validated": bool,
    },
    FrameType.DATA: {"attempt": str},
    FrameType.CANCEL: {"attempt": str},
    FrameType.DRAIN: {"mode": str},
    FrameType.QUERY: {},
    FrameType.PEERS: {"addresses": list},
    FrameType.CREDIT: {"attempt": str, "bytes": int},
    FrameType.ASSIGNED: {"digest": str},
    FrameType.FAILED: {"digest": str, "errorType": str, "message": str},
    FrameType.STATE: {"state": str, "served": int},
    FrameType.REFUSED: {"attempt": str, "reason": str},
    FrameType.ACCEPTED: {"attempt": str, "cold": bool},
    FrameType.HEAD: {"attempt": str, "mode": str},
    FrameType.END: {"attempt": str, "status": str, "durationMs": _NUMBER, "billedMs": _NUMBER},
    FrameType.LOGS: {},
    FrameType.PHASES: {},
}
_REQUIRED: Final = {
    kind: tuple(
        (name, kinds if isinstance(kinds, tuple) else (kinds,)) for name, kinds in members.items()
    )
    for kind, members in REQUIRED.items()
}
_TYPES: Final = {int(value): value for value in FrameType}


def encode(kind: FrameType, header: Mapping[str, Any] | None = None, body: bytes = b"") -> bytes:
    """Return one frame as bytes. Raises ProtocolError when it is over the limits."""
    text = encode_header(header) if header else b""
    return prefix(kind, len(text), len(body)) + text + body


def encode_header(header: Mapping[str, Any]) -> bytes:
    """Return a header as it travels."""
    return _JSON(header).encode()


def prefix(kind: FrameType, header: int, body: int) -> bytes:
    """Return what stands before a header and a body of these lengths. Raises ProtocolError."""
    length = _REST.size + header + body
    if header > HEADER_LIMIT or length > FRAME_LIMIT:
        raise ProtocolError(f"frame {kind.name} of {length} bytes is over the limit")
    return _PREFIX.pack(length, kind, header)


class Decoder:
    """Collects bytes, gives frames; after a ProtocolError it must not be used again.

    A frame's head (prefix and header) is put together; its body, when it is large, stays in the
    pieces in which it came.
    """

    __slots__ = ("_chunks", "_frame", "_held", "_left", "_need", "_pieces")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._held = 0
        self._need = _LENGTH.size
        """Of ``_held`` bytes of a head so many are needed to read on."""
        self._frame: tuple[FrameType, Mapping[str, Any]] | None = None
        """A frame whose body is on its way; ``_left`` bytes are to come."""
        self._pieces: list[Piece] = []
        self._left = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes as they came; return the frames they complete."""
        frames: list[Frame] = []
        start = self._go_on(data, frames) if self._held or self._frame is not None else 0
        end = len(data)
        while end - start >= _LENGTH.size:
            stop = start + _frame_size(data, start)
            if end - start < _PREFIX.size:
                break
            kind, split = _split(data, start, stop)
            if split > end:
                break
            header = _header(kind, data[start + _PREFIX.size : split])
            if stop > end:
                self._begin(kind, header, stop - split)
                self._fill(data, split, frames)
                return frames
            frames.append(Frame(kind, header, gathered((_cut(data, split, stop),))))
            start = stop
        if start < end:
            self._hold(data[start:])
        return frames

    def _go_on(self, data: bytes, frames: list[Frame]) -> int:
        """Go on with the frame that has begun; return how many of the bytes are its."""
        taken = 0
        while self._frame is None:
            if self._held < self._need:
                piece = data[taken : taken + self._need - self._held]
                taken += len(piece)
                self._hold(piece)
                if self._held < self._need:
                    return taken
            self._read_on()
        return self._fill(data, taken, frames)

    def _read_on(self) -> None:
        """Read what is held of a head: how much it needs, or all of it."""
        head = b"".join(self._chunks)
        self._chunks = [head]
        size = _frame_size(head, 0)
        if len(head) < _PREFIX.size:
            self._need = _PREFIX.size
            return
        kind, split = _split(head, 0, size)
        if len(head) < split:
            self._need = split
            return
        self._chunks, self._held, self._need = [], 0, _LENGTH.size
        self._begin(kind, _header(kind, head[_PREFIX.size :]), size - split)

    def _begin(self, kind: FrameType, header: Mapping[str, Any], left: int) -> None:
        self._frame = kind, header
        self._left = left

    def _fill(self, data: bytes, start: int, frames: list[Frame]) -> int:
        """Take of the body what is there; return where that ends."""
        stop = min(start + self._left, len(data))
        if start < stop:
            self._pieces.append(_cut(data, start, stop))
            self._left -= stop - start
        if self._frame is not None and not self._left:
            kind, header = self._frame
            frames.append(Frame(kind, header, gathered(self._pieces)))
            self._frame, self._pieces = None, []
        return stop

    def _hold(self, piece: bytes) -> None:
        self._chunks.append(piece)
        self._held += len(piece)


def _frame_size(buffer: bytes, start: int) -> int:
    """Return length field included; a frame is thus never as short as the field alone."""
    (length,) = _LENGTH.unpack_from(buffer, start)
    if not _REST.size <= length <= FRAME_LIMIT:
        raise ProtocolError(f"frame length {length}")
    return int(length) + _LENGTH.size


def _split(buffer: bytes, start: int, stop: int) -> tuple[FrameType, int]:
    """Return a frame's type, and where its body begins."""
    _, number, header_length = _PREFIX.unpack_from(buffer, start)
    kind = _TYPES.get(number)
    if kind is None:
        raise ProtocolError(f"unknown frame type {number}")
    split = start + _PREFIX.size + int(header_length)
    if header_length > HEADER_LIMIT or split > stop:
        raise ProtocolError(f"header length {header_length} of frame {kind.name}")
    return kind, split


def _cut(data: bytes, start: int, stop: int) -> Piece:
    """Return a part of what was read: itself, a view, or where that costs less, a copy."""
    if stop - start <= JOINED or stop - start == len(data):
        return data[start:stop]
    return memoryview(data)[start:stop]


def _header(kind: FrameType, text: bytes) -> Mapping[str, Any]:
    try:
        header = orjson.loads(text) if text else {}
    except ValueError as error:
        raise ProtocolError(f"header of frame {kind.name} is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError(f"header of frame {kind.name} is not an object")
    for member, kinds in _REQUIRED[kind]:
        # Exact types, for a bool is an int, too; JSON makes no other subclasses.
        if type(header.get(member)) not in kinds:
            raise ProtocolError(f"frame {kind.name} without a proper {member!r}")
    return header
