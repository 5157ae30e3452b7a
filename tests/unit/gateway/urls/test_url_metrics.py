"""What is counted of URL requests."""

from __future__ import annotations

from klambda_gateway.urls.metrics import Measured, Unmeasured
from klambda_obs.metrics import Metrics


def test_answers_are_counted_by_class_and_timed() -> None:
    metrics = Metrics("gateway")
    measured = Measured(metrics)
    for status in (200, 204, 302, 403, 502):
        measured.answered(status, 0.01)
    Unmeasured().answered(200, 0.01)
    text = metrics.render().decode()
    assert 'klambda_gateway_url_requests_total{status="2xx"} 2.0' in text
    assert 'klambda_gateway_url_requests_total{status="5xx"} 1.0' in text
    assert "klambda_gateway_url_request_seconds_count 5.0" in text
