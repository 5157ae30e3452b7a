"""Events on the wire: what is written is read again, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klambda_core.events import (
    Delivery,
    Event,
    Leased,
    Postponement,
    Record,
    Response,
    Settlement,
)
from klambda_core.eventwire import (
    Garbled,
    event_of,
    event_part,
    leased_of,
    leased_part,
    pack,
    pending_of,
    pending_text,
    postponement_of,
    postponement_part,
    record_of,
    record_part,
    settlement_of,
    settlement_part,
    unpack,
)

TEXT = st.text(max_size=20)
MAYBE = st.none() | TEXT
BYTES = st.binary(max_size=200)
COUNT = st.integers(0, 10**6)
SECONDS = st.floats(0, 1e10, allow_nan=False)
EVENTS = st.builds(
    Event,
    id=TEXT, namespace=TEXT, function=TEXT, function_uid=TEXT, qualifier=MAYBE, arn=TEXT,
    payload=BYTES, trace=MAYBE,
)  # fmt: skip
RESPONSES = st.none() | st.builds(
    Response, status_code=COUNT, executed_version=MAYBE, function_error=MAYBE, payload=BYTES
)
PENDING = st.lists(
    st.builds(
        Delivery, kind=st.sampled_from(["on-success", "on-failure", "dead-letter"]), target=TEXT
    ),
    max_size=3,
).map(tuple)
OUTCOME = {"condition": MAYBE, "error": MAYBE, "response": RESPONSES, "pending": PENDING}


@given(st.lists(EVENTS, max_size=5))
def test_events(events: list[Event]) -> None:
    assert [event_of(part) for part in unpack(pack(map(event_part, events)))] == events


@given(
    st.builds(
        Leased, event=EVENTS, lease=TEXT, age=SECONDS, attempts=COUNT, backoffs=COUNT,
        leases=COUNT, **OUTCOME,
    )
)  # fmt: skip
def test_leased_events(leased: Leased) -> None:
    (part,) = unpack(pack([leased_part(leased)]))
    assert leased_of(part) == leased


@given(
    st.builds(
        Postponement, id=TEXT, lease=TEXT, delay=SECONDS, attempts=COUNT, backoffs=COUNT,
        hold=st.booleans(), **OUTCOME,
    )
)  # fmt: skip
def test_postponements(item: Postponement) -> None:
    (part,) = unpack(pack([postponement_part(item)]))
    assert postponement_of(part) == item


@given(
    st.builds(
        Settlement, id=TEXT, lease=TEXT, attempts=COUNT,
        state=st.sampled_from(["succeeded", "failed", "dropped", "undelivered"]), **OUTCOME,
    )
)  # fmt: skip
def test_settlements(item: Settlement) -> None:
    (part,) = unpack(pack([settlement_part(item)]))
    assert settlement_of(part) == item


@given(
    st.builds(
        Record, event=EVENTS, state=st.sampled_from(["queued", "failed"]), received_at=SECONDS,
        due_at=SECONDS, settled_at=st.none() | SECONDS, leased=st.booleans(), attempts=COUNT,
        backoffs=COUNT, leases=COUNT, **OUTCOME,
    )
)  # fmt: skip
def test_records(record: Record) -> None:
    (part,) = unpack(pack([record_part(record)]))
    assert record_of(part) == record


@given(PENDING)
def test_deliveries_as_text(pending: tuple[Delivery, ...]) -> None:
    assert pending_of(pending_text(pending)) == pending
    assert pending_of("") == ()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_garbled(data: bytes) -> None:
    try:
        parts = list(unpack(data))
    except Garbled:
        return
    for read in (event_of, leased_of, postponement_of, settlement_of, record_of):
        for part in parts:
            with pytest.raises(Garbled):
                read(part)


@given(EVENTS, st.integers(1, 50))
def test_a_message_that_is_cut_off_is_garbled(event: Event, missing: int) -> None:
    data = pack([event_part(event)])
    with pytest.raises(Garbled):
        list(unpack(data[:-missing]))


@pytest.mark.parametrize("header", [b"{", b"[]", b"1", b"\xff"])
def test_headers_that_are_none(header: bytes) -> None:
    with pytest.raises(Garbled):
        list(unpack(len(header).to_bytes(4, "big") + bytes(8) + header))


def test_a_state_that_is_not_final_settles_nothing() -> None:
    item = Settlement(id="i", lease="l", state="queued", attempts=0, condition=None)
    with pytest.raises(Garbled):
        settlement_of(settlement_part(item))
