"""When starts by replicas would queue behind the controller-manager's client."""

from __future__ import annotations

from klambda_gateway.scale.rush import Rush


def test_without_a_rate_nothing_queues() -> None:
    rush = Rush(rate=0)
    assert not any(rush.queues(1000, now) for now in (0.0, 0.1))


def test_a_few_functions_go_by_replicas_and_a_crowd_does_not() -> None:
    """Half of 20 writes a second, 15 at once; a start from zero is five of them."""
    rush = Rush(rate=20)
    assert [rush.queues(1, 0.0) for _ in range(5)] == [False, False, False, True, True]
    assert not rush.queues(1, 0.5), "refilled"
    assert rush.queues(1, 0.5)
    assert not rush.queues(1, 100.0)
    assert Rush(rate=20).queues(100, 0.0), "one function, a hundred times"
    assert not Rush(rate=20).queues(8, 0.0)


def test_what_would_queue_is_not_booked() -> None:
    rush = Rush(rate=20)
    assert rush.queues(100, 0.0)
    assert not rush.queues(10, 0.0)


def test_a_raised_limit_leaves_bursts_to_replicas() -> None:
    rush = Rush(rate=500)
    assert not any(rush.queues(1, 0.0) for _ in range(70))
    assert not Rush(rate=500).queues(100, 0.0)
