"""What the API server has said about rights, and for how long its word counts.

    allowed  0 s ──────── 5 s ──────────── 10 s ─────────────────────────────── 300 s
             counts       counts; is asked   must be asked; while the API server
                          again meanwhile    does not answer it still counts
    denied   0 s ─ 3 s    must be asked

Place: ``rbac`` looks here first, so that a warm request asks nobody. Invariants: pure, time is an
argument; bounded: the verdict that was given longest ago goes first; nothing is ever allowed that
the API server has not allowed. A grant works after 3 s at most, a revocation after 10 s at most
(while the API server answers). Not here: asking.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

REFRESHED_S: Final = 5.0
COUNTS_S: Final = 10.0
DENIED_S: Final = 3.0
GRACE_S: Final = 300.0
PAUSE_S: Final = 1.0
"""Between two questions about one right while the API server does not answer."""
KEPT: Final = 10_000

K = TypeVar("K", bound=Hashable)


class Standing(enum.Enum):
    """What is known of a right."""

    ALLOWED = enum.auto()
    DUE = enum.auto()
    """Allowed; somebody should ask again, nobody need wait."""
    DENIED = enum.auto()
    UNKNOWN = enum.auto()
    """Ask and wait."""


@dataclass(slots=True)
class _Verdict:
    allowed: bool
    given: float
    """When the API server said so."""
    asked: float
    """When it was last asked, with or without an answer."""


class Verdicts(Generic[K]):
    """The verdicts of one gateway, by subject and question."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._verdicts: dict[K, _Verdict] = {}
        self._away = False

    def __len__(self) -> int:
        return len(self._verdicts)

    def look(self, key: K, now: float) -> Standing:
        """What is known now."""
        verdict = self._verdicts.get(key)
        if verdict is None:
            return Standing.UNKNOWN
        age = now - verdict.given
        if not verdict.allowed:
            return Standing.DENIED if age < DENIED_S else Standing.UNKNOWN
        if age < REFRESHED_S:
            return Standing.ALLOWED
        if age < (GRACE_S if self._away else COUNTS_S):
            return Standing.DUE if now - verdict.asked >= PAUSE_S else Standing.ALLOWED
        return Standing.UNKNOWN

    def said(self, key: K, allowed: bool, now: float) -> None:
        """Take an answer of the API server."""
        self._away = False
        # To the end of the order: the first one is the one that was given longest ago.
        self._verdicts.pop(key, None)
        if len(self._verdicts) >= self._kept:
            del self._verdicts[next(iter(self._verdicts))]
        self._verdicts[key] = _Verdict(allowed=allowed, given=now, asked=now)

    def asked(self, key: K, now: float) -> None:
        """Note that somebody asks."""
        verdict = self._verdicts.get(key)
        if verdict is not None:
            verdict.asked = now

    def silent(self) -> None:
        """Take that the API server did not answer."""
        self._away = True
