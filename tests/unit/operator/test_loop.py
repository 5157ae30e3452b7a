"""The loop: what becomes of each outcome, and that no failure stops the others."""
# ruff: noqa: ARG002 - the signatures are those of the collaborators

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

import pytest

from klambda_core.conditions import Transition
from klambda_core.crd.base import KubeObject
from klambda_core.kinds import DEPLOYMENT, FUNCTION
from klambda_kube.api import ListResult
from klambda_kube.errors import ApiError, Gone, Throttled
from klambda_obs.logs import Logger
from klambda_obs.metrics import Metrics
from klambda_operator.execute import Again, Executor
from klambda_operator.gather import Accounts, Gatherer
from klambda_operator.loop import TRIES, Loop, Pace
from klambda_operator.model import Broken, Key, Plan, Snapshot
from klambda_operator.observed import Observed
from klambda_operator.settings import Settings
from klambda_operator.sweep import Sweeper
from klambda_operator.workqueue import WorkQueue
from tests.unit.operator.world import NOW, RUNTIMES, FakeApi, new_function

KEY = Key("functions", "default", "area")


class Recorder:
    def __init__(self) -> None:
        self.told: list[str] = []

    async def tell(
        self, subject: KubeObject | Broken, transitions: Sequence[Transition], now: datetime
    ) -> None:
        self.told += [each.condition.reason for each in transitions]


class Rig:
    """A loop over the fake API server."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: NOW) -> None:
        self.api = FakeApi()
        self.observed = Observed()
        self.recorder = Recorder()
        self.metrics = Metrics("operator")
        self.clock = 0.0
        self.queue: WorkQueue[Key] = WorkQueue(clock=lambda: self.clock, jitter=lambda: 1.0)
        gatherer = Gatherer(
            api=self.api,
            observed=self.observed,
            accounts=Accounts(self.api, {}, lambda: self.clock),
            settings=Settings(namespace="klambda", runtimes=RUNTIMES),
            installation_key="0" * 64,
            concern=self._concern,
        )
        self.gather: Callable[[Key], Any] = gatherer.gather
        self.executor: Any = Executor(self.api, self.observed, self._concern)
        self.now = now

    def _concern(self, keys: Any) -> None:
        for key in keys:
            self.queue.add(key)

    async def run(self, *keys: Key) -> None:
        """Work on the keys until the queue is idle."""
        loop = Loop(
            queue=self.queue,
            gather=self.gather,
            executor=self.executor,
            recorder=self.recorder,
            metrics=self.metrics,
            log=Logger("test"),
            now=self.now,
            pace=Pace(1.0, lambda: self.clock),
            concurrency=2,
        )
        for key in keys:
            self.queue.add(key)
        task = asyncio.create_task(loop.run())
        for _ in range(500):
            await asyncio.sleep(0)
            if self.queue.idle():
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def count(self, result: str) -> float:
        wanted = f'klambda_operator_reconcile_total{{kind="functions",result="{result}"}}'
        lines = self.metrics.render().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_the_names_of_metrics_are_registered_once() -> None:
    assert Rig().metrics is not Rig().metrics


async def test_a_function_is_made_and_told(rig: Rig) -> None:
    rig.api.put(FUNCTION, new_function())
    await rig.run(KEY)
    assert rig.api.writes == ["create deployments", "status functions"]
    assert rig.recorder.told == ["AsExpected"]
    assert rig.count("success") >= 1


async def test_what_is_settled_is_left_alone(rig: Rig) -> None:
    rig.api.put(FUNCTION, new_function())
    await rig.run(KEY)
    rig.api.writes.clear()
    rig.metrics = Metrics("operator")
    await rig.run(KEY)
    assert rig.api.writes == []


async def test_a_refusal_becomes_a_condition(rig: Rig) -> None:
    rig.api.put(FUNCTION, new_function())
    rig.api.forbidden.add("deployments")
    await rig.run(KEY)
    (body,) = rig.api.all(FUNCTION)
    (ready,) = (c for c in body["status"]["conditions"] if c["type"] == "Ready")
    assert (ready["reason"], "exceeded quota" in ready["message"]) == ("ApplyFailed", True)
    assert rig.queue.next_due() == 60.0


async def test_a_deployment_that_memory_missed_is_found(rig: Rig) -> None:
    rig.api.put(FUNCTION, new_function())
    await rig.run(KEY)
    rig.observed.pop(DEPLOYMENT, "default", rig.api.all(DEPLOYMENT)[0]["metadata"]["name"])
    rig.metrics = Metrics("operator")
    rig.api.writes.clear()
    await rig.run(KEY)
    assert len(rig.api.all(DEPLOYMENT)) == 1
    assert rig.count("success") >= 1


async def test_an_upgrade_waits_for_its_turn(rig: Rig) -> None:
    pace = Pace(2.0, lambda: rig.clock)
    assert pace.wait() == 0.0
    assert pace.wait() == 0.5
    rig.clock = 0.5
    assert pace.wait() == 0.0


@pytest.mark.parametrize(
    ("error", "result", "wait"),
    [
        (ApiError(500, "InternalError", "x"), "error", 0.2),
        (Throttled(429, "TooManyRequests", "x", retry_after=7.0), "throttled", 7.0),
        (ZeroDivisionError(), "bug", 0.2),
    ],
)
async def test_a_failure_comes_back_later(
    rig: Rig, error: Exception, result: str, wait: float
) -> None:
    async def gather(key: Key) -> Snapshot:
        raise error

    rig.gather = gather
    await rig.run(KEY)
    assert rig.count(result) == 1
    assert rig.queue.next_due() == wait


async def test_a_world_that_keeps_moving_is_tried_a_few_times(rig: Rig) -> None:
    class Moving:
        runs = 0

        async def run(self, namespace: str, plan: Plan) -> None:
            self.runs += 1
            raise Again("moved")

    rig.api.put(FUNCTION, new_function())
    rig.executor = moving = Moving()
    await rig.run(KEY)
    assert moving.runs == TRIES
    assert rig.count("conflict") == 1


async def test_one_bug_does_not_stop_the_others(rig: Rig) -> None:
    good = rig.gather

    async def gather(key: Key) -> Snapshot:
        if key.name == "bad":
            raise ZeroDivisionError
        found: Snapshot = await good(key)
        return found

    rig.gather = gather
    rig.api.put(FUNCTION, new_function())
    await rig.run(Key("functions", "default", "bad"), KEY)
    assert len(rig.api.all(DEPLOYMENT)) == 1


async def test_a_sweep_finds_what_vanished(rig: Rig) -> None:
    class Lister:
        expired = True

        async def pages(
            self, kind: Any, namespace: Any = None, *, label_selector: str = "", limit: int = 0
        ) -> AsyncIterator[ListResult]:
            items = rig.api.all(kind)
            yield ListResult(items=items[:1], resource_version=rig.api.version)
            if limit and self.expired:
                self.expired = False
                raise Gone(410, "Expired", "too old")
            yield ListResult(items=items[1:], resource_version=rig.api.version)

    sweeper = Sweeper(
        api=Lister(),
        observed=rig.observed,
        queue=rig.queue,
        namespaces=(),
        log=Logger("test"),
        jitter=lambda: 0.5,
    )
    rig.api.put(FUNCTION, new_function())
    assert await sweeper.correct() == {KEY}
    rig.api.remove(FUNCTION, "area")
    assert await sweeper.correct() == {KEY}
    rig.api.put(FUNCTION, new_function())
    await sweeper.look_again()
    assert rig.queue.depth() == 1
