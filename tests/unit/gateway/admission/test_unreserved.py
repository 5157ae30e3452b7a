"""What an account's functions share: reservations taken off, and other gateways' runs counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from klambda_core.errors import REASON_ACCOUNT, LambdaError
from klambda_gateway.admission.concurrency import Admission, Permit
from klambda_gateway.admission.unreserved import Unreserved
from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.family import Families
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.routing.facts import FunctionFacts
from klambda_gateway.routing.table import Entry
from klambda_gateway.scale.headcount import Headcount

PLAIN, TIGHT = ("default", "plain"), ("default", "tight")
KEYS = {name: DeploymentKey("default", f"{name}-1") for name in ("plain", "other", "tight")}


def entry(name: str, reserved: int | None) -> Entry:
    return Entry(
        function=FunctionFacts(
            namespace="default", name=name, uid=name, aws_name=name, created="", timeout=3,
            serving=None, reserved=reserved,
        )
    )  # fmt: skip


class Account:
    """One of ten, where a function may reserve some."""

    def __init__(self, reserved: int | None = 4) -> None:
        self.registry = Registry(clock=lambda: 1.0)
        self.families = Families()
        for name, key in KEYS.items():
            facts = DeploymentFacts(
                key=key, uid=name, resource_version="1", replicas=0, function=name, assignment=None
            )
            self.families.changed(key, facts)
        self.unreserved = Unreserved(
            limit=lambda _: 10, abroad=self.registry.abroad, families=self.families
        )
        self.unreserved.changed(None, entry("tight", reserved))
        self.unreserved.changed(None, entry("plain", None))
        self.admission = Admission(unreserved=self.unreserved)
        self.registry.on_free = self.admission.news
        self.replicas = dict.fromkeys(KEYS.values(), 0)
        self.headcount = Headcount(
            self.registry,
            self.unreserved,
            families=self.families,
            replicas=lambda key: self.replicas.get(key, 0),
        )

    def instances(self, name: str, *states: str) -> list[Record]:
        self.replicas[KEYS[name]] += len(states)
        return [
            self.registry.link(f"{name}-{n}", KEYS[name], boot="b", state=state)
            for n, state in enumerate(states)
        ]

    def tell(self, record: Record, state: str) -> None:
        record.told(state, record.served, 1.0)
        self.registry.touch(record)


def test_what_functions_reserve_is_not_shared() -> None:
    unreserved = Account().unreserved
    assert unreserved.of("default") == 6
    assert unreserved.of("elsewhere") == 10
    assert unreserved.reserves(TIGHT)
    assert not unreserved.reserves(PLAIN)
    unreserved.changed(entry("tight", 4), entry("tight", 7))
    assert unreserved.of("default") == 3
    unreserved.changed(entry("tight", 7), entry("tight", 12))
    assert unreserved.of("default") == 0, "kubectl may give out more than there is"
    unreserved.changed(entry("tight", 12), None)
    assert unreserved.of("default") == 10
    assert not unreserved.reserves(TIGHT)


def test_what_others_run_is_counted_as_it_is_told() -> None:
    account = Account()
    busy, idle = account.instances("plain", "busy", "idle")
    account.instances("tight", "busy", "completing")
    assert account.unreserved.most("default") == 3
    assert account.unreserved.elsewhere("default") == 1
    account.tell(idle, "busy")
    account.tell(busy, "completing")
    assert account.unreserved.elsewhere("default") == 2
    account.tell(busy, "idle")
    account.registry.unlink(idle)
    assert account.unreserved.elsewhere("default") == 0
    assert account.unreserved.elsewhere("elsewhere") == 0


def test_our_own_run_is_not_elsewhere() -> None:
    account = Account()
    account.instances("plain", "idle")
    record = account.registry.take(KEYS["plain"], "attempt")
    assert record is not None
    record.accepted(1.0)
    account.registry.touch(record)
    assert account.unreserved.most("default") == 0
    record.ended("attempt", 1.0)
    account.tell(record, "busy")
    assert account.unreserved.most("default") == 1


async def test_functions_share_one_pool_with_other_gateways() -> None:
    account = Account()
    account.instances("other", "busy", "busy")
    permits = [account.admission.enter_now(PLAIN, None) for _ in range(4)]
    assert account.admission.unreserved("default") == 4
    with pytest.raises(LambdaError) as refused:
        await account.admission.enter(("default", "other"), None)
    assert (refused.value.reason, refused.value.retry_after) == (REASON_ACCOUNT, 1)
    assert account.admission.enter_now(TIGHT, 4, draws=False), "it has its own"
    assert isinstance(permits[0], Permit)
    permits[0].finish()
    assert account.admission.enter_now(("default", "other"), None)


async def test_what_runs_of_reservations_leaves_the_pool_alone() -> None:
    account = Account()
    account.instances("tight", *["busy"] * 4)
    for _ in range(6):
        assert account.admission.enter_now(PLAIN, None)
    with pytest.raises(LambdaError):
        account.admission.enter_now(PLAIN, None)


async def test_news_of_an_end_elsewhere_lets_one_in() -> None:
    account = Account()
    records = account.instances("other", *["busy"] * 6)
    entering = asyncio.create_task(account.admission.enter(PLAIN, None))
    await asyncio.sleep(0)
    account.tell(records[0], "completing")
    await asyncio.sleep(0)
    assert not entering.done()
    account.tell(records[0], "idle")
    assert isinstance(await entering, Permit)


@pytest.mark.parametrize(
    ("states", "coming", "wanted", "room"),
    [
        ([], 0, 2, 2),
        ([], 0, 9, 6),
        (["busy"] * 2, 3, 2, 1),
        (["busy"] * 2, 4, 2, 0),
        (["idle"] * 6, 0, 2, 2),
        (["idle"] * 4 + ["busy"] * 5, 0, 2, 1),
        (["busy"] * 7, 0, 2, 0),
    ],
)
def test_starts_are_bounded_by_what_runs_or_comes(
    states: list[str], coming: int, wanted: int, room: int
) -> None:
    account = Account()
    account.instances("other", *states)
    account.instances("tight", "busy", "busy")
    account.replicas[KEYS["other"]] += coming
    account.registry.pool(KEYS["other"])
    assert account.headcount.room(KEYS["plain"], wanted) == room
    assert account.headcount.room(KEYS["tight"], wanted) == wanted, "others bound it"


def test_a_deployment_that_nobody_knows_draws_on_the_pool() -> None:
    account = Account(reserved=8)
    assert account.headcount.room(DeploymentKey("default", "new"), 5) == 2


def test_a_reservation_that_ends_gives_its_runs_back() -> None:
    account = Account()
    account.instances("tight", "busy")
    before = entry("tight", 4)
    account.unreserved.changed(before, replace(before, function=entry("tight", None).function))
    assert account.unreserved.elsewhere("default") == 1
