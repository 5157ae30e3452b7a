"""The data plane's promises, played out in virtual time (`tests.support.simulation`)."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.support.simulation.plan import Caller, Plan, Verdict
from tests.support.simulation.waits import STARVED_S
from tests.support.simulation.world import run

pytestmark = pytest.mark.timeout(600)
"""They take seconds; a crowded machine may take its time."""

CALLERS = (
    Caller(function="area", clients=16),
    Caller(function="tight", clients=5, reserved=2),
    Caller(function="solo", clients=1, reserved=1),
)
MILLISECONDS = 0.1
"""Above its reservation a function may be for moments only (docs/limits.md)."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Faults by the thousand are no news here."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


def storm(seed: int, requests: int) -> Plan:
    """Everything that goes wrong, all the time."""
    return Plan(
        seed=seed,
        requests=requests,
        callers=CALLERS,
        updates_every=5,
        cuts_every=1.5,
        crashes_every=8,
        deletions_every=8,
        kills_every=25,
        restarts_every=40,
        leaders_every=15,
        relists_every=6,
        outages_every=60,
        leavers=0.002,
    )


def assert_kept(verdict: Verdict, requests: int) -> None:
    """What was promised, whatever happened."""
    assert verdict.unanswered == 0
    assert verdict.outcomes.total() == requests, "every caller got exactly one answer"
    assert verdict.overlaps == 0
    assert verdict.doubles == 0
    assert verdict.unexplained == []
    assert verdict.starved <= STARVED_S
    assert all(lasted <= MILLISECONDS for lasted in verdict.above.values()), verdict.above


def test_on_a_quiet_day_nobody_is_refused_and_nothing_runs_twice() -> None:
    verdict = run(Plan(seed=1, requests=3_000, callers=CALLERS))
    assert_kept(verdict, 3_000)
    assert set(verdict.outcomes) == {
        "area answered", "tight answered", "tight 429", "solo answered",
    }  # fmt: skip
    assert verdict.most["tight"] == 2
    assert verdict.most["solo"] == 1


def test_a_closed_loop_starts_one_instance() -> None:
    loop = (Caller(function="area", clients=1),)
    verdict = run(Plan(seed=2, requests=1_000, callers=loop))
    assert_kept(verdict, 1_000)
    assert verdict.outcomes == {"area answered": 1_000}
    assert verdict.starts == 1


def test_cut_connections_never_make_a_request_run_twice() -> None:
    verdict = run(Plan(seed=3, requests=2_000, callers=CALLERS, cuts_every=0.05, leavers=0.01))
    assert_kept(verdict, 2_000)
    assert verdict.faults["cut"] > 20


def test_in_a_storm_every_promise_is_kept() -> None:
    verdict = run(storm(seed=7, requests=5_000))
    assert_kept(verdict, 5_000)


def test_nobody_waits_for_an_instance_whose_node_has_vanished() -> None:
    """But for those who were sent there: what has become of them only time will tell."""
    rare = (Caller(function="area", clients=6, think=0.5),)
    verdict = run(Plan(seed=1, requests=1_500, callers=rare, vanishes_every=30, idle_seconds=5))
    assert_kept(verdict, 1_500)
    assert verdict.faults["vanish"] > 2
    assert verdict.queued < 1.0, "half a second of silence, and a start"


SHARED = (
    Caller(function="area", clients=5),
    Caller(function="boxes", clients=5),
    Caller(function="tight", clients=3, reserved=2),
)
POOL = 6


def test_an_accounts_functions_share_what_none_reserves_over_all_gateways() -> None:
    """Ten clients at three gateways, room for six: as many run as may, and no more start."""
    verdict = run(Plan(seed=13, requests=6_000, callers=SHARED, account=POOL + 2))
    assert_kept(verdict, 6_000)
    assert verdict.unreserved == POOL
    assert verdict.outcomes["area 429"]
    assert verdict.outcomes["boxes 429"]
    assert verdict.most["tight"] == 2, "what is reserved is there, however full the rest"


def test_a_closed_loop_within_the_account_is_never_refused() -> None:
    loops = tuple(Caller(function=name, clients=3) for name in ("area", "boxes"))
    verdict = run(Plan(seed=14, requests=5_000, callers=loops, account=POOL))
    assert_kept(verdict, 5_000)
    assert verdict.outcomes.keys() == {"area answered", "boxes answered"}


def test_a_full_cluster_without_a_leader_is_waited_for() -> None:
    """Leaders are killed while updates need room that only a leader makes."""
    plan = Plan(seed=3, requests=15_000, callers=CALLERS, updates_every=1.5, kills_every=4, room=16)
    verdict = run(plan)
    assert_kept(verdict, 15_000)
    assert verdict.faults["kill"]
    assert not any("503" in outcome for outcome in verdict.outcomes), verdict.outcomes


def test_a_seed_is_a_run() -> None:
    first, second = (run(storm(seed=9, requests=500)) for _ in range(2))
    assert first == second


def test_a_wall_clock_that_jumps_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durations come from the loop's clock: what an hour forth or back would change, shows."""
    before = run(storm(seed=11, requests=500))
    wall, chance = time.time, random.Random(1)
    monkeypatch.setattr(time, "time", lambda: wall() + chance.choice((-3600.0, 0.0, 3600.0)))
    assert run(storm(seed=11, requests=500)) == before


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_closed_loop_of_a_hundred_thousand_is_never_refused_and_starts_nothing_more() -> None:
    loop = (Caller(function="area", clients=1), Caller(function="solo", clients=1, reserved=1))
    began = time.monotonic()
    verdict = run(Plan(seed=5, requests=200_000, callers=loop))
    print(f"{time.monotonic() - began:.0f} s for {verdict.seconds:.0f} s; {verdict}")
    assert_kept(verdict, 200_000)
    assert verdict.outcomes.keys() == {"area answered", "solo answered"}
    assert verdict.starts == 2


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_million_invocations_in_a_storm() -> None:
    """KLAMBDA_SIMULATION_SEED picks another storm."""
    seed = int(os.environ.get("KLAMBDA_SIMULATION_SEED", "2026"))
    requests = int(os.environ.get("KLAMBDA_SIMULATION_REQUESTS", "1000000"))
    began = time.monotonic()
    verdict = run(storm(seed, requests))
    print(f"seed {seed}: {time.monotonic() - began:.0f} s for {verdict.seconds:.0f} s; {verdict}")
    assert_kept(verdict, requests)
