"""Reserved concurrency as a bound of instances: who counts, and who gives way."""

from __future__ import annotations

from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.family import Families
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import ANSWER_S, PROVISIONED, Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.scale.shares import Share, Shares

OLD, NEW = DeploymentKey("default", "area-1"), DeploymentKey("default", "area-2")


class Cluster:
    """Two Deployments of one function that reserves some."""

    def __init__(self, reserved: int | None, serving: tuple[DeploymentKey, ...] = (NEW,)) -> None:
        self.time = 0.0
        self.registry = Registry(clock=lambda: self.time)
        self.replicas = {OLD: 0, NEW: 0}
        self.drained: list[str] = []
        share = Share(reserved=reserved or 0, deployments=(OLD, NEW), serving=serving)
        self.shares = Shares(
            self.registry,
            share=lambda _: None if reserved is None else share,
            replicas=self.replicas.__getitem__,
            drain=self._drain,
        )

    def _drain(self, record: Record) -> None:
        self.drained.append(record.uid)
        record.ask_drain(self.time)

    def instance(self, uid: str, key: DeploymentKey, state: str, **pod: bool) -> Record:
        self.time += 1
        self.replicas[key] += not pod.get("deleting", False)
        facts = PodFacts(
            namespace="default", name=uid, uid=uid, deployment=key.name, deleting=bool(pod)
        )
        self.registry.see_pod(facts)
        return self.registry.link(uid, key, boot="b", state=state)


def test_a_function_that_reserves_nothing_has_all_the_room() -> None:
    assert Cluster(None).shares.room(NEW, 100) is None


def test_what_is_kept_counts_over_all_revisions() -> None:
    cluster = Cluster(5)
    cluster.replicas[NEW] = 1  # asked for, and not there yet
    cluster.instance("a", OLD, "busy")
    cluster.instance("b", NEW, "busy")
    assert cluster.shares.room(NEW, 1) == 2
    assert cluster.drained == []


def test_who_can_never_run_again_does_not_count() -> None:
    cluster = Cluster(3)
    cluster.instance("a", OLD, "drained").ask_drain(1.0)
    cluster.instance("b", OLD, "idle")
    cluster.registry.link("b", OLD, boot="another", state="idle")  # its init died once
    cluster.instance("c", OLD, "draining")
    assert cluster.shares.room(NEW, 1) == 2


def test_who_drains_unasked_counts_until_the_watch_must_have_told_of_a_deletion() -> None:
    cluster = Cluster(1)
    cluster.instance("a", OLD, "drained")
    assert cluster.shares.room(NEW, 1) == 0
    cluster.time += 2
    assert cluster.shares.room(NEW, 1) == 1


def test_who_finishes_a_run_while_its_pod_goes_counts_though_nobody_keeps_it() -> None:
    cluster = Cluster(2)
    cluster.instance("a", OLD, "draining", deleting=True).attempt = "ours"
    cluster.instance("b", OLD, "drained", deleting=True)
    assert cluster.shares.room(NEW, 1) == 1


def test_idle_ones_give_way_superseded_first_then_the_longest_idle() -> None:
    third = DeploymentKey("default", "area-3")
    cluster = Cluster(3, serving=(NEW, third))
    cluster.instance("serving", NEW, "idle")
    cluster.instance("first", OLD, "idle")
    cluster.instance("second", OLD, "idle")
    share = Share(reserved=3, deployments=(OLD, NEW, third), serving=(NEW, third))
    cluster.replicas[third] = 0
    cluster.shares = Shares(
        cluster.registry,
        share=lambda _: share,
        replicas=cluster.replicas.__getitem__,
        drain=cluster._drain,
    )
    assert cluster.shares.room(third, 1) == 0
    assert cluster.drained == ["first"]
    assert cluster.shares.room(third, 1) == 0
    assert cluster.drained == ["first"], "who is asked already is enough"
    assert cluster.shares.room(third, 9) == 0
    assert cluster.drained == ["first", "second", "serving"]


def test_who_was_asked_and_does_not_answer_is_not_waited_for() -> None:
    cluster = Cluster(2)
    cluster.instance("vanished", OLD, "idle")
    cluster.instance("second", OLD, "idle")
    assert cluster.shares.room(NEW, 1) == 0
    cluster.time += ANSWER_S
    assert cluster.shares.room(NEW, 1) == 0, "it may run something yet"
    assert cluster.drained == ["vanished", "second"]


def test_provisioned_and_running_ones_stay() -> None:
    cluster = Cluster(2, serving=(OLD, NEW))
    kept = cluster.instance("kept", OLD, "idle")
    kept.started_for(PROVISIONED, init_failed=False)
    cluster.instance("runs", OLD, "busy")
    assert cluster.shares.room(NEW, 2) == 0
    assert cluster.drained == []


def test_families_follow_the_deployments() -> None:
    families = Families()
    for key in (OLD, NEW):
        facts = DeploymentFacts(key=key, uid="u", resource_version="1", replicas=0, function="area")
        families.changed(key, facts)
        families.changed(key, facts)
    assert list(families.of(("default", "area"))) == [OLD, NEW]
    families.changed(OLD, None)
    families.changed(OLD, None)
    assert list(families.of(("default", "area"))) == [NEW]
    families.changed(NEW, None)
    assert list(families.of(("default", "area"))) == []
