"""The whole story with simulated instances: real sockets and frames, no Kubernetes."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random

import pytest

from klambda_core.errors import LambdaError
from klambda_core.scaling import Scaling
from klambda_gateway.bulk import whole
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.invoke.model import InvokeAnswer
from tests.integration.gateway_dataplane.rig import (
    ARN,
    CODE,
    NEVER_S,
    WAIT_LIMIT_S,
    Gateway,
    World,
    running,
    until,
)
from tests.integration.gateway_dataplane.simulator import KEY, Simulated, gated

KEY_OF_AREA = DeploymentKey("default", "area-latest-1")


async def test_a_cold_request_starts_one_instance_and_is_answered() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        answer = await gateway.invoke(b'{"a": 1}', log_tail=True)
        assert (answer.payload, answer.executed_version) == (b'{"a": 1}', "$LATEST")
        assert answer.log_tail == b"the log"
        assert world.starts == [1]
        instance = world.only()
        assert instance.assignment is not None
        assert instance.assignment["code"] == {"inline": True}
        assert instance.code == CODE
        assert instance.assignment["endpoints"] == {"AWS_ENDPOINT_URL_LAMBDA": "http://gateway"}
        sent = next(iter(instance.invokes.values())).header
        assert sent["functionArn"] == ARN
        assert sent["validated"] is True
        assert 0 < sent["remaining"] <= 1000 * WAIT_LIMIT_S


async def test_a_closed_loop_uses_one_instance_and_is_never_refused() -> None:
    async with running() as world:
        for number in range(300):
            answer = await world.gateways[0].invoke(str(number).encode())
            assert answer.payload == str(number).encode()
        assert world.starts == [1]
        assert world.only().overlaps == 0
        assert world.gateways[0].admission.running() <= 1


async def test_an_empty_event_is_an_empty_object_and_bad_json_costs_no_instance() -> None:
    async with running() as world:
        assert (await world.gateways[0].invoke(b"")).payload == b"{}"
        for bad in (b"{", b"NaN", b"\xff", b"[" * 9000):
            with pytest.raises(LambdaError, match="Could not parse request body into json"):
                await world.gateways[0].invoke(bad)
        assert len(world.only().runs) == 1


async def test_a_large_event_and_answer_travel_in_pieces() -> None:
    event = b'"' + random.Random(1).randbytes(3_000_000).hex().encode() + b'"'
    async with running() as world:
        answer = await world.gateways[0].invoke(event)
        assert whole(answer.payload) == event
        first = next(iter(world.only().invokes.values()))
        assert first.header["validated"] is False
        assert len(first.body) == 65536
        await world.gateways[0].invoke(event, is_json=True)
        assert [*world.only().invokes.values()][-1].header["validated"] is True


async def test_a_function_error_is_an_answer() -> None:
    async def fail(event: bytes) -> bytes:
        raise ValueError("boom")

    async with running() as world:
        world.handler = fail
        answer = await world.gateways[0].invoke()
        assert answer.function_error == "Unhandled"
        assert json.loads(whole(answer.payload))["errorType"] == "ValueError"


async def test_a_burst_starts_what_waits_and_no_more() -> None:
    async def slow(event: bytes) -> bytes:
        await asyncio.sleep(0.05)
        return event

    async with running() as world:
        world.handler, world.start_delay = slow, 0.02
        gateway = world.gateways[0]
        answers = await asyncio.gather(*(gateway.invoke(str(n).encode()) for n in range(20)))
        assert [each.payload for each in answers] == [str(n).encode() for n in range(20)]
        assert sum(world.starts) == 20
        assert sum(each.overlaps for each in world.instances.values()) == 0
        await until(lambda: gateway.admission.running() == 0)
        await asyncio.gather(*(gateway.invoke() for _ in range(20)))
        assert sum(world.starts) == 20, "the second burst finds them warm"


async def refusals(requests: list[asyncio.Task[InvokeAnswer]]) -> list[tuple[int, str | None]]:
    """What became of those that were refused: status and Lambda's reason."""
    results = await asyncio.gather(*requests, return_exceptions=True)
    found = [each for each in results if isinstance(each, BaseException)]
    assert all(isinstance(each, LambdaError) for each in found), found
    return [(e.status, e.reason) for e in found if isinstance(e, LambdaError)]


async def test_a_burst_beyond_the_limit_is_throttled_at_once() -> None:
    """Lambda: 1,000 environments every ten seconds; ``spec.scaling.burstLimit`` says otherwise."""
    gate = asyncio.Event()
    async with running() as world:
        world.handler = gated(gate)
        gateway = world.gateways[0]
        gateway.burst = 3
        requests = [asyncio.create_task(gateway.invoke(b"%d" % n)) for n in range(8)]
        await until(lambda: sum(each.done() for each in requests) == 5)
        gate.set()
        assert await refusals(requests) == [(429, "ConcurrentInvocationLimitExceeded")] * 5
        answers = [each.result().payload for each in requests[:3]]
        assert answers == [b"0", b"1", b"2"], "first come, first served"
        assert sum(world.starts) == 3
        assert (await gateway.invoke(b"9")).payload == b"9", "on one that is warm"
        assert sum(world.starts) == 3


async def test_a_function_with_a_maximum_is_throttled_like_one_that_reserves() -> None:
    gate = asyncio.Event()
    async with running() as world:
        world.handler = gated(gate)
        gateway = world.gateways[0]
        world.switch(world.add_deployment(), scaling=Scaling(maximum=2))
        requests = [asyncio.create_task(gateway.invoke(b"%d" % n)) for n in range(5)]
        await until(lambda: sum(each.done() for each in requests) == 3)
        gate.set()
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert await refusals(requests) == [(429, reason)] * 3
        assert sum(world.starts) == 2


async def test_a_cold_and_slow_function_gets_no_more_instances_than_requests() -> None:
    """Requests come one after the other while the first instance is still starting."""
    async with running() as world:
        world.start_delay = 0.3
        gateway = world.gateways[0]
        requests = []
        for number in range(12):
            requests.append(asyncio.create_task(gateway.invoke(b"%d" % number)))
            await asyncio.sleep(0.01)
            assert sum(world.starts) <= len(requests)
        await asyncio.gather(*requests)
        assert sum(world.starts) <= 12
        assert len(world.instances) <= 12


async def test_requests_behind_a_long_first_run_get_instances_of_their_own() -> None:
    """Though all runs before were short, so that requests share what starts."""
    gate = asyncio.Event()
    async with running() as world:
        gateway = world.gateways[0]
        world.handler = gated(gate)
        key = world.add_deployment("area-latest-2")
        world.switch(key)
        gateway.demand.ran(key, 0.002)
        requests = [asyncio.create_task(gateway.invoke(b"%d" % number)) for number in range(4)]
        await until(lambda: sum(1 for each in world.instances.values() if each.attempt) == 4)
        gate.set()
        answers = await asyncio.gather(*requests)
        assert [each.payload for each in answers] == [b"0", b"1", b"2", b"3"]


async def test_a_freed_instance_comes_before_a_slow_start() -> None:
    gate = asyncio.Event()
    async with running() as world:
        gateway = world.gateways[0]
        await gateway.invoke()
        world.only().handler = gated(gate)
        world.start_delay = NEVER_S
        first = asyncio.create_task(gateway.invoke(b"1"))
        await until(lambda: world.only().attempt is not None)
        second = asyncio.create_task(gateway.invoke(b"2"))
        await until(lambda: sum(world.starts) == 2)
        gate.set()
        assert (await first).payload == b"1"
        assert (await second).payload == b"2"
        assert len(world.instances) == 1


async def test_two_gateways_never_run_two_at_once_in_one_instance() -> None:
    async def brief(event: bytes) -> bytes:
        await asyncio.sleep(random.random() * 0.004)
        return event

    async def client(world: object, gateway: object, count: int) -> int:
        done = 0
        for number in range(count):
            answer = await gateway.invoke(str(number).encode())  # type: ignore[attr-defined]
            assert answer.payload == str(number).encode()
            done += 1
        return done

    async with running(2) as world:
        world.handler = brief
        clients = [client(world, world.gateways[n % 2], 100) for n in range(8)]
        assert sum(await asyncio.gather(*clients)) == 800
        assert sum(each.overlaps for each in world.instances.values()) == 0
        runs = [run for each in world.instances.values() for run in each.runs]
        assert len(runs) == len(set(runs)) == 800, "nothing lost, nothing run twice"
        assert sum(world.starts) <= 16


async def test_a_refused_request_goes_elsewhere() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        await gateway.invoke()
        world.only().refuse_with = "busy"
        world.on_made = lambda instance: setattr(instance, "refuse_with", None)
        assert (await gateway.invoke(b"2")).payload == b"2"
        assert sum(world.starts) == 2


async def test_a_lost_instance_after_accepted_is_an_error_and_never_a_second_run() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        world.on_made = lambda instance: setattr(instance, "silent_accept", True)
        running_request = asyncio.create_task(gateway.invoke())
        await until(lambda: world.instances and world.only().runs)
        instance = world.only()
        await asyncio.sleep(0.02)
        instance.cut()
        world.show(dataclasses.replace(world.pods[instance.uid], terminated="Error", restarts=1))
        with pytest.raises(LambdaError, match="lost while it ran"):
            await running_request
        assert len(world.instances) == 1
        assert gateway.admission.running() == 0


async def test_an_instance_killed_for_its_memory_answers_as_lambda_does() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        world.on_made = lambda instance: setattr(instance, "silent_accept", True)
        running_request = asyncio.create_task(gateway.invoke())
        await until(lambda: world.instances and world.only().runs)
        await asyncio.sleep(0.02)
        world.only().cut()
        pod = world.pods[world.only().uid]
        world.show(dataclasses.replace(pod, terminated="OOMKilled", restarts=1))
        answer = await running_request
        assert answer.function_error == "Unhandled"
        assert json.loads(whole(answer.payload))["errorType"] == "Runtime.ExitError"


async def test_an_attempt_cut_off_before_accepted_is_asked_for_and_runs_elsewhere() -> None:
    """Held in INIT when the connection breaks: the same boot dials again and gives it back."""
    async with running() as world:
        gateway = world.gateways[0]
        world.on_made = lambda instance: instance.ready.clear()
        request = asyncio.create_task(gateway.invoke(b"7"))
        await until(lambda: world.instances and world.only().held)
        instance = world.only()
        instance.cut()
        await until(lambda: not gateway.server.linked())
        assert not request.done()
        await instance.dial(gateway.server.port)
        await until(lambda: len(instance.invokes) == 2)
        instance.ready.set()
        assert (await request).payload == b"7"
        assert len(instance.runs) == 1


async def test_an_attempt_that_was_accepted_unseen_fails_when_the_instance_says_so() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        await gateway.invoke()
        instance = world.only()
        instance.cut_at_invoke = True
        request = asyncio.create_task(gateway.invoke())
        await until(lambda: not gateway.server.linked())
        await instance.dial(gateway.server.port)
        with pytest.raises(LambdaError, match="lost while it ran"):
            await request
        assert sum(world.starts) == 1


async def test_an_ambiguous_attempt_fails_at_once_when_the_pod_is_gone() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        world.on_made = lambda instance: instance.ready.clear()
        request = asyncio.create_task(gateway.invoke())
        await until(lambda: world.instances and world.only().held)
        world.only().cut()
        await until(lambda: not gateway.server.linked())
        world.lose(world.pods[world.only().uid])
        with pytest.raises(LambdaError) as raised:
            await request
        assert raised.value.status == 500


async def test_a_waiting_caller_who_leaves_frees_his_place() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        world.start_delay = 0.3
        gone = asyncio.create_task(gateway.invoke(b"1"))
        await until(lambda: world.starts)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert gateway.admission.running() == 0
        assert (await gateway.invoke(b"2")).payload == b"2"
        assert world.starts == [1], "the start that was on its way serves the next caller"
        assert len(world.only().runs) == 1


async def test_a_running_callers_leave_does_not_stop_the_run() -> None:
    gate = asyncio.Event()
    async with running() as world:
        gateway = world.gateways[0]
        world.handler = gated(gate)
        gone = asyncio.create_task(gateway.invoke(b"1"))
        await until(lambda: world.instances and world.only().runs)
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert gateway.admission.running() == 1, "it counts until it is over"
        gate.set()
        await until(lambda: gateway.admission.running() == 0)
        assert (await gateway.invoke(b"2")).payload == b"2"
        assert len(world.instances) == 1


async def test_a_waiter_moves_with_its_function() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        world.start_delay = NEVER_S
        request = asyncio.create_task(gateway.invoke(b"1"))
        await until(lambda: world.starts)
        new = world.add_deployment("area-latest-2")
        world.start_delay = 0.0
        world.switch(new)
        assert (await request).payload == b"1"
        (ran,) = [each for each in world.instances.values() if each.runs]
        assert ran.deployment == "area-latest-2"


async def test_a_vanished_deployment_is_looked_for_until_it_is_back() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        world.deployments.clear()
        request = asyncio.create_task(gateway.invoke(b"1"))
        await asyncio.sleep(0.05)
        world.add_deployment()
        assert (await request).payload == b"1"


async def test_after_a_switch_no_answer_comes_from_the_old_code() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        for number in range(2, 8):
            await gateway.invoke()
            new = world.add_deployment(f"area-latest-{number}")
            world.switch(new)
            before = {uid: len(each.runs) for uid, each in world.instances.items()}
            await asyncio.gather(*(gateway.invoke() for _ in range(5)))
            for uid, count in before.items():
                assert len(world.instances[uid].runs) == count


FAILING = [
    ({"waiting": "ErrImagePull", "message": "not found"}, "ErrImagePull: not found"),
    ({"waiting": "ImagePullBackOff", "message": "no such image"}, "ImagePullBackOff"),
    ({"waiting": "CreateContainerConfigError"}, "CreateContainerConfigError"),
    ({"waiting": "CrashLoopBackOff", "restarts": 2}, "CrashLoopBackOff"),
    ({"restarts": 1, "terminated": "OOMKilled"}, "CrashLoop: .*OOMKilled"),
]


@pytest.mark.parametrize(("facts", "reason"), FAILING)
async def test_a_start_that_fails_is_told_at_once_and_then_left_alone(
    facts: dict[str, object], reason: str
) -> None:
    """The reason is reported and counted once; when it is gone everything works again."""
    told: list[str | None] = []
    counted: list[str] = []
    async with running() as world:
        gateway = world.gateways[0]
        troubles = gateway.demand._troubles
        troubles._report = lambda _, failure: told.append(failure.reason if failure else None)
        troubles._counts = counted.append
        world.broken = facts
        for _ in range(3):
            with pytest.raises(LambdaError, match=reason) as raised:
                await gateway.invoke()
            assert raised.value.status == 503
        assert world.starts == [1]
        word = reason.partition(":")[0]
        assert (told, counted) == ([word], [word])
        world.broken = {}
        for pod in list(world.pods.values()):  # its ReplicaSet makes another one
            world.lose(pod)
            await world._pod(KEY_OF_AREA)
        troubles._backoffs[KEY_OF_AREA].until = 0.0  # as after its time
        assert (await gateway.invoke(b"2")).payload == b"2"
        gateway.demand.works(KEY_OF_AREA)
        assert told == [word, None]


async def test_a_quota_is_told_and_other_functions_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The ReplicaSet cannot make pods; only requests that need one hear of it."""

    async def none(_: DeploymentKey) -> None:
        """Kubernetes makes no pod."""

    async with running() as world:
        gateway = world.gateways[0]
        await gateway.invoke()
        cold = world.add_deployment("area-latest-2")
        world.deployments[cold] = dataclasses.replace(
            world.deployments[cold], replica_failure="exceeded quota: pods"
        )
        monkeypatch.setattr(world, "_pod", none)
        world.switch(cold)
        request = asyncio.create_task(gateway.invoke())
        await until(lambda: sum(world.starts) == 2)
        gateway.demand.check(cold)
        with pytest.raises(LambdaError, match="ReplicaFailure: exceeded quota: pods"):
            await request
        world.switch(KEY_OF_AREA)
        assert (await gateway.invoke(b"3")).payload == b"3"
        assert len(world.instances) == 1


async def test_waiting_is_bounded() -> None:
    async with running(wait_limit=0.05) as world:
        world.start_delay = NEVER_S
        with pytest.raises(LambdaError, match="No execution environment was free"):
            await world.gateways[0].invoke()
        assert world.gateways[0].admission.running() == 0


async def test_a_held_request_is_taken_back_at_its_deadline() -> None:
    limit = 2.0
    async with running(wait_limit=limit) as world:
        gateway = world.gateways[0]
        world.on_made = lambda instance: instance.ready.clear()
        request = asyncio.create_task(gateway.invoke())
        await until(lambda: world.instances and world.only().held)
        await asyncio.sleep(limit)
        gateway.service.sweep()
        with pytest.raises(LambdaError, match="No execution environment was free"):
            await request
        assert world.only().held is None


async def test_reserved_concurrency_zero_always_throttles_and_one_serves_a_closed_loop() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        key = next(iter(world.deployments))
        world.switch(key, reserved=0)
        with pytest.raises(LambdaError) as raised:
            await gateway.invoke()
        assert raised.value.reason == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert raised.value.retry_after == 1
        world.switch(key, reserved=1)
        for _ in range(50):
            await gateway.invoke()
        assert world.starts == [1]


async def test_an_unknown_function_and_a_pending_one() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        with pytest.raises(LambdaError) as raised:
            await gateway.invoke(function_name="nope")
        assert str(raised.value.message) == f"Function not found: {ARN}:$LATEST"
        world.switch(next(iter(world.deployments)), serving=None)
        with pytest.raises(LambdaError, match="state: Pending"):
            await gateway.invoke()


async def test_who_cannot_prove_itself_is_turned_away() -> None:
    async with running() as world:
        port = world.gateways[0].server.port
        await world.gateways[0].invoke()
        uid = world.only().uid
        for who, key in ((uid, "x" * 64), ("nobody", KEY)):
            stranger = Simulated("default", "area-latest-1", "p", who, key=key)
            with pytest.raises((AssertionError, ConnectionError)):
                await stranger.dial(port)
            await stranger.close()
        pod = dataclasses.replace(world.pods[uid], addresses=("10.9.9.9",))
        world.show(pod)
        await until(lambda: not world.gateways[0].server.linked())


async def test_every_gateway_leaves_alone_what_cannot_be_assigned() -> None:
    """The instance says it to who sent the assignment, and its state to all: also to a leader."""
    async with running(2) as world:
        await world.gateways[0].invoke()
        key = next(iter(world.deployments))
        await until(lambda: all(each.server.linked() for each in world.gateways))
        world.only()._become("failed")
        await until(lambda: all(each.demand.failing(key) for each in world.gateways))
        with pytest.raises(LambdaError, match="AssignmentFailed") as raised:
            await world.gateways[1].invoke()
        assert raised.value.status == 503
        assert world.starts == [1]


async def test_a_second_hello_of_a_living_instance_takes_the_place_of_the_first() -> None:
    """It dialled again although its connection lives: what runs is asked for, never run again."""
    gate = asyncio.Event()
    async with running() as world:
        gateway = world.gateways[0]
        await gateway.invoke()
        instance = world.only()
        instance.handler = gated(gate)
        request = asyncio.create_task(gateway.invoke(b"7"))
        await until(lambda: len(instance.runs) == 2)
        await instance.dial(gateway.server.port)
        with pytest.raises(LambdaError, match="lost while it ran"):
            await request
        await until(lambda: len(instance.wires) == 1)
        assert gateway.server.linked() == {instance.uid}
        gate.set()
        await until(lambda: gateway.registry.records[instance.uid].free)
        assert (await gateway.invoke(b"8")).payload == b"8"
        assert len(instance.runs) == 3
        assert sum(world.starts) == 1


async def test_a_hello_of_another_boot_beside_a_living_one_spoils_the_pod() -> None:
    async with running() as world:
        gateway = world.gateways[0]
        await gateway.invoke()
        first = world.only()
        second = Simulated(first.namespace, first.deployment, first.pod, first.uid)
        await second.dial(gateway.server.port)
        await until(lambda: gateway.registry.records[first.uid].reborn)
        assert (await gateway.invoke(b"8")).payload == b"8"
        assert len(world.instances) == 2, "a pod that was started twice takes nothing more"
        assert second.runs == []
        await second.close()


async def test_with_random_cuts_every_request_runs_at_most_once() -> None:
    """Connections of instances break at random; who gets an answer ran once, nobody ran twice."""
    chance = random.Random(7)
    ran: dict[bytes, int] = {}

    async def count(event: bytes) -> bytes:
        ran[event] = ran.get(event, 0) + 1
        await asyncio.sleep(chance.random() * 0.003)
        return event

    async def client(gateway: Gateway, number: int) -> tuple[int, int]:
        answered = failed = 0
        for turn in range(60):
            event = f"{number * 1000 + turn}".encode()
            try:
                assert (await gateway.invoke(event)).payload == event
                answered += 1
            except LambdaError as error:
                failed += error.status == 500
        return answered, failed

    async def saboteur(world: World) -> None:
        while True:
            await asyncio.sleep(0.01)
            live = [each for each in world.instances.values() if each.wires]
            if live:
                victim = chance.choice(live)
                victim.cut()
                for gateway in world.gateways:
                    await victim.dial(gateway.server.port)

    async with running(2) as world:
        world.handler = count
        sabotage = asyncio.create_task(saboteur(world))
        clients = [client(world.gateways[n % 2], n) for n in range(6)]
        results = await asyncio.gather(*clients)
        sabotage.cancel()
        await asyncio.gather(sabotage, return_exceptions=True)
        assert sum(answered for answered, _ in results) > 100
        assert sum(failed for _, failed in results) > 0, "the sabotage was felt"
        assert max(ran.values()) == 1
        assert sum(each.overlaps for each in world.instances.values()) == 0
        await until(lambda: all(each.admission.running() == 0 for each in world.gateways))
