"""Loops are counted in the trace header."""

from __future__ import annotations

import pytest

from klambda_gateway.events.lineage import ENTRIES_MAX, key, looping, passed, passes

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_sixteen_passes_and_no_more() -> None:
    trace: str | None = TRACE
    for number in range(16):
        assert passes(trace, "a") == number
        assert not looping(trace, "a")
        trace = passed(trace, "a")
    assert looping(trace, "a")
    assert not looping(trace, "b")
    assert trace is not None
    assert trace.startswith(TRACE + ";Lineage="), "the rest stays as it is"


def test_each_function_is_counted_by_itself() -> None:
    trace = passed(passed(passed(TRACE, "a"), "b"), "a")
    assert (passes(trace, "a"), passes(trace, "b")) == (2, 1)
    assert trace == f"{TRACE};Lineage={key('b')}:1,{key('a')}:2"


def test_a_header_stays_short() -> None:
    trace: str | None = None
    for number in range(100):
        trace = passed(trace, f"f{number}")
    assert trace is not None
    assert trace.count(":") == ENTRIES_MAX
    assert passes(trace, "f99") == 1
    assert passes(trace, "f0") == 0


@pytest.mark.parametrize(
    "trace", [None, "", "Lineage=", "Lineage=:::,x:y,9", "Lineage=a:99999999999999", "x=1;;Lineage"]
)
def test_what_cannot_be_read_counts_as_none(trace: str | None) -> None:
    assert passes(trace, "a") == 0
    assert passes(passed(trace, "a"), "a") == 1
