"""Request ids are UUIDs."""

from __future__ import annotations

import uuid

from klambda_gateway.ids import BATCH, request_ids


def test_ids_are_random_uuids_of_version_4() -> None:
    new_id = request_ids()
    ids = [new_id() for _ in range(3 * BATCH)]
    assert len(set(ids)) == len(ids)
    for each in ids:
        parsed = uuid.UUID(each)
        assert str(parsed) == each
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


def test_every_bit_that_is_drawn_is_used() -> None:
    assert request_ids(lambda count: b"\xff" * count)() == "ffffffff-ffff-4fff-bfff-ffffffffffff"
    assert request_ids(lambda count: b"\x00" * count)() == "00000000-0000-4000-8000-000000000000"
