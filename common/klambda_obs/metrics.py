"""Metrics: the only place that knows prometheus_client.

Each program makes one `Metrics` and hands its counters to who needs them; there is no global
registry, so tests run side by side. Names are `klambda_<part>_<what>_<unit>`. Labels stay few and
bounded: never a request id, never a pod name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from klambda_obs.tally import Spread, Tally

__all__ = [
    "CONTENT_TYPE",
    "LATENCY_S",
    "Counter",
    "Gauge",
    "Histogram",
    "Metrics",
    "Spread",
    "Tally",
]

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, of no use

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Buckets from a warm hop (1 ms) to a slow start."""


class Metrics:
    """The metrics of one program."""

    def __init__(self, part: str) -> None:
        self._prefix = f"klambda_{part}"
        self._registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._kube: tuple[Counter, Histogram] | None = None

    def counter(
        self, name: str, text: str, labels: Sequence[str] = (), known: Sequence[str] = ()
    ) -> Counter:
        """A number that only grows; exported as `<prefix>_<name>_total`.

        ``known`` values of its one label stand at 0 from the beginning: Prometheus sees no
        increase in a series that begins with 1, so alerts would miss the first.
        """
        counter = Counter(f"{self._prefix}_{name}", text, labels, registry=self._registry)
        for value in known:
            counter.labels(value)
        return counter

    def tally(self, name: str, text: str, label: str = "") -> Tally:
        """A counter for what happens with every request: cheap, of one thread."""
        tally = Tally(f"{self._prefix}_{name}", text, label)
        self._registry.register(tally)
        return tally

    def spread(self, name: str, text: str, buckets: Sequence[float] = LATENCY_S) -> Spread:
        """A distribution of what happens with every request: cheap, of one thread."""
        spread = Spread(f"{self._prefix}_{name}", text, buckets)
        self._registry.register(spread)
        return spread

    def gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        return Gauge(f"{self._prefix}_{name}", text, labels, registry=self._registry)

    def gauge_of(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A gauge that is read when somebody asks for the metrics."""
        self.gauge(name, text).set_function(read)

    def histogram(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY_S,
    ) -> Histogram:
        """A distribution, of seconds unless the name says otherwise."""
        return Histogram(
            f"{self._prefix}_{name}", text, labels, registry=self._registry, buckets=buckets
        )

    def observe_kube(self, verb: str, plural: str, status: int, seconds: float) -> None:
        """Count one call to the Kubernetes API: the `observe` of `klambda_kube.api.Api`."""
        if self._kube is None:
            self._kube = (
                self.counter("kube_requests", "Kubernetes API calls.", ("verb", "kind", "code")),
                self.histogram("kube_request_seconds", "Kubernetes API call time.", ("verb",)),
            )
        requests, times = self._kube
        requests.labels(verb, plural, str(status)).inc()
        if verb != "watch":
            times.labels(verb).observe(seconds)

    def render(self) -> bytes:
        """The text exposition, of type `CONTENT_TYPE`."""
        return generate_latest(self._registry)
