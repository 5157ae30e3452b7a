"""Generated conversations: whatever is sent and however it is cut, both lanes make the same of it.

Of good requests the function sees each body once, in order. Of damaged ones each lane says the same
and runs the same, and never more than was answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.gateway_dataplane.raw import (
    CHUNKED,
    LAST_CHUNK,
    Answer,
    Front,
    Opened,
    chunks,
)

ENDING = b'"end"'
LARGE_MAX = 3_000_000
EVENT_MAX = 1_000_000
"""An event that is queued is smaller."""

some: Any = st.sampled_from
sizes = st.one_of(st.integers(0, 300), st.integers(15_000, 140_000), st.integers(0, LARGE_MAX))
framings = some(("plain", "plain", "plain", "chunked", "upgrade", "expecting", "upgrade, chunked"))
messages = st.tuples(framings, sizes, some((1, 100, 5_000, 200_000)))
fronts = some(("invoke", "invoke", "url", "event"))
places = st.lists(st.floats(0, 1), max_size=12)


def body_of(number: int, size: int) -> bytes:
    """A body that is no other request's, and reads as requests where its length is not believed."""
    line = b"POST /%d HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n" % number
    return b'"' + (line * (size // len(line) + 1))[: max(size - 2, 0)].rstrip(b"\\") + b'"'


def message(its: Front, framing: str, body: bytes, chunk: int) -> bytes:
    lines = []
    if "upgrade" in framing:
        lines += [b"Connection: Upgrade", b"Upgrade: h2c"]
    if framing == "expecting":
        lines += [b"Expect: 100-continue"]
    if "chunked" not in framing:
        return its.good(body, *lines)
    chunk = max(chunk, len(body) // 50)
    pieces = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    return its.head(*lines, CHUNKED) + chunks(pieces, size=b"%X") + LAST_CHUNK


def cut(raw: bytes, edges: Sequence[int], wanted: Sequence[float]) -> list[bytes]:
    """Cut anywhere, and within three bytes of the edges."""
    near = [
        edge + by
        for edge, by, chosen in zip(edges, itertools.cycle((0, -1, 1, -3)), wanted, strict=False)
        if chosen > 0.3
    ]
    anywhere = [int(place * len(raw)) for place in wanted]
    at = [0, *sorted({cut for cut in (*near, *anywhere) if 0 < cut < len(raw)}), len(raw)]
    return [raw[a:b] for a, b in itertools.pairwise(at)]


def both(
    opened: Opened, front: str, segments: list[bytes], *, hang_up: bool = False
) -> tuple[list[Answer], list[bytes]]:
    """Tell both lanes; return what both said, and what the function saw from both."""
    fast, slow = (
        opened.told(front, lane, segments, direct=True, hang_up=hang_up)
        for lane in ("fast", "slow")
    )
    assert fast == slow
    return fast


@settings(
    max_examples=150, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(front=fronts, given=st.lists(messages, min_size=1, max_size=4), places=places)
def test_good_requests(
    opened: Opened, front: str, given: list[tuple[str, int, int]], places: list[float]
) -> None:
    its = opened.fronts[front]
    raw, bodies, edges = b"", [], []
    for number, (framing, size, chunk) in enumerate(given):
        body = body_of(number, min(size, EVENT_MAX) if front == "event" else size)
        whole = message(its, framing, body, chunk)
        edges += [len(raw) + whole.index(b"\r\n\r\n") + 4, len(raw) + len(whole)]
        raw += whole
        bodies.append(body)
    segments = cut(raw + its.good(ENDING, b"Connection: close"), edges, places)
    answers, seen = both(opened, front, segments)
    assert seen == [*bodies, ENDING]
    good = [each for each in answers if each.status == its.well]
    assert len(good) == len(seen)
    assert all(each.status == 100 for each in answers if each not in good)
    if its.echoes:
        assert [each.body for each in good] == seen


damages = st.tuples(
    st.floats(0, 1),
    st.one_of(
        st.binary(max_size=2),
        some([b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b"\r\n ", b"0", b"-", b"\r\n\r\n"]),
        some([
            b"\r\nContent-Length: 7\r\n", b"\r\nTransfer-Encoding: chunked\r\n", b"\r\nHost: b\r\n",
            b"\r\nConnection: close\r\n", b"\r\nUpgrade: h2c\r\nConnection: upgrade\r\n",
        ]),
    ),
    st.integers(0, 3),
)  # fmt: skip


@settings(
    max_examples=400, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    front=some(("invoke", "url")),
    given=st.lists(st.tuples(framings, st.integers(0, 300) | st.just(40_000), st.just(50)),
                   min_size=1, max_size=3),
    damage=st.lists(damages, min_size=1, max_size=2),
    places=places,
)  # fmt: skip
def test_damaged_requests(
    opened: Opened, front: str, given: list[tuple[str, int, int]],
    damage: list[tuple[float, bytes, int]], places: list[float],
) -> None:  # fmt: skip
    its = opened.fronts[front]
    raw = b"".join(
        message(its, framing, body_of(number, size), chunk)
        for number, (framing, size, chunk) in enumerate(given)
    )
    for place, put, over in damage:
        at = int(place * min(len(raw), 1500))
        raw = raw[:at] + put + raw[at + over :]
    segments = cut(raw + its.good(ENDING, b"Connection: close") * 2, [], places)
    answers, seen = both(opened, front, segments, hang_up=True)
    assert sum(each.status == its.well for each in answers) == len(seen)
    assert not any(each.closes for each in answers[:-1])
