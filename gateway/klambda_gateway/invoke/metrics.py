"""What is counted of invocations.

Place: ``invoke.service`` tells what happened; ``Measured`` counts it in Prometheus, ``Unmeasured``
is for tests. Names stand in docs/operations.md with CloudWatch's beside them. Labels are bounded.
"""

from __future__ import annotations

from typing import Protocol

from klambda_core.errors import LambdaError
from klambda_gateway.instances.attempt import Attempt
from klambda_gateway.instances.streamed import Ending
from klambda_gateway.invoke.model import InvokeAnswer
from klambda_obs.metrics import Metrics


class Watching(Protocol):
    """Who counts."""

    def answered(self, answer: InvokeAnswer | Ending, seconds: float) -> None:
        """Note an answer, a failed function's too."""
        ...

    def refused(self, error: LambdaError) -> None:
        """Note a request that was answered by the platform."""
        ...

    def over(self, attempt: Attempt) -> None:
        """Note that an attempt is over, and what its instance reported."""
        ...


class Unmeasured:
    """Counts nothing."""

    def answered(self, answer: InvokeAnswer | Ending, seconds: float) -> None:
        """Ignore it."""

    def refused(self, error: LambdaError) -> None:
        """Ignore it."""

    def over(self, attempt: Attempt) -> None:
        """Ignore it."""


class Measured:
    """Counts in Prometheus."""

    def __init__(self, metrics: Metrics) -> None:
        self._answers = metrics.counter("invocations", "Invocations that ran.", ("result",))
        self._success = self._answers.labels("success")
        self._failure = self._answers.labels("error")
        self._throttles = metrics.counter("throttles", "Requests refused with 429.", ("reason",))
        self._errors = metrics.counter("invoke_errors", "Requests not run, by error.", ("error",))
        self._seconds = metrics.histogram("invoke_seconds", "From request to answer.")
        self._durations = metrics.histogram("duration_seconds", "Lambda's Duration, from init.")
        self._attempts = metrics.counter("attempts", "Attempts by how they ended.", ("end",))
        self._cold = metrics.counter("cold_starts", "Runs that were the first of an environment.")

    def answered(self, answer: InvokeAnswer | Ending, seconds: float) -> None:
        """Count an answer."""
        (self._failure if answer.function_error else self._success).inc()
        self._seconds.observe(seconds)

    def refused(self, error: LambdaError) -> None:
        """Count a refusal."""
        if error.reason is not None:
            self._throttles.labels(error.reason).inc()
        else:
            self._errors.labels(error.error.name).inc()

    def over(self, attempt: Attempt) -> None:
        """Count an attempt."""
        if attempt.refusal is not None:
            self._attempts.labels(f"refused-{attempt.refusal.reason}").inc()
            return
        if attempt.report is None:
            self._attempts.labels("lost").inc()
            return
        self._attempts.labels(attempt.report.status).inc()
        self._durations.observe(attempt.report.duration_ms / 1000)
        if attempt.cold:
            self._cold.inc()
