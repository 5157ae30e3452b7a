"""Pods without a node: since when their patience counts."""

from __future__ import annotations

import pytest

from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import Record
from klambda_gateway.scale.homeless import LEADERLESS_S, Homeless


def pod(uid: str = "u", *, unschedulable: bool = True, deleting: bool = False) -> PodFacts:
    return PodFacts(
        namespace="n", name=uid, uid=uid, deployment="d", unschedulable=unschedulable,
        deleting=deleting,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("led", "since"),
    [
        pytest.param(50.0, 100.0, id="somebody led already"),
        pytest.param(107.0, 107.0, id="somebody leads since"),
        pytest.param(500.0, 100.0 + LEADERLESS_S, id="nobody has led for too long"),
        pytest.param(float("inf"), 100.0 + LEADERLESS_S, id="nobody leads"),
    ],
)
def test_patience_begins_when_somebody_can_make_room(led: float, since: float) -> None:
    homeless = Homeless(lambda: led)
    homeless.see(pod(), 100.0)
    homeless.see(pod(), 103.0)
    assert homeless.since("u") == since


def test_who_found_a_node_or_goes_is_no_longer_among_them() -> None:
    homeless = Homeless(lambda: 0.0)
    records = {uid: Record(uid, DeploymentKey("n", "d")) for uid in "abcd"}
    for uid, record in records.items():
        record.see_pod(pod(uid))
        homeless.see(pod(uid), 1.0)
    homeless.see(pod("a", unschedulable=False), 2.0)
    homeless.see(pod("b", deleting=True), 2.0)
    homeless.lose(pod("c"))
    assert homeless.pods(records) == [(pod("d"), 1.0)]
    assert homeless.pods({}) == [], "its record is gone"
