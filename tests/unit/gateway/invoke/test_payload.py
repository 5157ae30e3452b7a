"""What may be an event."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_gateway.invoke.payload import VALIDATE_LIMIT, Event, NotJson, made_event, read_event

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
def test_json_passes_unchanged(value: object) -> None:
    text = json.dumps(value).encode()
    assert read_event(text) == Event(payload=text, validated=len(text) <= VALIDATE_LIMIT)


def test_what_the_gateway_made_is_not_looked_at() -> None:
    assert made_event(b"{}" * VALIDATE_LIMIT).validated


def test_nothing_is_an_empty_object() -> None:
    assert read_event(b"") == Event(payload=b"{}", validated=True)


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nope", b"'a'", b"{} x", b"NaN", b"[Infinity]", b"\xff", b"\xef\xbb\xbf{}",
        '"x"'.encode("utf-16"), b"[" * VALIDATE_LIMIT, b'"\x01"',
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused(body: bytes) -> None:
    found = read_event(body)
    assert isinstance(found, NotJson)
    assert found.detail


def test_what_is_large_is_left_to_init() -> None:
    body = b"{" * (VALIDATE_LIMIT + 1)
    assert read_event(body) == Event(payload=body, validated=False)
