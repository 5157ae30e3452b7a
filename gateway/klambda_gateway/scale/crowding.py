"""A full cluster: idle instances of other functions give way to pods that find no node.

Place: the leader's tick begins here; the choice is ``room``'s. Those who give way are drained as
any idle instance and let go by the same tick. Invariants: what gave way counts for some seconds,
though its pod is gone: the scheduler has not looked again yet; who was asked and does not answer,
as when its node has vanished, does not count, and others are asked.
Not here: telling who waits in vain (``demand``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.scale.decide import Spec
from klambda_gateway.scale.room import IN_USE_S, Guest, Homeless, give_way
from klambda_gateway.scale.scaler import Drains
from klambda_obs import logs

SETTLE_S: Final = 3.0
"""From giving way until the scheduler has given the place away."""

_log = logs.get("klambda.gateway.crowding")


class Crowding:
    """Makes room."""

    def __init__(
        self,
        registry: Registry,
        server: Drains,
        *,
        homeless: Callable[[], Iterable[tuple[PodFacts, float]]],
        known: Callable[[DeploymentKey], DeploymentFacts | None],
        spec: Callable[[DeploymentKey], Spec],
        patience: float,
    ) -> None:
        """``homeless``: pods that find no node, with since when."""
        self._registry = registry
        self._server = server
        self._homeless = homeless
        self._known = known
        self._spec = spec
        self._patience = patience
        self._gave: dict[str, tuple[Guest, float]] = {}

    def make_room(self, now: float) -> bool:
        """Ask idle instances to go where pods need their place; tells whether any was asked."""
        homeless = [
            Homeless(
                function=self._function(pod.key),
                since=since,
                message=pod.message or "",
                cpu=pod.cpu,
                memory=pod.memory,
                surplus=self._spares(pod.key, now),
            )
            for pod, since in self._homeless()
            if not self._spec(pod.key).superseded
        ]
        if not homeless:
            return False
        self._gave = {
            uid: (guest, at)
            for uid, (guest, at) in self._gave.items()
            if now - at < SETTLE_S and not self._mute(uid, now)
        }
        leaving = {each.uid: each for each in self._leaving(now)}
        leaving |= {uid: guest for uid, (guest, _) in self._gave.items()}
        chosen = give_way(
            homeless, self._guests(), leaving.values(), now=now, patience=self._patience
        )
        for uid in chosen:
            record = self._registry.records[uid]
            self._gave[uid] = self._guest(record, now), now
            _log.info("instance-gives-way", uid=uid, deployment=record.key.name)
            self._server.drain(record, now)
        return bool(chosen)

    def _spares(self, key: DeploymentKey, now: float) -> bool:
        """Tell whether a Deployment has an instance that it could do without."""
        pool, spec = self._registry.pools.get(key), self._spec(key)
        if pool is None or pool.waiters or pool.serving() <= max(spec.minimum, spec.provisioned):
            return False
        return any(
            each.idle_since is not None and now - each.idle_since >= IN_USE_S
            for each in [*pool.idle.values(), *pool.idle_ahead.values()]
        )

    def _guests(self) -> Iterable[Guest]:
        for pool in self._registry:
            spec = self._spec(pool.key)
            if pool.waiters or spec.superseded:
                continue
            found = [
                (record.idle_since, record)
                for record in [*pool.idle.values(), *pool.idle_ahead.values()]
                if record.idle_since is not None and not (record.provisioned and spec.provisioned)
            ]
            found.sort(key=lambda each: each[0])
            spare = max(0, pool.serving() - spec.minimum)
            for since, record in found[:spare]:
                yield self._guest(record, since)

    def _leaving(self, now: float) -> Iterable[Guest]:
        for record in self._registry.records.values():
            if record.going(now) or (record.pod is not None and record.pod.deleting):
                yield self._guest(record, 0.0)

    def _mute(self, uid: str, now: float) -> bool:
        """Tell whether it was asked to go and has not answered."""
        record = self._registry.records.get(uid)
        return record is not None and record.drain_asked is not None and not record.going(now)

    def _guest(self, record: Record, since: float) -> Guest:
        pod = record.pod
        return Guest(
            uid=record.uid,
            function=self._function(record.key),
            since=since,
            cpu=pod.cpu if pod is not None else 0,
            memory=pod.memory if pod is not None else 0,
        )

    def _function(self, key: DeploymentKey) -> tuple[str, str]:
        facts = self._known(key)
        return key.namespace, facts.function if facts is not None else key.name
