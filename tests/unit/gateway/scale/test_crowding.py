"""A full cluster: who is asked to give way, tick after tick."""

from __future__ import annotations

from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import ANSWER_S, Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.scale.crowding import SETTLE_S, Crowding
from klambda_gateway.scale.decide import Spec

OLD, NEW = DeploymentKey("default", "old"), DeploymentKey("default", "new")
TICK_S = 1.0


class Cluster:
    """Idle instances of one function, and one pod of another that finds no node."""

    def __init__(self, *idle: str) -> None:
        self.time = 100.0
        self.registry = Registry(clock=lambda: self.time)
        self.asked: list[str] = []
        for uid in idle:
            self.registry.see_pod(self._pod(uid, OLD))
            self.registry.link(uid, OLD, boot="b", state="idle")
            self.time += 10.0
        self.homeless = [self._pod("homeless", NEW)]
        self.crowding = Crowding(
            self.registry,
            self,
            homeless=lambda: [(each, self.time) for each in self.homeless],
            known=lambda _: None,
            spec=lambda _: Spec(idle_seconds=60),
            patience=5.0,
        )

    def _pod(self, uid: str, key: DeploymentKey) -> PodFacts:
        return PodFacts(
            namespace=key.namespace,
            name=uid,
            uid=uid,
            deployment=key.name,
            cpu=100,
            message="0/1 nodes are available: 1 Insufficient cpu.",
        )

    def drain(self, record: Record, now: float, mode: str = "idle") -> None:
        assert mode == "idle"
        self.asked.append(record.uid)
        record.ask_drain(now)
        self.registry.touch(record)

    def tick(self) -> None:
        self.crowding.make_room(self.time)
        self.time += TICK_S

    def told(self, uid: str, state: str) -> None:
        record = self.registry.records[uid]
        record.told(state, 1, self.time)
        self.registry.touch(record)


def test_one_pod_is_given_one_place() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.tick()
    cluster.told("a", "drained")
    for _ in range(10):
        cluster.tick()
    assert cluster.asked == ["a"], "its place is there, the scheduler will look again"


def test_who_does_not_answer_gives_no_place_and_another_is_asked() -> None:
    """Its node has vanished; longest idle, for who is not reached runs nothing, it goes first."""
    cluster = Cluster("vanished", "b", "c")
    cluster.tick()
    assert cluster.asked == ["vanished"]
    cluster.time += ANSWER_S - TICK_S
    cluster.tick()
    assert cluster.asked == ["vanished", "b"], "well before requests stop waiting"
    cluster.told("b", "drained")
    for _ in range(10):
        cluster.tick()
    assert cluster.asked == ["vanished", "b"]


def test_what_gave_way_counts_until_the_scheduler_has_looked_again() -> None:
    cluster = Cluster("a", "b")
    cluster.tick()
    cluster.told("a", "drained")
    record = cluster.registry.records["a"]
    assert record.pod is not None
    cluster.registry.unlink(record)
    cluster.registry.lose_pod(record.pod)
    cluster.tick()
    assert cluster.asked == ["a"]
    cluster.time += SETTLE_S
    cluster.tick()
    assert cluster.asked == ["a", "b"], "somebody else took it"


def test_a_function_with_idle_instances_and_surplus_pods_gives_way_to_another() -> None:
    cluster = Cluster("a", "b", "c")
    cluster.homeless = [cluster._pod("surplus", OLD), *cluster.homeless]
    cluster.tick()
    assert cluster.asked == ["a", "b"], "the scheduler may serve the surplus pod first"


def test_surplus_pods_alone_drive_nobody_away() -> None:
    cluster = Cluster("a", "b")
    cluster.homeless = [cluster._pod("surplus", OLD)]
    cluster.tick()
    assert cluster.asked == []
