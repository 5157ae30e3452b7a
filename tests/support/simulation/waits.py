"""How long requests wait for an instance, and beside which: looked at now and then.

A wait beside an idle instance (starvation) is one of somebody who waits all the while beside one
and the same instance, which does nothing all the while and could be used. That at each of many
looks somebody waits and some instance is idle means nothing: between two runs each one is, for as
long as frames travel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tests.support.simulation.gateway import Gateway
from tests.support.simulation.kubernetes import Kubernetes
from tests.support.simulation.plan import Verdict

STARVED_S: Final = 0.1
"""Longer than frames ever take here; half a second is what is promised (design/data-plane.md)."""


class Waits:
    """The longest ones go into the verdict."""

    def __init__(
        self, gateways: Mapping[str, Gateway], kubernetes: Kubernetes, verdict: Verdict
    ) -> None:
        self._gateways = gateways
        self._instances = kubernetes.instances
        self._verdict = verdict
        self._usable: dict[tuple[str, str], float] = {}
        """Since when a gateway could have used an instance."""

    def look(self, now: float) -> None:
        """Look who waits."""
        began = {
            (name, pool.key): min(waiter.since for waiter in pool.waiters.values())
            for name, gateway in self._gateways.items()
            for pool in gateway.registry
            if pool.waiters
        }
        self._usable = {each: self._usable.get(each, now) for each in self._idle()}
        verdict = self._verdict
        verdict.queued = max(verdict.queued, now - min(began.values(), default=now))
        for (name, uid), usable in self._usable.items():
            instance = self._instances[uid]
            waits = began.get((name, instance.pod.key), now)
            since = max(waits, usable, instance.idle_since)
            verdict.starved = max(verdict.starved, now - since)

    def _idle(self) -> Iterator[tuple[str, str]]:
        """Yield the instances that do nothing, each with a gateway that could use it.

        Not one whose pod the watch has yet to show, nor one whose init died once; nor one whose
        connection has broken without a word: nothing would reach it.
        """
        for name, gateway in self._gateways.items():
            for uid, record in gateway.registry.records.items():
                each = self._instances.get(uid)
                if each is None or each.dead or each.state != "idle":
                    continue
                if record.serving and each.reaches(name):
                    yield name, uid
