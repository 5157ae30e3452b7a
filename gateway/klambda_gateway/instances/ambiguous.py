"""Attempts whose connection broke before it was seen whether they run.

    sent ─► connection lost ─► ambiguous ─► asked for when the same boot dials again
                                   │             ├─ accepted: broken off (it may have run)
                                   │             └─ not: withdrawn (it goes elsewhere)
                                   └─► another boot, the pod gone, 20 s of silence: broken off

Place: the instance server hands calls of lost links over and asks what stands here of links that
come. Invariant: never guessed; an attempt leaves here the moment that its fate is certain.
Not here: connections (``server``), what a call then does (``call``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from klambda_gateway.instances.call import Call
from klambda_gateway.instances.frames import Frame, FrameType
from klambda_gateway.instances.link import Link
from klambda_gateway.instances.record import Record

AMBIGUOUS_LIMIT_S: Final = 20.0
"""Contract §1: so long may a suspected instance be silent."""


class Ambiguous:
    """The attempts nobody knows the fate of, by instance."""

    def __init__(self, touch: Callable[[Record], None]) -> None:
        """``touch``: called for the instance of an attempt that was given up."""
        self._touch = touch
        self._calls: dict[str, dict[str, Call]] = {}

    def suspect(self, call: Call) -> None:
        """Take an attempt of a lost connection."""
        uid = call.record.uid
        self._calls.setdefault(uid, {})[call.id] = call
        loop = asyncio.get_running_loop()
        timer = loop.call_later(AMBIGUOUS_LIMIT_S, self._break_off, call)
        call.on_settled = lambda: self._certain(uid, call.id, timer)

    def give_up(self, uid: str) -> None:
        """Break off what is ambiguous with an instance that will not come back."""
        for call in list(self._calls.get(uid, {}).values()):
            call.break_off()

    def give_all_up(self) -> None:
        """Break off everything: this gateway ends."""
        for uid in list(self._calls):
            self.give_up(uid)

    def ask(self, link: Link) -> None:
        """Ask an instance that dialled in again; another boot of it has forgotten."""
        for call in list(self._calls.get(link.uid, {}).values()):
            if call.boot == link.boot:
                link.send(FrameType.QUERY, {"attempt": call.id})
            else:
                call.break_off()

    def told(self, link: Link, state: Frame) -> None:
        """Take the instance's word on an attempt that it was asked for."""
        asked = state.header.get("asked")
        if not isinstance(asked, dict):
            return
        call = self._calls.get(link.uid, {}).get(asked.get("attempt", ""))
        if call is None:
            return
        if asked.get("accepted"):
            call.break_off()
        else:  # never came, or was held and dropped with its connection
            call.withdraw()

    def _break_off(self, call: Call) -> None:
        call.break_off()
        self._touch(call.record)

    def _certain(self, uid: str, attempt: str, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        calls = self._calls.get(uid, {})
        calls.pop(attempt, None)
        if not calls:
            self._calls.pop(uid, None)
