"""Deployments whose instances do not start: why, since when, and for how long they are left alone.

Place: ``demand`` shows it pods and failures, and asks before each start; the leader asks through
it. Invariants: time comes in; after a failure a Deployment is left alone for a while, and
no other is affected; what begins, changes or passes is reported once.
Not here: who waits and is told (``demand``), what is hopeless (``starts.judge``), making room
(``crowding``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import Record
from klambda_gateway.scale.homeless import Homeless
from klambda_gateway.scale.starts import Backoff, Failure, judge
from klambda_obs import logs

_log = logs.get("klambda.gateway.demand")

Report = Callable[[DeploymentKey, Failure | None], None]
"""Called when starts of a Deployment begin to fail, fail otherwise, or work again."""


class Troubles:
    """By Deployment, until one works."""

    def __init__(
        self,
        *,
        known: Callable[[DeploymentKey], DeploymentFacts | None],
        report: Report,
        counts: Callable[[str], None],
        patience: float,
        led_since: Callable[[], float],
    ) -> None:
        """``counts`` is told the reason of each failure that leads to a back-off; ``patience``: so
        long pods may look for a node; ``led_since``: since when a gateway leads (``homeless``).
        """
        self._known = known
        self._report = report
        self._counts = counts
        self._patience = patience
        self._homeless = Homeless(led_since)
        self._backoffs: dict[DeploymentKey, Backoff] = {}

    # --- pods -------------------------------------------------------------------------------------

    def see(self, pod: PodFacts, now: float) -> None:
        """Look at a pod that changed."""
        self._homeless.see(pod, now)

    def lose(self, pod: PodFacts) -> None:
        """Forget a pod."""
        self._homeless.lose(pod)

    def homeless(self, records: Mapping[str, Record]) -> list[tuple[PodFacts, float]]:
        """Return the pods that find no node, with since when."""
        return self._homeless.pods(records)

    def judge(self, key: DeploymentKey, wanted: Iterable[Record], now: float) -> Failure | None:
        """Tell why none of a Deployment's pods will come soon; ``wanted``: by its ReplicaSet."""
        facts = self._known(key)
        pods = [
            (record.pod, self._homeless.since(record.uid))
            for record in wanted
            if record.pod is not None and record.boot is None
        ]
        replica_failure = facts.replica_failure if facts is not None else None
        return judge(pods, replica_failure=replica_failure, now=now, patience=self._patience)

    # --- failures ---------------------------------------------------------------------------------

    def of(self, key: DeploymentKey) -> Failure | None:
        """Return why starts fail, until one works."""
        backoff = self._backoffs.get(key)
        return backoff.failure if backoff is not None else None

    def current(self, key: DeploymentKey, now: float) -> Failure | None:
        """Return why starts have just failed, while the Deployment is left alone."""
        backoff = self._backoffs.get(key)
        return backoff.current(now) if backoff is not None else None

    def begin(self, key: DeploymentKey, failure: Failure, now: float) -> None:
        """Note that a start failed."""
        if self.current(key, now) is None:
            self._counts(failure.reason)
        if self._backoffs.setdefault(key, Backoff()).fail(failure, now):
            _log.warning(
                "starts-fail", deployment=key.name, reason=failure.reason, message=failure.message
            )
            self._report(key, failure)

    def end(self, key: DeploymentKey) -> None:
        """Note that starts work again."""
        backoff = self._backoffs.pop(key, None)
        if backoff is not None and backoff.clear():
            self._report(key, None)

    def forget(self, key: DeploymentKey) -> None:
        """Forget a superseded Deployment."""
        self._backoffs.pop(key, None)
