"""Metrics: names, isolation, what is rendered."""

from __future__ import annotations

import pytest

from klambda_obs.metrics import Metrics


def test_names_carry_the_part_and_each_program_has_its_own() -> None:
    one, other = Metrics("store"), Metrics("store")
    one.counter("uploads", "Uploads.", ("outcome",)).labels("ok").inc(3)
    one.gauge("busy", "Busy.").set(2)
    one.gauge_of("free_bytes", "Free.", lambda: 7.0)
    one.histogram("seconds", "Time.", buckets=(1, 2)).observe(1.5)
    text = one.render().decode()
    assert 'klambda_store_uploads_total{outcome="ok"} 3.0' in text
    assert "klambda_store_busy 2.0" in text
    assert "klambda_store_free_bytes 7.0" in text
    assert 'klambda_store_seconds_bucket{le="2.0"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "uploads" not in other.render().decode()


def test_the_same_name_twice_is_a_bug() -> None:
    metrics = Metrics("store")
    metrics.counter("uploads", "Uploads.")
    with pytest.raises(ValueError, match="uploads"):
        metrics.counter("uploads", "Uploads.")


def test_kubernetes_calls_are_counted_and_watches_not_timed() -> None:
    metrics = Metrics("gateway")
    metrics.observe_kube("get", "pods", 200, 0.1)
    metrics.observe_kube("get", "pods", 0, 0.1)
    metrics.observe_kube("watch", "pods", 200, 300)
    text = metrics.render().decode()
    assert 'klambda_gateway_kube_requests_total{code="0",kind="pods",verb="get"} 1.0' in text
    assert 'klambda_gateway_kube_requests_total{code="200",kind="pods",verb="watch"} 1.0' in text
    assert 'kube_request_seconds_count{verb="get"} 2.0' in text
    assert 'kube_request_seconds_count{verb="watch"}' not in text


def test_tallies_and_spreads_are_rendered_as_counters_and_histograms() -> None:
    metrics = Metrics("gateway")
    tally = metrics.tally("runs", "Runs.", "result")
    tally.counts["ok"] += 2
    metrics.tally("starts", "Starts.").counts[""] += 1
    spread = metrics.spread("seconds", "Time.", buckets=(1, 2))
    same = Metrics("other")
    histogram = same.histogram("seconds", "Time.", buckets=(1, 2))
    for value in (0.5, 1, 1.5, 7):
        spread.observe(value)
        histogram.observe(value)
    text = metrics.render().decode()
    assert 'klambda_gateway_runs_total{result="ok"} 2.0' in text
    assert "klambda_gateway_starts_total 1.0" in text

    def lines(rendered: str, part: str) -> list[str]:
        return [
            line.replace(part, "") for line in rendered.splitlines() if f"{part}_seconds" in line
        ]

    assert lines(text, "klambda_gateway") == lines(same.render().decode(), "klambda_other")


def test_a_tally_of_a_name_that_is_taken_is_a_bug() -> None:
    metrics = Metrics("gateway")
    metrics.counter("runs", "Runs.")
    with pytest.raises(ValueError, match="runs"):
        metrics.tally("runs", "Runs.")
