"""AWS's event-stream encoding, as far as a Lambda response stream needs it: a pure encoder.

    message = total length u32 │ headers length u32 │ CRC-32 of these 8 bytes │ headers │ payload
              │ CRC-32 of everything before                                        (big endian)
    header  = name length u8 │ name │ type u8 (7: string) │ value length u16 │ value

Place: ``streaming`` sends what is made here. Source: aws-contract b.2; the tests read it with
botocore's parser. Invariants: pure; a message is at most some hundred bytes longer than its
payload. Not here: which messages a stream has.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Final
from zlib import crc32

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct(">II")
_CRC = struct.Struct(">I")
_STRING: Final = 7


def headers(values: Mapping[str, str]) -> bytes:
    """Encode headers, all of them strings."""
    parts = []
    for name, value in values.items():
        key, text = name.encode(), value.encode()
        parts.append(struct.pack(">B", len(key)) + key)
        parts.append(struct.pack(">BH", _STRING, len(text)) + text)
    return b"".join(parts)


def message(head: bytes, payload: bytes) -> bytes:
    """Frame a payload with encoded headers."""
    total = _PRELUDE.size + 2 * _CRC.size + len(head) + len(payload)
    prelude = _PRELUDE.pack(total, len(head))
    start = prelude + _CRC.pack(crc32(prelude)) + head
    return b"".join((start, payload, _CRC.pack(crc32(payload, crc32(start)))))


_CHUNK = headers(
    {
        ":event-type": "PayloadChunk",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
)
_COMPLETE = headers(
    {
        ":event-type": "InvokeComplete",
        ":content-type": "application/json",
        ":message-type": "event",
    }
)


def payload_chunk(piece: bytes) -> bytes:
    """A piece of the function's answer."""
    return message(_CHUNK, piece)


def invoke_complete(
    *,
    error_code: str | None = None,
    error_details: str | None = None,
    log_result: str | None = None,
) -> bytes:
    """The last message; members that are None are left out."""
    members = {"ErrorCode": error_code, "ErrorDetails": error_details, "LogResult": log_result}
    document = {name: value for name, value in members.items() if value is not None}
    return message(_COMPLETE, json.dumps(document, separators=(",", ":")).encode())
