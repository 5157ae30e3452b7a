"""An instance's account of its start: a histogram by phase, and a line in the log.

Place: ``app`` hands it what ``instances.server`` receives. Invariants: only phases of the contract
become labels, so their number is bounded. Not here: the REPORT line, which tells
the caller of the first invocation (init's).
"""

from __future__ import annotations

from typing import Final

from klambda_gateway.instances.frames import Frame
from klambda_gateway.instances.pods import DeploymentKey
from klambda_obs import logs
from klambda_obs.metrics import Metrics

PHASES: Final = frozenset(
    f"{name}Ms" for name in ("schedule", "dial", "assign", "fetch", "unpack", "runtime", "total")
)
"""Members of frame 24, milliseconds (docs/runtime-contract.md)."""

_log = logs.get("klambda.gateway")


class StartPhases:
    """Notes where the time of starts goes."""

    def __init__(self, metrics: Metrics) -> None:
        self._seconds = metrics.histogram(
            "start_phase_seconds", "Phases of an instance's start, in init's words.", ("phase",)
        )

    def note(self, key: DeploymentKey, frame: Frame) -> None:
        """Take frame 24 of an instance that has started."""
        phases = {
            name.removesuffix("Ms"): value
            for name, value in frame.header.items()
            if name in PHASES and isinstance(value, int | float)
        }
        for name, value in phases.items():
            self._seconds.labels(name).observe(value / 1000)
        _log.info(
            "instance-started", namespace=key.namespace, deployment=key.name, milliseconds=phases
        )
