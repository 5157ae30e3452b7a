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
        self._answers = metrics.tally("invocations", "Invocations that ran.", "result").counts
        self._throttles = metrics.tally("throttles", "Requests refused with 429.", "reason").counts
        self._errors = metrics.tally("invoke_errors", "Requests not run, by error.", "error").counts
        self._seconds = metrics.spread("invoke_seconds", "From request to answer.")
        self._durations = metrics.spread("duration_seconds", "Lambda's Duration, from init.")
        self._attempts = metrics.tally("attempts", "Attempts by how they ended.", "end").counts
        self._cold = metrics.tally(
            "cold_starts", "Runs that were the first of an environment."
        ).counts
        self._answers.update({"success": 0, "error": 0})

    def answered(self, answer: InvokeAnswer | Ending, seconds: float) -> None:
        """Count an answer."""
        self._answers["error" if answer.function_error else "success"] += 1
        self._seconds.observe(seconds)

    def refused(self, error: LambdaError) -> None:
        """Count a refusal."""
        if error.reason is not None:
            self._throttles[error.reason] += 1
        else:
            self._errors[error.error.name] += 1

    def over(self, attempt: Attempt) -> None:
        """Count an attempt."""
        if attempt.refusal is not None:
            self._attempts[f"refused-{attempt.refusal.reason}"] += 1
            return
        if attempt.report is None:
            self._attempts["lost"] += 1
            return
        self._attempts[attempt.report.status] += 1
        self._durations.observe(attempt.report.duration_ms / 1000)
        if attempt.cold:
            self._cold[""] += 1
