"""Reserved concurrency beyond the account's limit is told, oldest first (design: resources)."""

from __future__ import annotations

import pytest

from klambda_core.conditions import find
from klambda_core.crd import Function
from klambda_core.crd.status import Condition
from klambda_core.kinds import FUNCTION
from klambda_operator.model import FunctionSnapshot, Key, Reservation, WriteStatus
from klambda_operator.observed import Observed
from klambda_operator.plan import plan
from klambda_operator.plan.concurrency import reservation_facts
from tests.unit.operator.world import NOW, WORLD, FakeApi, new_function, stored_function

OLD, MINE, YOUNG = "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z"


@pytest.mark.parametrize(
    ("wanted", "others", "status"),
    [
        (None, [], None),
        (0, [], "False"),
        (900, [], "False"),
        (901, [], "True"),
        (100, [(OLD, 800)], "False"),
        (101, [(OLD, 800)], "True"),
        (101, [(YOUNG, 800)], "False"),
        (1, [(OLD, 400), (OLD, 600)], "True"),
    ],
)
def test_the_youngest_beyond_the_limit_say_so(
    wanted: int | None, others: list[tuple[str, int]], status: str | None
) -> None:
    function = Function.read(stored_function(reservedConcurrentExecutions=wanted))
    assert function.metadata.creation_timestamp == MINE
    found = reservation_facts(
        function,
        [Reservation(uid=f"u{n}", created=at, amount=amount)
         for n, (at, amount) in enumerate(others)],
        1000,
    )  # fmt: skip
    assert [fact.status for fact in found] == ([] if status is None else [status])
    if status == "True":
        assert "lower reservedConcurrentExecutions" in found[0].message


def test_a_namespace_may_have_another_quota() -> None:
    function = Function.read(stored_function(reservedConcurrentExecutions=101))
    assert [each.status for each in reservation_facts(function, [], 201)] == ["False"]
    assert [each.status for each in reservation_facts(function, [], 200)] == ["True"]


def test_it_stands_in_the_status() -> None:
    function = Function.read(stored_function(reservedConcurrentExecutions=901))
    key = Key("functions", "default", "area")
    found = plan(FunctionSnapshot(key=key, function=function, world=WORLD), NOW)
    (written,) = [each for each in found.actions if isinstance(each, WriteStatus)]
    conditions = [Condition.model_validate(each) for each in written.status["conditions"]]
    condition = find(conditions, "ConcurrencyOvercommitted")
    assert condition is not None
    assert condition.status == "True"


def test_a_changed_reservation_concerns_all_that_reserve() -> None:
    api, memory = FakeApi(), Observed()
    for name, amount in (("one", 5), ("two", 5), ("three", None)):
        body = api.put(FUNCTION, new_function(name, reservedConcurrentExecutions=amount))
        memory.put(FUNCTION, body)
    api.edit(FUNCTION, "one", {"spec": {"reservedConcurrentExecutions": 9}})
    (changed,) = [o for o in api.all(FUNCTION) if o["metadata"]["name"] == "one"]
    assert {key.name for key in memory.put(FUNCTION, changed)} == {"one", "two"}
    api.edit(FUNCTION, "one", {"spec": {"timeout": 9}})
    (changed,) = [o for o in api.all(FUNCTION) if o["metadata"]["name"] == "one"]
    assert {key.name for key in memory.put(FUNCTION, changed)} == {"one"}
