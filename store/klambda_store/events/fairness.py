"""Which of the due events are handed out: one function after another, whatever their queues hold.

Place: the adapters ask ``wants`` for whom to look, and ``take_turns`` what to give of what they
found. Invariants: pure; a function gets at most its credit; a long queue does not lengthen another
function's wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from klambda_core.events import LeaseRequest

Candidate = tuple[str, int]
"""An event's id and the size of its payload."""


def wants(request: LeaseRequest, functions: Sequence[str], after: str) -> dict[str, int]:
    """How many events of each function may go, beginning behind ``after`` (the last one served)."""
    ordered = sorted(functions)
    at = next((index for index, uid in enumerate(ordered) if uid > after), 0)
    found: dict[str, int] = {}
    for uid in ordered[at:] + ordered[:at]:
        credit = min(request.credits.get(uid, request.default_credit), request.limit)
        if credit > 0:
            found[uid] = credit
    return found


def take_turns(
    found: Mapping[str, Sequence[Candidate]], *, limit: int, bytes_limit: int
) -> list[tuple[str, str]]:
    """Choose (function uid, event id), in turns; one event goes whatever its size."""
    chosen: list[tuple[str, str]] = []
    size = 0
    for uid, (event, bytes_) in _in_turns(found):
        if len(chosen) >= limit or (chosen and size + bytes_ > bytes_limit):
            break
        chosen.append((uid, event))
        size += bytes_
    return chosen


def _in_turns(
    found: Mapping[str, Sequence[Candidate]],
) -> Iterator[tuple[str, Candidate]]:
    rest = {uid: iter(each) for uid, each in found.items()}
    while rest:
        for uid in list(rest):
            candidate = next(rest[uid], None)
            if candidate is None:
                del rest[uid]
            else:
                yield uid, candidate
