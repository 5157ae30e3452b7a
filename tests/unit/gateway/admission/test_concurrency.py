"""Admission: limits, their reasons, and that every permit comes back once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klambda_core.errors import REASON_ACCOUNT, REASON_RESERVED, LambdaError
from klambda_gateway.admission.concurrency import Admission, Permit
from klambda_gateway.admission.elsewhere import elsewhere
from klambda_gateway.admission.unreserved import Alone
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.registry import Registry

FN = ("default", "area")


async def reason(admission: Admission, reserved: int | None) -> str | None:
    with pytest.raises(LambdaError) as raised:
        await admission.enter(FN, reserved)
    assert raised.value.status == 429
    assert raised.value.retry_after == 1
    return raised.value.reason


async def test_reserved_concurrency_is_exact_and_zero_stops_everything() -> None:
    admission = Admission()
    assert await reason(admission, 0) == REASON_RESERVED
    permits = [await admission.enter(FN, 2) for _ in range(2)]
    assert await reason(admission, 2) == REASON_RESERVED
    permits[0].finish()
    await admission.enter(FN, 2)
    assert await reason(admission, 2) == REASON_RESERVED


async def test_the_account_limit_is_per_namespace() -> None:
    admission = Admission(unreserved=Alone(lambda _: 1))
    permit = await admission.enter(FN, None)
    assert await reason(admission, None) == REASON_ACCOUNT
    await admission.enter(("other", "area"), None)
    permit.finish()
    permit.finish()
    await admission.enter(FN, None)
    assert admission.running() == 2


async def test_a_namespace_may_have_another_limit() -> None:
    admission = Admission(unreserved=Alone(lambda name: {"large": 2, "none": 0}.get(name, 1)))
    large = ("large", "area")
    await admission.enter(large, None)
    await admission.enter(large, None)
    with pytest.raises(LambdaError) as refused:
        await admission.enter(large, None)
    assert refused.value.reason == REASON_ACCOUNT
    with pytest.raises(LambdaError):
        await admission.enter(("none", "area"), None)
    await admission.enter(FN, None)
    assert await reason(admission, None) == REASON_ACCOUNT


async def test_what_other_gateways_run_counts_for_a_reservation() -> None:
    admission = Admission(others=lambda _: 2)
    assert await reason(admission, 2) == REASON_RESERVED
    await admission.enter(FN, 3)


async def test_news_that_another_gateways_run_is_over_lets_one_in() -> None:
    others = 1
    admission = Admission(others=lambda _: others)
    entering = [asyncio.create_task(admission.enter(FN, 1)) for _ in range(2)]
    await asyncio.sleep(0)
    admission.news()
    await asyncio.sleep(0)
    assert not any(each.done() for each in entering), "no room yet"
    others = 0
    admission.news()
    results = await asyncio.gather(*entering, return_exceptions=True)
    assert {type(each) for each in results} == {Permit, LambdaError}
    assert admission.of_function(FN) == 1


async def test_room_for_two_lets_two_in() -> None:
    others = 2
    admission = Admission(others=lambda _: others)
    entering = [asyncio.create_task(admission.enter(FN, 2)) for _ in range(2)]
    await asyncio.sleep(0)
    others = 0
    admission.news()
    await asyncio.gather(*entering)
    assert admission.of_function(FN) == 2


async def test_a_reservation_of_nothing_is_refused_at_once() -> None:
    admission = Admission(others=lambda _: 1)
    with pytest.raises(LambdaError):
        admission.enter_now(FN, 0)


def test_what_runs_elsewhere_is_counted_over_the_functions_deployments() -> None:
    registry = Registry(clock=lambda: 1.0)
    keys = [DeploymentKey("default", f"area-{n}") for n in (1, 2)]
    for number, (key, state) in enumerate(
        [(keys[0], "busy"), (keys[0], "idle"), (keys[1], "completing"), (keys[1], "busy")]
    ):
        record = registry.link(f"u{number}", key, boot="b", state=state)
    record.attempt = "ours"
    assert elsewhere(registry, keys) == 2
    assert elsewhere(registry, keys[:1]) == 1
    assert elsewhere(registry, [DeploymentKey("default", "none")]) == 0


async def test_a_permit_counts_until_its_attempt_is_over() -> None:
    admission = Admission()
    permit = await admission.enter(FN, None)
    permit.opened()
    permit.finish()
    assert admission.running() == 1, "answered, and the instance is not back"
    permit.closed()
    assert admission.running() == 0


async def test_at_its_limit_a_request_waits_for_a_run_whose_answer_is_out() -> None:
    admission = Admission()
    permit = await admission.enter(FN, 1)
    permit.opened()
    assert await reason(admission, 1) == REASON_RESERVED, "it runs: no waiting"
    permit.finish()
    entering = asyncio.create_task(admission.enter(FN, 1))
    await asyncio.sleep(0)
    assert not entering.done()
    permit.closed()
    assert isinstance(await entering, Permit)


async def test_that_wait_is_short() -> None:
    admission = Admission()
    permit = await admission.enter(FN, 1)
    permit.opened()
    permit.finish()
    began = asyncio.get_running_loop().time()
    assert await reason(admission, 1) == REASON_RESERVED
    assert 0.05 < asyncio.get_running_loop().time() - began < 1


@settings(deadline=None)
@given(st.lists(st.sampled_from(["enter", "open", "close", "finish"]), max_size=60))
def test_every_permit_is_given_back_exactly_once(steps: list[str]) -> None:
    async def play() -> None:
        admission = Admission(unreserved=Alone(lambda _: 5))
        permits: list[list[object]] = []  # permit, open attempts, finished
        for number, step in enumerate(steps):
            if step == "enter":
                try:
                    permits.append([await admission.enter(FN, None), 0, False])
                except LambdaError:
                    assert admission.running() == 5
                continue
            if not permits:
                continue
            entry = permits[number % len(permits)]
            permit, opened, finished = entry
            assert isinstance(permit, Permit)
            assert isinstance(opened, int)
            if step == "open" and not finished:
                permit.opened()
                entry[1] = opened + 1
            elif step == "close" and opened:
                permit.closed()
                entry[1] = opened - 1
            elif step == "finish":
                permit.finish()
                entry[2] = True
            permits = [each for each in permits if each[1] or not each[2]]
            assert admission.running() == len(permits) == admission.of_function(FN)

    asyncio.run(play())
