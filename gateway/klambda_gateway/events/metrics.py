"""What is counted of asynchronous events. Names stand in docs/operations.md with CloudWatch's."""

from __future__ import annotations

from typing import Final

from klambda_core.events import QueueStats
from klambda_gateway.events.policy import DROPS, RECURSION
from klambda_obs.metrics import Metrics

AGES_S: Final = (0.05, 0.25, 1, 5, 30, 60, 180, 600, 1800, 3600, 7200, 21600)
QUEUE: Final = ("function_namespace", "function")
"""Labels of a queue; "namespace" is what Prometheus calls our own."""
FUNCTIONS_SHOWN: Final = 100
"""Queues that are shown one by one: the longest."""


class EventMetrics:
    """The counters."""

    def __init__(self, metrics: Metrics) -> None:
        self._received = metrics.counter("async_events_received", "Events accepted (202).")
        self._age = metrics.histogram(
            "async_event_age_seconds", "Age of events when they are run.", buckets=AGES_S
        )
        self._dropped = metrics.counter(
            "async_events_dropped", "Events given up, by condition.", ("condition",), DROPS
        )
        self._retries = metrics.counter(
            "async_event_retries", "Events put back into the queue.", ("reason",)
        )
        self._destinations = metrics.counter(
            "destination_delivery_failures", "Outcomes that no destination could be told."
        )
        self._dead_letters = metrics.counter(
            "dead_letter_errors", "Events that no dead-letter queue took."
        )
        self._recursions = metrics.counter(
            "recursive_invocations_dropped", "Events stopped because of a loop."
        )
        self._fenced = metrics.counter(
            "async_leases_lost", "Reports that came too late: the event runs, or ran, again."
        )
        self._depth = metrics.gauge("async_queue_depth", "Events not settled, by function.", QUEUE)
        self._oldest = metrics.gauge(
            "async_oldest_event_age_seconds", "Age of the oldest one.", QUEUE
        )

    def received(self) -> None:
        """An event is on the disk."""
        self._received.inc()

    def age(self, seconds: float) -> None:
        """An event is about to be run."""
        self._age.observe(seconds)

    def dropped(self, condition: str) -> None:
        """An event is given up."""
        self._dropped.labels(condition).inc()
        if condition == RECURSION:
            self._recursions.inc()

    def retried(self, *, throttled: bool) -> None:
        """An event goes back."""
        self._retries.labels("throttle" if throttled else "error").inc()

    def undelivered(self, kind: str) -> None:
        """Telling was given up."""
        (self._dead_letters if kind == "dead-letter" else self._destinations).inc()

    def fenced(self, count: int = 1) -> None:
        """A lease turned out to be somebody else's."""
        self._fenced.inc(count)

    def queues(self, found: list[QueueStats]) -> None:
        """The queues as they are now."""
        self._depth.clear()
        self._oldest.clear()
        longest = sorted(found, key=lambda each: each.depth, reverse=True)
        for each in longest[:FUNCTIONS_SHOWN]:
            self._depth.labels(each.namespace, each.function).set(each.depth)
            self._oldest.labels(each.namespace, each.function).set(each.oldest_age)
