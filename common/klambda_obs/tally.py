"""Counters and histograms for what happens with every request: plain numbers, read when scraped.

prometheus_client takes a lock and several calls for each count, about 1 µs, and 2 µs for a
histogram; a request has half a dozen. These count in the event loop's own thread and are turned
into samples when somebody asks. Made by ``metrics.Metrics``; named and rendered like the others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric


class Tally:
    """A number that only grows, per value of one label: ``tally.counts[value] += 1``."""

    __slots__ = ("_label", "_name", "_text", "counts")

    def __init__(self, name: str, text: str, label: str = "") -> None:
        """Without ``label`` there is one number, that of ``""``."""
        self._name, self._text, self._label = name, text, label
        self.counts: Counter[str] = Counter() if label else Counter({"": 0})

    def one_more(self) -> None:
        """Count one, of the tally without a label."""
        self.counts[""] += 1

    def collect(self) -> Iterator[Metric]:
        """Give the samples."""
        family = CounterMetricFamily(
            self._name, self._text, labels=[self._label] * bool(self._label)
        )
        for value, count in self.counts.items():
            family.add_metric([value] if self._label else [], count)
        yield family


class Spread:
    """A distribution."""

    __slots__ = ("_bounds", "_name", "_text", "counts", "total")

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name, self._text = name, text
        self._bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Take a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def collect(self) -> Iterator[Metric]:
        """Give the samples, cumulated as Prometheus wants them."""
        buckets: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip([*map(float, self._bounds), "+Inf"], self.counts, strict=True):
            below += count
            buckets.append((str(bound), below))
        family = HistogramMetricFamily(self._name, self._text)
        family.add_metric([], buckets=buckets, sum_value=self.total)
        yield family
