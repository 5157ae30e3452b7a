"""How often an event has come by a function: what stops loops.

Theory. The trace header travels with an event: to the function, which hands it to whatever it calls
through an AWS SDK, and to the function that a destination names. ``Lineage`` in it counts, for each
function, how often it has run in this chain (AWS's own member; docs "Lambda recursive loop
detection": about 16 passes). Pure; a header that cannot be read counts as none.
"""

from __future__ import annotations

import hashlib
from typing import Final

PASSES_MAX: Final = 16
ENTRIES_MAX: Final = 8
"""Functions that a header remembers: those that ran last."""
_MEMBER: Final = "Lineage="


def key(function_uid: str) -> str:
    """A function in a lineage."""
    return hashlib.sha256(function_uid.encode()).hexdigest()[:8]


def passes(trace: str | None, function_uid: str) -> int:
    """How often the function has run in this chain."""
    return _read(trace).get(key(function_uid), 0)


def looping(trace: str | None, function_uid: str) -> bool:
    """Whether another run would be one too many."""
    return passes(trace, function_uid) >= PASSES_MAX


def passed(trace: str | None, function_uid: str) -> str:
    """The header after the function has run once more."""
    counts = _read(trace)
    own = key(function_uid)
    count = counts.pop(own, 0) + 1
    kept = list(counts.items())[-(ENTRIES_MAX - 1) :]
    members = [each for each in (trace or "").split(";") if each and not each.startswith(_MEMBER)]
    lineage = ",".join(f"{each}:{number}" for each, number in (*kept, (own, count)))
    return ";".join([*members, _MEMBER + lineage])


def _read(trace: str | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    for member in (trace or "").split(";"):
        if member.startswith(_MEMBER):
            for each in member.removeprefix(_MEMBER).split(","):
                name, _, number = each.partition(":")
                if number.isascii() and number.isdecimal() and len(number) < 6:
                    counts[name] = int(number)
    return counts
