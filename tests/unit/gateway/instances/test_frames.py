"""The frame codec: whole, split anywhere, and what it refuses."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.bulk import JOINED, Bulk, whole
from klambda_gateway.instances.frames import (
    FRAME_LIMIT,
    HEADER_LIMIT,
    Decoder,
    Frame,
    FrameType,
    ProtocolError,
    encode,
)

HEADERS: dict[FrameType, dict[str, Any]] = {
    FrameType.DATA: {"attempt": "a-1", "last": True},
    FrameType.STATE: {"state": "idle", "served": 3, "later": {"unknown": 1}},
    FrameType.ACCEPTED: {"attempt": "a-1", "cold": False},
    FrameType.QUERY: {},
    FrameType.PEERS: {"addresses": ["10.0.0.1:9001"]},
    FrameType.END: {"attempt": "a", "status": "success", "durationMs": 1.5, "billedMs": 2},
    FrameType.REFUSED: {"attempt": "é", "reason": "busy"},
}

frames = st.builds(
    lambda kind, body: Frame(type=kind, header=HEADERS[kind], body=body),
    st.sampled_from(sorted(HEADERS)),
    st.binary(max_size=300),
)


@given(st.lists(frames, max_size=6), st.data())
def test_any_split_of_the_bytes_gives_the_same_frames(
    sent: list[Frame], data: st.DataObject
) -> None:
    wire = b"".join(encode(each.type, each.header, whole(each.body)) for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    decoder = Decoder()
    got: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        got += decoder.feed(wire[start:end])
    assert got == sent


@given(st.lists(st.integers(0, 3 * JOINED), min_size=1, max_size=4), st.data())
def test_large_bodies_come_in_the_pieces_in_which_they_were_read(
    sizes: list[int], data: st.DataObject
) -> None:
    bodies = [bytes([number]) * size for number, size in enumerate(sizes)]
    wire = b"".join(encode(FrameType.DATA, HEADERS[FrameType.DATA], body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    decoder = Decoder()
    got: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        got += decoder.feed(wire[start:end])
    assert [whole(each.body) for each in got] == bodies
    assert all(isinstance(each.body, Bulk) is (len(each.body) > JOINED) for each in got)


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for_but_never_anything_else(garbage: bytes) -> None:
    try:
        for frame in Decoder().feed(garbage):
            assert isinstance(frame.type, FrameType)
    except ProtocolError:
        pass


def test_an_empty_header_is_an_empty_object() -> None:
    wire = encode(FrameType.QUERY)
    assert wire == struct.pack(">IBI", 5, 9, 0)
    assert Decoder().feed(wire) == [Frame(type=FrameType.QUERY)]


def raw(kind: int, header: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    total = 5 + len(header) + len(body) if length is None else length
    return struct.pack(">IBI", total, kind, len(header)) + header + body


@pytest.mark.parametrize(
    ("wire", "claim"),
    [
        (raw(77, b"{}"), "an unknown type"),
        (raw(18, b"{"), "broken JSON"),
        (raw(18, b"\xff"), "no UTF-8"),
        (raw(18, b"[1]"), "a header that is no object"),
        (raw(18, b"[" * 100_000), "nesting without end"),
        (raw(18, b'{"state":"idle"}'), "a missing member"),
        (raw(18, b'{"state":"idle","served":"3"}'), "a member of a wrong type"),
        (raw(18, b'{"state":"idle","served":true}'), "a boolean is no number"),
        (raw(20, b'{"attempt":"a","cold":1}'), "a number is no boolean"),
        (raw(18, b"", length=4), "a length without room for type and header length"),
        (struct.pack(">I", FRAME_LIMIT + 1), "too long, known from the first four bytes"),
        (struct.pack(">IBI", 10, 18, 6) + b"12345", "a header longer than its frame"),
        (
            struct.pack(">IBI", HEADER_LIMIT + 6, 18, HEADER_LIMIT + 1) + b" " * (HEADER_LIMIT + 1),
            "a header over its own limit",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_breaks_the_contract_is_refused(wire: bytes, claim: str) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(wire)


def test_the_largest_frame_passes_and_one_byte_more_is_not_sent() -> None:
    header = {"attempt": "a"}
    room = FRAME_LIMIT - 5 - len(json.dumps(header, separators=(",", ":")))
    wire = encode(FrameType.DATA, header, bytes(room))
    assert len(Decoder().feed(wire)[0].body) == room
    with pytest.raises(ProtocolError):
        encode(FrameType.DATA, header, bytes(room + 1))
