"""What an invocation's time went into, for a caller who asks: a ``Server-Timing`` header.

    X-Klambda-Timing: 1 ─► Server-Timing: schedule;dur=41.2, container;dur=248.0, …, run;dur=3.1

Place: ``invoke.service`` makes it when ``InvokeRequest.timing`` is set; ``api.invoke`` reads and
writes the headers. Invariants: pure; phases of the start stand in the answer of the invocation that
waited for it only, milliseconds as in REPORT. Source of the format: W3C Server Timing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from klambda_gateway.instances.attempt import Attempt
from klambda_gateway.instances.call import Call
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest

ASKED: Final = "x-klambda-timing"
TOLD: Final = "Server-Timing"
_TOTAL: Final = "total"


def timed(answer: InvokeAnswer, request: InvokeRequest, call: Call) -> InvokeAnswer:
    """Add the timing to an answer whose run is over; a log tail stays only if it was asked for."""
    answer.timing = server_timing(call.attempt, call.record.phases)
    if not request.log_tail:
        answer.log_tail = None
    return answer


def server_timing(attempt: Attempt, phases: Mapping[str, float]) -> str:
    """The header's value. ``phases``: of the instance's start."""
    parts = {name: took for name, took in phases.items() if attempt.cold and name != _TOTAL}
    if attempt.report is not None:
        parts["run"] = attempt.report.duration_ms
    return ", ".join(f"{name};dur={took:.1f}" for name, took in parts.items())
