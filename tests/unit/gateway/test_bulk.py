"""Large bodies stay in their pieces: gathered, cut anew, and whole when somebody asks."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.bulk import JOINED, Bulk, Rest, gathered, pieces_of, whole

views = st.binary(max_size=50).map(lambda piece: memoryview(piece))
pieces: Any = st.lists(st.binary(max_size=50) | views)


@given(pieces)
def test_small_bodies_are_bytes(given: list[bytes | memoryview]) -> None:
    body = gathered(given)
    assert body == b"".join(given)
    assert pieces_of(body) == (body,)


def test_one_piece_of_bytes_is_the_body_itself_whatever_its_size() -> None:
    large = bytes(2 * JOINED)
    assert gathered([large]) is large
    assert whole(large) is large


@given(st.lists(st.integers(1, JOINED), min_size=2, max_size=5))
def test_large_bodies_are_kept_as_they_came(sizes: list[int]) -> None:
    given = [JOINED * b"x", *(bytes([number]) * size for number, size in enumerate(sizes))]
    body = gathered(given)
    assert isinstance(body, Bulk)
    assert all(one is other for one, other in zip(pieces_of(body), given, strict=True))
    assert len(body) == len(whole(body))
    assert whole(body) == b"".join(given)


@given(pieces, st.lists(st.integers(0, 60)))
def test_what_is_taken_away_bit_by_bit_is_the_body(
    given: list[bytes | memoryview], wanted: list[int]
) -> None:
    rest = Rest(Bulk(given))
    taken = b""
    for most in wanted:
        before = rest.left
        bit = b"".join(rest.take(most))
        assert len(bit) == min(most, before)
        taken += bit
    assert len(taken) + rest.left == len(b"".join(given))
    assert taken + b"".join(rest.take(rest.left)) == b"".join(given)
    assert not rest.take(1)
