"""Instances as one gateway sees them: evidence in any order, and who is handed which."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from klambda_gateway.instances.pods import DeploymentKey, PodFacts, pod_facts
from klambda_gateway.instances.pool import Pool
from klambda_gateway.instances.record import ANSWER_S, ON_DEMAND, PROVISIONED, Record, Slot

KEY = DeploymentKey("default", "area-latest-1")
POD = PodFacts(namespace="default", name="p", uid="u", deployment=KEY.name)
WIRE = [slot.value for slot in Slot if slot is not Slot.UNKNOWN]


def fresh(state: str = "idle") -> Record:
    record = Record("u", KEY)
    record.see_pod(POD)
    record.link("boot-1", state, 1.0)
    return record


POD_EVIDENCE: dict[str, Callable[[Record], None]] = {
    "seen": lambda r: r.see_pod(POD),
    "restarted": lambda r: r.see_pod(dataclasses.replace(POD, restarts=1)),
    "evicted": lambda r: r.see_pod(dataclasses.replace(POD, ended=True)),
    "deleting": lambda r: r.see_pod(dataclasses.replace(POD, deleting=True)),
    "gone": lambda r: r.lose_pod(),
}
LINK_EVIDENCE: dict[str, Callable[[Record], None]] = {
    "hello idle": lambda r: r.link("boot-1", "idle", 1.0),
    "hello init": lambda r: r.link("boot-1", "init", 1.0),
    "hello of a second boot": lambda r: r.link("boot-2", "idle", 1.0),
    "busy": lambda r: r.told("busy", 1, 2.0),
    "idle": lambda r: r.told("idle", 1, 3.0),
    "drained": lambda r: r.told("drained", 1, 3.0),
    "failed": lambda r: r.failed(),
    "lost": lambda r: r.unlink(),
}


def verdict(record: Record) -> tuple[object, ...]:
    return (record.free, record.holdable, record.spoilt, record.slot, record.serving)


@given(
    st.lists(st.sampled_from(sorted(POD_EVIDENCE)), max_size=4),
    st.lists(st.sampled_from(sorted(LINK_EVIDENCE)), max_size=6),
    st.randoms(use_true_random=False),
)
def test_evidence_of_pod_and_connection_commutes(
    pod: list[str], link: list[str], order: object
) -> None:
    """Any interleaving of the two clocks ends in the same verdict."""
    one, other = Record("u", KEY), Record("u", KEY)
    for name in pod:
        POD_EVIDENCE[name](one)
    for name in link:
        LINK_EVIDENCE[name](one)
    pending, linked = list(pod), list(link)
    while pending or linked:
        if pending and (not linked or order.random() < 0.5):  # type: ignore[attr-defined]
            POD_EVIDENCE[pending.pop(0)](other)
        else:
            LINK_EVIDENCE[linked.pop(0)](other)
    assert verdict(one) == verdict(other)


@pytest.mark.parametrize("state", [*WIRE, "a-later-version's"])
def test_only_idle_is_free_and_only_what_init_holds_for_is_holdable(state: str) -> None:
    record = fresh(state)
    assert record.free is (state == "idle")
    assert record.holdable is (state in ("assigning", "init", "completing"))


def test_a_run_of_ours_that_completes_is_not_asked_again() -> None:
    record = fresh("idle")
    record.dispatch("a")
    record.accepted(0.0)
    record.answered(1.0)
    assert not record.holdable
    record.ended("a", 2.0)
    assert record.free


def test_a_run_that_lasts_stands_and_the_next_one_begins_anew() -> None:
    record = fresh("init")
    record.dispatch("a")
    assert not record.stands(99.0, 1.0), "INIT is no run"
    record.accepted(100.0)
    assert not record.stands(100.5, 1.0)
    assert record.stands(101.0, 1.0)
    record.answered(101.0)
    assert record.stands(101.0, 1.0), "its runtime is not back"
    record.ended("a", 102.0)
    assert not record.stands(200.0, 1.0)


def test_runs_of_other_gateways_stand_by_the_instances_word() -> None:
    record = fresh("busy")
    since = 1.0  # its connection: nobody knows for how long it has run
    assert record.stands(since + 1.0, 1.0)
    record.told("busy", record.served + 1, 5.0)
    assert not record.stands(5.5, 1.0), "another gateway's next run"
    record.told("busy", record.served, 5.7)
    assert record.stands(6.0, 1.0)
    record.unlink()
    assert not record.stands(9.0, 1.0), "what it does is unknown"


def test_unknown_is_not_idle() -> None:
    record = Record("u", KEY)
    record.see_pod(POD)
    assert not record.free
    record.link("b", "idle", 1.0)
    record.unlink()
    assert not record.free
    assert record.slot is Slot.UNKNOWN


@pytest.mark.parametrize("name", ["restarted", "evicted", "deleting", "gone"])
def test_a_spoilt_pod_is_never_capacity(name: str) -> None:
    record = fresh()
    POD_EVIDENCE[name](record)
    assert record.spoilt
    assert not record.free
    assert not record.serving


def test_a_second_boot_in_one_pod_spoils_it() -> None:
    record = fresh()
    record.link("boot-2", "idle", 2.0)
    assert record.spoilt
    again = fresh()
    again.link("boot-1", "idle", 2.0)
    assert again.free, "the same boot dialling again is the same environment"


def test_a_refusal_blocks_until_the_instance_speaks() -> None:
    record = fresh()
    record.dispatch("a")
    record.refused("a", "busy")
    assert not record.free
    record.told("idle", 4, 2.0)
    assert record.free


@pytest.mark.parametrize("reason", ["invalid-json", "cancelled"])
def test_a_refusal_that_was_the_requests_own_does_not_block(reason: str) -> None:
    record = fresh()
    record.dispatch("a")
    record.refused("a", reason)
    assert record.free


def test_a_run_of_ours_ends_in_idle_and_restarts_the_idle_clock() -> None:
    record = fresh()
    assert record.idle_since == 1.0
    record.dispatch("a")
    record.accepted(0.0)
    assert record.running
    assert record.idle_since is None
    record.ended("other", 4.0)
    assert record.attempt == "a"
    record.ended("a", 5.0)
    assert record.free
    assert record.idle_since == 5.0


def test_a_drain_asked_keeps_requests_away_unless_a_run_came_first() -> None:
    record = fresh()
    record.ask_drain(2.0)
    assert not record.free
    record.told("busy", 1, 2.1)
    record.told("idle", 2, 2.2)
    assert record.free, "another gateway's run came first: the instance refused to drain"
    record.ask_drain(3.0)
    record.told("drained", 2, 3.1)
    record.told("draining", 2, 3.2)
    assert record.drained


def test_who_was_asked_to_drain_is_going_until_it_should_have_answered() -> None:
    record = fresh()
    assert not record.going(2.0)
    record.ask_drain(2.0)
    assert record.going(2.0)
    assert not record.going(2.0 + ANSWER_S)
    record.told("drained", 1, 9.0)
    assert record.going(9.0)


def test_a_drain_asked_on_a_lost_connection_is_forgotten() -> None:
    """It may never have come; if it has, the instance says so."""
    record = fresh()
    record.ask_drain(2.0)
    record.unlink()
    record.link("boot-1", "idle", 3.0)
    assert record.free
    record.ask_drain(4.0)
    record.unlink()
    record.link("boot-1", "drained", 5.0)
    assert record.drained


class Waiter:
    def __init__(self, attempt: str, *, patient: bool = False) -> None:
        self.attempt = attempt
        self.patient = patient


class PoolMachine(RuleBasedStateMachine):
    """Whatever happens, nobody shares an instance and nobody is forgotten."""

    instances: Bundle[Record] = Bundle("instances")

    def __init__(self) -> None:
        super().__init__()
        self.pool: Pool[Waiter] = Pool(key=KEY)
        self.running: dict[str, Record] = {}
        self.asked = self.granted = self.left = 0
        self.now = 0.0

    def _settle(self) -> None:
        for waiter, record in self.pool.match():
            self._grant(waiter.attempt, record)

    def _grant(self, attempt: str, record: Record) -> None:
        assert record not in self.running.values(), "handed out twice"
        assert record.linked
        assert not record.spoilt
        self.running[attempt] = record
        self.granted += 1

    def _evidence(self, record: Record) -> None:
        self.now += 1
        self.pool.file(record)
        self._settle()

    @rule(target=instances, state=st.sampled_from(WIRE))
    def dial(self, state: str) -> Record:
        record = Record(f"u{len(self.pool.records)}-{self.now}", KEY)
        record.link("b", state, self.now)
        self.pool.add(record)
        self._evidence(record)
        return record

    @rule()
    def ask(self) -> None:
        self.asked += 1
        attempt = f"a{self.asked}"
        record = self.pool.take(attempt)
        if record is not None:
            self._grant(attempt, record)
        else:
            self.pool.wait(Waiter(attempt, patient=self.asked % 3 == 0))

    @rule()
    def give_up(self) -> None:
        if self.pool.waiters:
            self.left += 1
            self.pool.leave(next(iter(self.pool.waiters)))

    @rule(
        attempt_index=st.integers(0, 50),
        how=st.sampled_from(["end", "busy", "draining", "cancelled"]),
    )
    def settle(self, attempt_index: int, how: str) -> None:
        if not self.running:
            return
        attempt = sorted(self.running)[attempt_index % len(self.running)]
        record = self.running.pop(attempt)
        if how == "end":
            record.accepted(0.0)
            record.ended(attempt, self.now)
        else:
            record.refused(attempt, how)
        self._evidence(record)

    @rule(record=instances, state=st.sampled_from(WIRE))
    def tell(self, record: Record, state: str) -> None:
        if record.linked:
            record.told(state, 0, self.now)
            self._evidence(record)

    @rule(record=instances, kind=st.sampled_from([ON_DEMAND, PROVISIONED, None]))
    def say_what_for(self, record: Record, kind: str | None) -> None:
        record.started_for(kind, init_failed=False)
        self._evidence(record)

    @rule(record=instances)
    def lose(self, record: Record) -> None:
        record.unlink()
        self._evidence(record)

    @rule(record=instances, state=st.sampled_from(WIRE))
    def dial_again(self, record: Record, state: str) -> None:
        record.link("b", state, self.now)
        self._evidence(record)

    @rule(record=instances, name=st.sampled_from(sorted(POD_EVIDENCE)))
    def pod(self, record: Record, name: str) -> None:
        POD_EVIDENCE[name](record)
        self._evidence(record)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.asked == self.granted + self.left + len(self.pool.waiters)

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        if self.pool.waiters:
            assert not self.pool.idle
            assert not self.pool.idle_ahead
            assert not self.pool.holdable

    @invariant()
    def what_is_filed_is_true(self) -> None:
        for uid, record in self.pool.records.items():
            ahead = record.provisioned is True
            assert (uid in self.pool.idle_ahead) is (record.free and ahead)
            assert (uid in self.pool.idle) is (record.free and not ahead)
            assert (uid in self.pool.holdable) is record.holdable
            assert record.attempt is None or self.running.get(record.attempt) is record


TestPool = PoolMachine.TestCase


def test_the_most_recently_used_comes_first() -> None:
    pool: Pool[Waiter] = Pool(key=KEY)
    for uid in ("a", "b", "c"):
        record = Record(uid, KEY)
        record.link("boot", "idle", 0.0)
        pool.add(record)
    first = pool.take("1")
    assert first is pool.records["c"]
    assert pool.take("2") is pool.records["b"]
    first.ended("1", 1.0)
    pool.file(first)
    assert pool.take("3") is first


def test_provisioned_ones_come_first() -> None:
    pool: Pool[Waiter] = Pool(key=KEY)
    for uid in ("p1", "p2", "d1", "d2"):
        record = Record(uid, KEY)
        record.link("boot", "idle", 0.0)
        record.started_for(PROVISIONED if uid.startswith("p") else ON_DEMAND, init_failed=False)
        pool.add(record)
    taken = [pool.take(str(n)) for n in range(4)]
    assert [each.uid for each in taken if each] == ["p2", "p1", "d2", "d1"]
    assert pool.ahead() == 2


@pytest.mark.parametrize(
    ("state", "init_failed", "initialised"),
    [
        ("unassigned", False, False),
        ("assigning", False, False),
        ("init", False, False),
        ("idle", False, True),
        ("idle", True, False),
        ("busy", False, True),
        ("completing", False, True),
        ("drained", False, False),
        ("failed", False, False),
    ],
)
def test_what_counts_as_initialised(state: str, init_failed: bool, initialised: bool) -> None:
    record = fresh(state)
    record.started_for(PROVISIONED, init_failed=init_failed)
    assert record.initialised is initialised


def test_a_run_that_came_through_mends_a_failed_init() -> None:
    record = fresh()
    record.started_for(PROVISIONED, init_failed=True)
    record.dispatch("1")
    record.accepted(0.0)
    record.ended("1", 2.0)
    assert record.initialised


def test_an_init_that_does_not_say_what_it_was_started_for_leaves_us_with_what_we_told_it() -> None:
    record = fresh("unassigned")
    record.provisioned = True
    record.assigning()
    record.started_for(None, init_failed=False)  # one of the version before
    assert record.provisioned
    record.started_for(ON_DEMAND, init_failed=False)  # another gateway was first
    assert record.provisioned is False


def test_idle_goes_before_starting_and_the_longest_connected_start_goes_first() -> None:
    pool: Pool[Waiter] = Pool(key=KEY)
    for uid, state in (("s1", "init"), ("s2", "assigning"), ("i", "idle")):
        record = Record(uid, KEY)
        record.link("boot", state, 0.0)
        pool.add(record)
    taken = [pool.take(str(n)) for n in range(4)]
    assert [each.uid if each else None for each in taken] == ["i", "s1", "s2", None]


def test_waiters_are_served_in_order() -> None:
    pool: Pool[Waiter] = Pool(key=KEY)
    for name in ("1", "2", "3"):
        pool.wait(Waiter(name))
    pool.leave("2")
    for uid in ("x", "y"):
        record = Record(uid, KEY)
        record.link("boot", "init", 0.0)
        pool.add(record)
    assert [(w.attempt, r.uid) for w, r in pool.match()] == [("1", "x"), ("3", "y")]


def test_callers_go_before_events_which_get_every_tenth_instance() -> None:
    pool: Pool[Waiter] = Pool(key=KEY)
    for number in range(20):
        pool.wait(Waiter(f"event-{number}", patient=True))
    for number in range(20):
        pool.wait(Waiter(f"caller-{number}"))
    served: list[str] = []
    for number in range(40):
        record = Record(f"i{number}", KEY)
        record.link("boot", "init", 0.0)
        pool.add(record)
        served += [waiter.attempt for waiter, _ in pool.match()]
    order = "".join("e" if each.startswith("event") else "c" for each in served)
    assert order == "ccccccccce" * 2 + "cc" + "e" * 18
    assert [each for each in served if each.startswith("event")] == [
        f"event-{number}" for number in range(20)
    ]
    assert not pool.waiters
    assert not pool.urgent


def test_a_pod_is_read_as_the_api_server_sends_it() -> None:
    facts = pod_facts(
        {
            "metadata": {
                "namespace": "default",
                "name": "p",
                "uid": "u",
                "labels": {"klambda.io/deployment": "area-latest-1"},
                "annotations": {"controller.kubernetes.io/pod-deletion-cost": "-100"},
                "deletionTimestamp": "2026-11-21T12:00:00Z",
            },
            "status": {
                "phase": "Running",
                "podIPs": [{"ip": "10.0.0.9"}, {"ip": "fd00::9"}],
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Ready", "status": "True"},
                ],
                "containerStatuses": [
                    {
                        "restartCount": 2,
                        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                    }
                ],
            },
        }
    )
    assert facts == PodFacts(
        namespace="default",
        name="p",
        uid="u",
        deployment="area-latest-1",
        addresses=("10.0.0.9", "fd00::9"),
        ready=True,
        restarts=2,
        deleting=True,
        waiting="CrashLoopBackOff",
        terminated="OOMKilled",
        message="back-off",
        deletion_cost="-100",
    )
    assert pod_facts({"metadata": {"namespace": "n", "name": "p", "uid": "u"}}) is None
    pending = pod_facts(
        {
            "metadata": {
                "namespace": "n",
                "name": "p",
                "uid": "u",
                "labels": {"klambda.io/deployment": "d"},
            },
            "status": {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available",
                    }
                ]
            },
        }
    )
    assert pending is not None
    assert pending.unschedulable
    assert pending.message == "0/1 nodes are available"


@pytest.mark.parametrize(
    ("requests", "cpu", "memory"),
    [
        ({"cpu": "72m", "memory": "160Mi"}, 72, 160),
        ({"cpu": "2", "memory": "1Gi"}, 2000, 1024),
        ({"cpu": "0.5", "memory": "2097152"}, 500, 2),
        ({"cpu": "1e3", "memory": "many"}, 0, 0),
        ({}, 0, 0),
    ],
)
def test_what_a_pod_requests(requests: dict[str, str], cpu: int, memory: int) -> None:
    labels = {"klambda.io/deployment": "d"}
    meta = {"namespace": "n", "name": "p", "uid": "u", "labels": labels}
    spec = {"containers": [{"resources": {"requests": requests}}, {"resources": {}}]}
    facts = pod_facts({"metadata": meta, "spec": spec})
    assert facts is not None
    assert (facts.cpu, facts.memory) == (cpu, memory)
