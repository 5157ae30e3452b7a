"""Timestamps in the two worlds' spellings."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from klambda_core import clock

MOMENT = datetime(2026, 11, 21, 12, 34, 56, 789999, tzinfo=UTC)


def test_lambda_writes_milliseconds_and_an_offset_without_colon() -> None:
    assert clock.lambda_timestamp(MOMENT) == "2026-11-21T12:34:56.789+0000"


def test_kubernetes_writes_whole_seconds() -> None:
    assert clock.kube_timestamp(MOMENT) == "2026-11-21T12:34:56Z"


def test_other_zones_are_converted() -> None:
    moment = MOMENT.astimezone(timezone(timedelta(hours=2)))
    assert clock.lambda_timestamp(moment) == "2026-11-21T12:34:56.789+0000"


@pytest.mark.parametrize("text", ["2026-11-21T12:34:56.789+0000", "2026-11-21T12:34:56.789Z"])
def test_both_spellings_are_read(text: str) -> None:
    assert clock.parse_timestamp(text) == MOMENT.replace(microsecond=789000)


def test_a_time_without_zone_is_utc() -> None:
    assert clock.parse_timestamp("2026-11-21T00:00:00") == datetime(2026, 11, 21, tzinfo=UTC)


def test_what_is_no_time_is_none() -> None:
    assert clock.parse_timestamp("yesterday") is None
    assert clock.kube_to_lambda("yesterday") is None


def test_a_creation_time_as_lambda_prints_it() -> None:
    assert clock.kube_to_lambda("2026-11-21T12:34:56Z") == "2026-11-21T12:34:56.000+0000"
