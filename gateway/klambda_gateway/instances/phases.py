"""Where the time of an instance's start went: a histogram by phase, and a line in the log.

    pod seen ─schedule─► bound ─container─► init runs ─dial─► assign ─► fetch ─► unpack ─► runtime
    └──── ours to see ──────────┘└──────────────────── init's to measure ──────────────────────┘

Theory. A pod's own timestamps are whole seconds, so the gateway notes when it saw the pod come and
get a node, and tells init with the assignment; init knows how long it has run itself. A pod that
was there before the gateway looked has no such phases.
Place: ``changes`` tells of pods, ``instances.server`` asks what to send along and hands over what
init says (frame 24). Invariants: only phases of the contract become labels, so their number is
bounded; a pod is remembered until it is assigned, or gone. Not here: the REPORT line (init's), the
header that tells a caller (``invoke.timing``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from klambda_gateway.instances.frames import Frame
from klambda_gateway.instances.pods import PodFacts
from klambda_gateway.instances.record import Record
from klambda_obs import logs
from klambda_obs.metrics import Metrics

PHASES: Final = (
    "schedule", "container", "dial", "assign", "fetch", "unpack", "runtime", "total",
)  # fmt: skip
"""Members of frame 24 without their ``Ms`` (docs/runtime-contract.md)."""

_log = logs.get("klambda.gateway")


class StartPhases:
    """Notes where the time of starts goes."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        """``clock``: monotonic seconds."""
        self._clock = clock
        self._seconds = metrics.histogram(
            "start_phase_seconds", "Phases of an instance's start.", ("phase",)
        )
        self._seen: dict[str, tuple[float, float | None]] = {}
        """By the pod's uid: when it came, and when it had a node."""

    def see_pod(self, pod: PodFacts) -> None:
        """Take a new or changed pod."""
        known = self._seen.get(pod.uid)
        if known is None:
            if not pod.bound:
                self._seen[pod.uid] = (self._clock(), None)
        elif known[1] is None and pod.bound:
            self._seen[pod.uid] = (known[0], self._clock())

    def lose_pod(self, pod: PodFacts) -> None:
        """Forget a pod."""
        self._seen.pop(pod.uid, None)

    def before(self, uid: str) -> dict[str, float] | None:
        """Member ``before`` of frame ``assign``, milliseconds; None when nobody saw it come."""
        came, bound = self._seen.pop(uid, (0.0, None))
        if bound is None:
            return None
        since = self._clock() - bound
        return {"scheduleMs": _milliseconds(bound - came), "boundMs": _milliseconds(since)}

    def note(self, record: Record, frame: Frame) -> None:
        """Take frame 24 of an instance that has started."""
        found = ((name, frame.header.get(f"{name}Ms")) for name in PHASES)
        phases = {name: value for name, value in found if isinstance(value, int | float)}
        for name, value in phases.items():
            self._seconds.labels(name).observe(value / 1000)
        record.phases = phases
        _log.info(
            "instance-started",
            namespace=record.key.namespace,
            deployment=record.key.name,
            milliseconds=phases,
        )


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
