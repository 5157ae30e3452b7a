"""How many instances to start, and why starts fail: pure.

A request that waits needs one start (unless an instance is about to be free for it). What this
gateway asked for and has not yet seen arrive covers its waiters; a start that takes longer than
usual is asked for again only if Kubernetes is not making the pod anyway.

Place: ``demand`` (cold requests, at once) uses both; ``decide`` (letting go) is apart.
Invariants: no I/O, time comes in; never more starts on their way than requests waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from klambda_gateway.instances.pods import PodFacts

START_PATIENCE_S: Final = 10.0
"""A start that has not dialled in by then may be lost: look what Kubernetes is making."""
SCHEDULING_PATIENCE_S: Final = 5.0
"""design/data-plane.md, "Cannot start"; the chart's default."""
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_LAST_S: Final = 30.0

_WAITING_HOPELESS: Final = frozenset({
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
})  # fmt: skip
"""Reasons of a waiting container that will not pass while a caller waits (kubelet's names)."""
_NOT_SEEN_YET: Final = "failed to sync "
"""How kubelet begins its message when it has not been told of a Secret or ConfigMap within a second
("failed to sync secret cache: timed out waiting for the condition"): it may well exist, and kubelet
looks again."""


@dataclass(slots=True, kw_only=True)
class Starts:
    """The starts of one Deployment that this gateway asked for and that have not arrived."""

    _asked: deque[float] = field(default_factory=deque)

    def outstanding(self, now: float) -> int:
        """How many are on their way as far as we know."""
        return sum(1 for asked in self._asked if asked > now - START_PATIENCE_S)

    def started(self, count: int, now: float) -> None:
        """Note starts that Kubernetes has accepted."""
        self._asked.extend([now] * count)

    def arrived(self) -> None:
        """Note an instance that dialled in for the first time: the oldest start is done."""
        if self._asked:
            self._asked.popleft()

    def shortfall(self, *, waiting: int, coming: int, now: float) -> int:
        """How many more to start; ``coming``: wanted replicas that have not dialled in."""
        late = sum(1 for asked in self._asked if asked <= now - START_PATIENCE_S)
        for _ in range(late):
            self._asked.popleft()
        for _ in range(min(late, coming - len(self._asked))):
            self._asked.append(now)  # slow, but on its way
        return max(0, waiting - len(self._asked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why instances cannot start."""

    reason: str
    message: str


@dataclass(slots=True, kw_only=True)
class Backoff:
    """How long a Deployment whose starts fail is left alone."""

    failure: Failure | None = None
    until: float = 0.0
    _wait: float = 0.0

    def fail(self, failure: Failure, now: float) -> bool:
        """Note a failure; tells whether it begins or changes the reason."""
        news = self.failure is None or self.failure.reason != failure.reason
        if now >= self.until:
            self._wait = min(max(self._wait * 2, BACKOFF_FIRST_S), BACKOFF_LAST_S)
            self.until = now + self._wait
        self.failure = failure
        return news

    def clear(self) -> bool:
        """Note a start that worked; tells whether that is news."""
        news = self.failure is not None
        self.failure, self.until, self._wait = None, 0.0, 0.0
        return news

    def current(self, now: float) -> Failure | None:
        """Return the failure while the back-off lasts."""
        return self.failure if now < self.until else None


def hopeless(pod: PodFacts) -> bool:
    """Tell whether a pod cannot start as things are: it may be given up when nobody waits."""
    return pod.unschedulable or _stuck(pod)


def _stuck(pod: PodFacts) -> bool:
    """Tell whether its container waits for what does not come by itself."""
    seen = not (pod.message or "").startswith(_NOT_SEEN_YET)
    return seen and pod.waiting in _WAITING_HOPELESS


def judge(
    pods: Iterable[tuple[PodFacts, float]],
    *,
    replica_failure: str | None,
    now: float,
    patience: float = SCHEDULING_PATIENCE_S,
) -> Failure | None:
    """Tell why those that have not dialled in will not do so soon; none while there is hope.

    ``pods``: each with when it was first seen unschedulable (or any time when it is not);
    ``patience``: so long a node is looked for.
    """
    found: Failure | None = None
    for pod, since in pods:
        failure = _failure_of(pod, since + patience, now)
        if failure is None:
            return None  # at least one is on its way
        found = failure
    if found is None and replica_failure is not None:
        return Failure(reason="ReplicaFailure", message=replica_failure)
    return found


def _failure_of(pod: PodFacts, hopeful_until: float, now: float) -> Failure | None:
    if _stuck(pod):
        return Failure(reason=str(pod.waiting), message=pod.message or "the container cannot run")
    if pod.ended or pod.restarts:
        text = f"the instance ended before it was ready ({pod.terminated or 'unknown'})"
        return Failure(reason="CrashLoop", message=text)
    if pod.unschedulable and now >= hopeful_until:
        return Failure(reason="Unschedulable", message=pod.message or "no node has room")
    return None
