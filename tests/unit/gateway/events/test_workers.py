"""Leasing, renewing, giving back; a store of events in memory; virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from klambda_core.events import Batch, Event, Leased, LeaseRequest, Postponement, QueueStats
from klambda_gateway.events.batch import Batcher
from klambda_gateway.events.client import StoreAway
from klambda_gateway.events.courtesy import PACE_LONGEST_S, SMALL_GROUP, Courtesy
from klambda_gateway.events.credit import Credits, Ending, Pressure
from klambda_gateway.events.metrics import EventMetrics
from klambda_gateway.events.policy import PAUSED_S
from klambda_gateway.events.workers import LIMIT, NEWS_S, Workers
from klambda_obs.metrics import Metrics
from tests.support.events import event
from tests.support.virtualtime import run_virtual


class Store:
    def __init__(self) -> None:
        self.waiting: list[Event] = []
        self.requests: list[LeaseRequest] = []
        self.renewed: list[list[tuple[str, str]]] = []
        self.back: list[Postponement] = []
        self.count = 1
        self.away = False
        self.slow = 0.0
        self._grown = asyncio.Event()

    def put(self, *events: Event) -> None:
        self.waiting += events
        self.count += 1
        self._grown.set()
        self._grown = asyncio.Event()

    async def lease(self, request: LeaseRequest) -> Batch:
        if self.away:
            raise StoreAway("away")
        self.requests.append(request)
        taken: list[Leased] = []
        left, news = dict(request.credits), self.count
        for each in list(self.waiting):
            uid = each.function_uid
            left.setdefault(uid, request.default_credit)
            if left[uid] > 0 and len(taken) < request.limit:
                left[uid] -= 1
                self.waiting.remove(each)
                taken.append(Leased(event=each, lease=f"l-{each.id}", age=0))
        await asyncio.sleep(self.slow)
        return Batch(events=tuple(taken), news=news, next_in=None)

    async def renew(self, leases: list[tuple[str, str]]) -> set[str]:
        self.renewed.append(leases)
        return set()

    async def retry_at(self, item: Postponement) -> bool:
        self.back.append(item)
        return True

    async def news(self, seen: int, timeout: float) -> int:  # noqa: ASYNC109
        if self.away:
            raise StoreAway("away")
        if seen == self.count:
            try:
                async with asyncio.timeout(timeout):
                    await self._grown.wait()
            except TimeoutError:
                pass
        return self.count

    async def stats(self) -> list[QueueStats]:
        return [
            QueueStats(namespace="default", function="f", function_uid="u", depth=3, oldest_age=7.0)
        ]


@asynccontextmanager
async def working(store: Store, work_on: Callable[[Leased], Awaitable[Ending]], **more: Any) -> Any:
    metrics = more.pop("metrics", Metrics("gateway"))
    workers = Workers(
        store,
        work_on,
        credits=Credits(
            more.get("pressures", lambda _: more.get("pressure", Pressure(limit=1000)))
        ),
        metrics=EventMetrics(metrics),
        holder="gw",
    )
    task = asyncio.create_task(workers.run())
    try:
        yield workers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_events_are_worked_on_as_they_come_and_credit_grows() -> None:
    async def story() -> None:
        store, most = Store(), 0
        done: list[str] = []

        async def work_on(leased: Leased) -> Ending:
            nonlocal most
            most = max(most, workers.in_hand())
            await asyncio.sleep(1)
            done.append(leased.event.id)
            return "completed"

        events = [event() for _ in range(40)]
        async with working(store, work_on) as workers:
            await asyncio.sleep(5)
            store.put(*events)
            await asyncio.sleep(0.5)
            assert workers.in_hand() == 5, "the window at the start"
            await asyncio.sleep(10)
            assert sorted(done) == sorted(each.id for each in events)
            assert most > 10
            assert workers.in_hand() == 0
            asked = len(store.requests)
            await asyncio.sleep(100)
            assert len(store.requests) - asked <= 100 / NEWS_S, "hardly asked with nothing to do"

    run_virtual(story())


def test_the_end_of_a_pause_is_seen_though_nobody_tells_of_it() -> None:
    async def story() -> None:
        store, paused = Store(), {"uid-f"}
        done: list[Leased] = []

        async def work_on(leased: Leased) -> Ending:
            if leased.event.function_uid in paused:
                store.put(leased.event)
                return "other"
            done.append(leased)
            return "completed"

        def pressure(uid: str) -> Pressure:
            return Pressure(limit=1000, paused=uid in paused)

        store.put(*(event() for _ in range(20)))
        async with working(store, work_on, pressures=pressure):
            await asyncio.sleep(10)
            asked = len(store.requests)
            await asyncio.sleep(100)
            assert len(store.requests) - asked <= 100 / PAUSED_S + 100 / NEWS_S
            assert len(store.waiting) == 20
            paused.clear()
            await asyncio.sleep(2 * PAUSED_S)
            assert (len(done), store.waiting) == (20, [])

    run_virtual(story())


def test_throttles_shrink_the_window() -> None:
    async def story() -> None:
        store, at_once = Store(), []

        async def work_on(leased: Leased) -> Ending:
            at_once.append(workers.in_hand())
            await asyncio.sleep(1)
            return "throttled"

        async with working(store, work_on) as workers:
            store.put(*(event() for _ in range(20)))
            await asyncio.sleep(30)
        assert at_once[0] == 5
        assert set(at_once[-5:]) == {1}

    run_virtual(story())


def test_an_end_while_the_lease_is_asked_for_is_not_missed() -> None:
    async def story() -> None:
        store, done = Store(), 0
        store.slow = 2.0

        async def work_on(leased: Leased) -> Ending:
            nonlocal done
            await asyncio.sleep(1)
            done += 1
            return "other"

        async with working(store, work_on):
            store.put(*(event() for _ in range(12)))
            await asyncio.sleep(60)
        assert done == 12

    run_virtual(story())


def test_leases_are_renewed_until_their_events_end() -> None:
    async def story() -> None:
        store = Store()

        async def work_on(leased: Leased) -> Ending:
            await asyncio.sleep(35)
            return "completed"

        async with working(store, work_on):
            one = event()
            store.put(one)
            await asyncio.sleep(100)
        assert store.renewed == [[(one.id, f"l-{one.id}")]] * 3

    run_virtual(story())


def test_a_store_that_is_away_is_asked_again() -> None:
    async def story() -> None:
        store, done = Store(), []

        async def work_on(leased: Leased) -> Ending:
            done.append(leased)
            return "completed"

        async with working(store, work_on):
            store.away = True
            await asyncio.sleep(60)
            store.put(event())
            store.away = False
            await asyncio.sleep(5)
        assert len(done) == 1

    run_virtual(story())


def test_what_fails_in_our_own_code_is_left_to_its_lease() -> None:
    async def story() -> None:
        store, calls = Store(), 0

        async def work_on(leased: Leased) -> Ending:
            nonlocal calls
            calls += 1
            raise ValueError("a mistake") if calls == 1 else StoreAway("away")

        async with working(store, work_on) as workers:
            store.put(event(), event())
            await asyncio.sleep(5)
            assert (calls, workers.in_hand()) == (2, 0)

    run_virtual(story())


def test_stopping_begins_nothing_gives_back_and_finishes() -> None:
    async def story() -> None:
        store, done = Store(), []

        async def work_on(leased: Leased) -> Ending:
            await asyncio.sleep(5)
            done.append(leased.event.id)
            return "completed"

        async with working(store, work_on) as workers:
            first, second = event(), event()
            store.put(first)
            await asyncio.sleep(1)
            store.slow = 1.0
            store.put(second)
            await asyncio.sleep(0.5)
            workers.stop()  # the second one's lease is on its way
            await workers.drained()
            assert done == [first.id]
            assert [(each.id, each.delay) for each in store.back] == [(second.id, 0)]
            store.put(event())
            await asyncio.sleep(60)
            assert done == [first.id]

    run_virtual(story())


def test_one_gateway_holds_so_many_and_no_more() -> None:
    async def story() -> None:
        store = Store()
        ended = asyncio.Event()

        async def work_on(leased: Leased) -> Ending:
            await ended.wait()
            return "completed"

        async with working(store, work_on) as workers:
            for number in range(200):
                store.put(*(event(f"f{number}") for _ in range(5)))
            await asyncio.sleep(5)
            assert workers.in_hand() == LIMIT
            ended.set()
            await asyncio.sleep(5)
            assert workers.in_hand() == 0
            assert store.waiting == []

    run_virtual(story())


def test_queues_are_shown() -> None:
    async def story() -> None:
        metrics = Metrics("gateway")

        async def work_on(_: Leased) -> Ending:
            return "completed"

        async with working(Store(), work_on, metrics=metrics):
            await asyncio.sleep(1)
        text = metrics.render().decode()
        assert (
            'klambda_gateway_async_queue_depth{function="f",function_namespace="default"} 3.0'
            in text
        )
        assert "klambda_gateway_async_oldest_event_age_seconds" in text

    run_virtual(story())


def test_what_piles_up_goes_in_one_request() -> None:
    async def story() -> None:
        sent: list[list[int]] = []

        async def send(items: list[int]) -> str:
            sent.append(items)
            await asyncio.sleep(1)
            if 13 in items:
                raise StoreAway("bad luck")
            return f"answer {len(sent)}"

        batcher: Batcher[int, str] = Batcher(send, size=lambda item: item)
        first = asyncio.create_task(batcher.add(1))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(batcher.add(number)) for number in (2, 3, 4 << 20, 5)]
        given_up = asyncio.create_task(batcher.add(99))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await first == "answer 1"
        assert await asyncio.gather(*rest) == ["answer 2", "answer 2", "answer 3", "answer 4"]
        assert sent == [[1], [2, 3], [4 << 20], [5]], "in order, by size, without who gave up"
        failed = await asyncio.gather(batcher.add(13), batcher.add(14), return_exceptions=True)
        assert [type(each) for each in failed] == [StoreAway, StoreAway]
        assert await batcher.add(1) == "answer 6"

    run_virtual(story())


def test_reports_may_wait_for_others_to_go_along() -> None:
    async def story() -> None:
        sent: list[list[int]] = []

        async def send(items: list[int]) -> int:
            sent.append(items)
            return len(items)

        batcher: Batcher[int, int] = Batcher(send, size=lambda _: 1, linger=lambda: 0.02)
        tasks = []
        for number in range(4):
            tasks.append(asyncio.create_task(batcher.add(number)))
            await asyncio.sleep(0.009)
        assert await asyncio.gather(*tasks) == [3, 3, 3, 1]
        assert sent == [[0, 1, 2], [3]]

    run_virtual(story())


def test_beside_synchronous_requests_events_come_in_small_groups_kept_apart() -> None:
    async def story() -> None:
        store, began = Store(), []
        requests = iter(range(10**9))

        async def work_on(_: Leased) -> Ending:
            began.append(asyncio.get_running_loop().time())
            return "completed"

        metrics = EventMetrics(Metrics("gateway"))
        credits_ = Credits(lambda _: Pressure(limit=1000))
        courtesy = Courtesy(lambda: 100 * next(requests))  # many, whenever somebody looks
        workers = Workers(
            store, work_on, credits=credits_, metrics=metrics, holder="gw", courtesy=courtesy
        )
        store.put(*(event() for _ in range(100)))
        task = asyncio.create_task(workers.run())
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(began) == 100, "nothing starves"
        assert all(each.limit <= SMALL_GROUP for each in store.requests[1:])
        assert began[-1] - began[0] >= 0.9 * (100 - SMALL_GROUP) * PACE_LONGEST_S

    run_virtual(story())
