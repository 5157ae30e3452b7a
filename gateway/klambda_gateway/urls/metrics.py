"""What is counted of requests to function URLs.

Place: ``urls.door`` tells of each answer. CloudWatch's UrlRequestCount, Url4xxCount, Url5xxCount
and UrlRequestLatency are read from these (docs/operations.md). Labels are bounded.
"""

from __future__ import annotations

from typing import Protocol

from klambda_obs.metrics import Metrics


class Watching(Protocol):
    """Who counts."""

    def answered(self, status: int, seconds: float) -> None:
        """Note an answer's status and how long it took until its head was known."""
        ...


class Unmeasured:
    """Counts nothing."""

    def answered(self, status: int, seconds: float) -> None:
        """Ignore it."""


class Measured:
    """Counts in Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        requests = metrics.counter("url_requests", "Requests to function URLs.", ("status",))
        self._classes = {n: requests.labels(f"{n}xx") for n in range(2, 6)}
        self._seconds = metrics.histogram("url_request_seconds", "From URL request to answer.")

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self._classes[status // 100].inc()
        self._seconds.observe(seconds)
