"""What goes wrong, and when: each kind on its own, drawn from the plan's seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.support.simulation.world import World

LINGER_S: Final = 10.0
"""A gateway that is asked to end takes no more for so long, and finishes."""
NOTICED_S: Final = 20.0
"""So long kernels and Kubernetes take to find out that a node has vanished (keep-alive, taints)."""

Fault = Callable[[], bool]
"""Tells whether there was something to hit."""


class Faults:
    """The hand of fate."""

    def __init__(self, world: World) -> None:
        self._loop = asyncio.get_running_loop()
        self._world = world
        self._kubernetes = world.kubernetes
        self._chance = world.chance["faults"]

    def schedule(self) -> None:
        """Begin."""
        plan = self._world.plan
        for every, fault in (
            (plan.updates_every, self._update),
            (plan.cuts_every, self._cut),
            (plan.crashes_every, self._crash),
            (plan.vanishes_every, self._vanish),
            (plan.deletions_every, self._deletion),
            (plan.kills_every, self._kill),
            (plan.restarts_every, self._restart),
            (plan.leaders_every, self._leader),
            (plan.relists_every, self._relist),
            (plan.outages_every, self._outage),
        ):
            if every:
                self._again(every, fault)

    def _again(self, every: float, fault: Fault) -> None:
        pause = every * (0.5 + self._chance.random())
        self._loop.call_later(pause, self._strike, every, fault)

    def _strike(self, every: float, fault: Fault) -> None:
        if fault():
            self._world.verdict.faults[fault.__name__.removeprefix("_")] += 1
        self._again(every, fault)

    def _instance(self) -> str | None:
        alive = [uid for uid, each in self._kubernetes.instances.items() if not each.dead]
        return self._chance.choice(alive) if alive else None

    def _hit(self, where: str, lasts: float = 0.0) -> None:
        self._world.faulted[where] = self._loop.time() + lasts
        self._world.suspect(lasts)

    def _update(self) -> bool:
        self._world.update(self._chance.choice(sorted(self._world.functions)))
        return True

    def _cut(self) -> bool:
        chance, uid = self._chance, self._instance()
        if uid is None:
            return False
        wires = list(self._kubernetes.instances[uid].wires.values())
        for wire in wires if chance.random() < 0.3 else wires[:1]:
            self._hit(f"{wire.port.gateway} {uid}")
            wire.cut(noticed=3.0 if chance.random() < 0.1 else 0.005)
        return bool(wires)

    def _crash(self) -> bool:
        uid = self._instance()
        if uid is None:
            return False
        self._hit(uid)
        self._world.orphan(self._kubernetes.instances[uid])
        self._kubernetes.crash(uid, ended=self._chance.random() < 0.3)
        return True

    def _vanish(self) -> bool:
        """Its node is gone, and nobody is told."""
        uid = self._instance()
        if uid is None:
            return False
        self._hit(uid, lasts=NOTICED_S)  # requests go there until it has been noticed
        self._world.orphan(self._kubernetes.instances[uid])
        self._kubernetes.vanish(uid, noticed=NOTICED_S)
        return True

    def _deletion(self) -> bool:
        uid = self._instance()
        if uid is None:
            return False
        self._hit(uid)
        self._kubernetes.delete(uid)
        return True

    def _kill(self) -> bool:
        if len(self._world.taking) < 2:
            return False
        self._world.end_gateway(self._chance.choice(self._world.taking), "cut")
        return True

    def _restart(self) -> bool:
        """One of a rolling restart: it takes no more, finishes, ends."""
        if len(self._world.taking) < 2:
            return False
        name = self._chance.choice(self._world.taking)
        self._world.taking.remove(name)
        self._loop.call_later(LINGER_S, self._end_when_done, name)
        if name == self._world.leader:
            self._world.leader = self._world.taking[0]
        return True

    def _end_when_done(self, name: str) -> None:
        if name not in self._world.gateways:
            return
        if self._world.busy(name):
            self._loop.call_later(0.1, self._end_when_done, name)
        else:
            self._world.end_gateway(name, "cut in a rolling restart")

    def _leader(self) -> bool:
        """Another one leads, while the former has not understood yet."""
        self._world.former = (self._world.leader, self._loop.time() + 3 * self._chance.random())
        self._world.leader = self._chance.choice(self._world.taking)
        return True

    def _relist(self) -> bool:
        name = self._chance.choice(sorted(self._world.gateways))
        self._kubernetes.streams[name].cut()
        self._loop.call_later(3 * self._chance.random(), self._list_again, name)
        return True

    def _list_again(self, name: str) -> None:
        if name in self._world.gateways:
            self._kubernetes.streams[name].cut()
            self._world.gateways[name].relist(self._kubernetes.everything())

    def _outage(self) -> bool:
        self._world.suspect(self._world.plan.outage)
        self._kubernetes.away_until = self._loop.time() + self._world.plan.outage
        return True
