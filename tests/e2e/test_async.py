"""Asynchronous invocation on the cluster: accepted, run, retried, told, and never lost."""

from __future__ import annotations

import contextlib
import json
import random
import secrets
import signal
import threading
import time
import urllib.error
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import botocore.exceptions
import pytest

from tests.support.cluster import CONTROL_PLANE, Cluster, wait_until
from tests.support.door import Door, NotServed
from tests.support.lookup import look
from tests.support.node import host_address
from tests.support.postgres import running

RECORDER = """
seen = []
def handler(event, context):
    if event == 'tell':
        return seen
    seen.append([context.aws_request_id, event])
    if isinstance(event, dict) and event.get('fail'):
        raise ValueError(event['fail'])
    return {'heard': event}
"""
PLAYER = """
count = 0
def handler(event, context):
    global count
    if event != 'tell':
        count += 1
    return count
"""
"""Returns little: what it is told contains what it answered before, again and again."""
PROOF = """
def handler(event, context):
    if event % 1000 == 999:
        raise ValueError(str(event))
    return {'heard': event}
"""
MANY, MANY_KILLS = 100_000, 40
T = TypeVar("T")
ONE = {"ReservedConcurrentExecutions": 1}
"""Whoever remembers must be one instance."""


class Functions:
    """Functions that remember, and what they were told."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.made: list[str] = []

    def recorder(self, word: str, source: str = RECORDER, **config: Any) -> str:
        name = f"async-{word}-{secrets.token_hex(3)}"
        self.made.append(name)
        self.cluster.create(name, source)
        self.cluster.aws.put_function_concurrency(FunctionName=name, **ONE)
        if config:
            self.cluster.aws.put_function_event_invoke_config(FunctionName=name, **config)
        return name

    def arn(self, name: str) -> str:
        found: str = self.cluster.aws.get_function_configuration(FunctionName=name)["FunctionArn"]
        return found

    def send(self, name: str, event: object) -> str:
        answer = self.cluster.aws.invoke(
            FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode()
        )
        assert answer["StatusCode"] == 202
        assert answer["Payload"].read() == b""
        return str(answer["ResponseMetadata"]["RequestId"])

    def seen(self, name: str) -> Any:
        """What it has seen; while it is busy a synchronous caller is throttled."""

        def ask() -> Any:
            with contextlib.suppress(
                botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            ):
                return [self.cluster.invoke(name, "tell")]
            return None

        (found,) = wait_until(f"{name} tells", ask)
        return found

    def look(self, request_id: str) -> dict[str, Any]:
        """What the gateway says became of an invocation."""
        return look(self.cluster.aws, request_id)


@pytest.fixture(scope="module")
def functions(cluster: Cluster) -> Iterator[Functions]:
    made = Functions(cluster)
    yield made
    for name in made.made:
        cluster.kubectl("delete", "functions.klambda.io", name, "--ignore-not-found")


@pytest.fixture(scope="module")
def target(functions: Functions) -> str:
    """The function that destinations name."""
    return functions.recorder("target")


@pytest.fixture(scope="module")
def source(functions: Functions, target: str) -> str:
    arn = functions.arn(target)
    return functions.recorder(
        "source",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}, "OnFailure": {"Destination": arn}},
    )


@pytest.fixture(scope="module")
def retried(functions: Functions) -> tuple[str, float]:
    """An event that fails at once, and again a minute later: looked at by the last test."""
    name = functions.recorder("retried", MaximumRetryAttempts=1)
    return functions.send(name, {"fail": "always"}), time.monotonic()


def told(functions: Functions, target: str, request_id: str) -> dict[str, Any]:
    """Wait for the record of an invocation at its destination."""

    def find() -> Any:
        for _, event in functions.seen(target):
            if event["requestContext"]["requestId"] == request_id:
                return event
        return None

    found: dict[str, Any] = wait_until(f"{target} hears of {request_id}", find)
    return found


def test_an_event_runs_once_with_the_id_of_its_202(
    functions: Functions, retried: tuple[str, float], target: str, source: str
) -> None:
    request_id = functions.send(source, {"n": 1})
    record = told(functions, target, request_id)
    assert [each for each in functions.seen(source) if each[0] == request_id] == [
        [request_id, {"n": 1}]
    ]
    assert record["version"] == "1.0"
    assert record["requestContext"] == {
        "requestId": request_id,
        "functionArn": functions.arn(source) + ":$LATEST",
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    assert record["requestPayload"] == {"n": 1}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == {"heard": {"n": 1}}
    shown = functions.look(request_id)
    assert (shown["State"], shown["Attempts"], shown["Condition"]) == ("Succeeded", 1, "Success")
    assert shown["ResponsePayload"] == {"heard": {"n": 1}}


def test_a_failure_is_told_with_its_error(functions: Functions, target: str, source: str) -> None:
    record = told(functions, target, functions.send(source, {"fail": "no luck"}))
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "no luck"


def test_reserved_zero_goes_straight_to_the_destination(
    functions: Functions, target: str, source: str
) -> None:
    aws = functions.cluster.aws
    aws.put_function_concurrency(FunctionName=source, ReservedConcurrentExecutions=0)
    request_id = functions.send(source, {"n": 2})
    record = told(functions, target, request_id)
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    assert "responseContext" not in record
    aws.put_function_concurrency(FunctionName=source, **ONE)
    assert request_id not in {each[0] for each in functions.seen(source)}


def test_invoke_async_and_refusals(functions: Functions, source: str) -> None:
    aws = functions.cluster.aws
    answer = aws.invoke_async(FunctionName=source, InvokeArgs=b'{"old": true}')
    assert answer["Status"] == 202
    request_id = answer["ResponseMetadata"]["RequestId"]
    wait_until("it ran", lambda: functions.look(request_id)["State"] == "Succeeded")
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.invoke(FunctionName="nobody", InvocationType="Event")
    with pytest.raises(aws.exceptions.InvalidRequestContentException):
        aws.invoke(FunctionName=source, InvocationType="Event", Payload=b"[" + b"1," * 20_000)
    with pytest.raises(aws.exceptions.ClientError, match="RequestEntityTooLargeException"):
        aws.invoke(FunctionName=source, InvocationType="Event", Payload=b" " * 1_048_577)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        functions.look(str(uuid.uuid4()))


def test_a_loop_of_two_functions_is_stopped(functions: Functions) -> None:
    first, second = functions.recorder("ping", PLAYER), functions.recorder("pong", PLAYER)
    for one, other in ((first, second), (second, first)):
        functions.cluster.aws.put_function_event_invoke_config(
            FunctionName=one,
            DestinationConfig={"OnSuccess": {"Destination": functions.arn(other)}},
        )
    functions.send(first, {"n": 1})
    wait_until("sixteen rounds", lambda: functions.seen(second) >= 16)
    time.sleep(2)
    assert (functions.seen(first), functions.seen(second)) == (16, 16)


PARTS = ("store", "gateway", "operator", "instance")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_event_is_lost_when_parts_are_killed(cluster: Cluster, functions: Functions) -> None:
    lose_nothing(cluster, functions, events=300, kills=PARTS)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_no_event_of_many_is_lost_when_parts_are_killed(
    cluster: Cluster, functions: Functions
) -> None:
    chance = random.Random(7)
    kills = [chance.choice(PARTS) for _ in range(MANY_KILLS)]
    lose_nothing(cluster, functions, events=MANY, kills=kills)


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("events", "kills"), [(300, 4), (MANY, MANY_KILLS)])
def test_no_event_is_lost_in_postgresql_either(
    cluster: Cluster, functions: Functions, events: int, kills: int
) -> None:
    with running(host_address(cluster)) as server, events_in(cluster, server.fresh_database()):

        def crash() -> None:
            server.end(signal.SIGQUIT)
            time.sleep(1)
            server.start()

        chance = random.Random(8)
        chosen: list[str | Callable[[], None]] = [crash, "store", "instance", crash]
        chosen += [chance.choice((crash, *PARTS)) for _ in range(kills - len(chosen))]
        lose_nothing(cluster, functions, events=events, kills=chosen)


@contextlib.contextmanager
def events_in(cluster: Cluster, url: str) -> Iterator[None]:
    """Let the store keep its events there, for a time."""
    where = ("-n", CONTROL_PLANE, "statefulset/klambda-store")
    cluster.kubectl("set", "env", *where, f"KLAMBDA_EVENTS_DATABASE_URL={url}")
    cluster.wait_ready()
    try:
        yield
    finally:
        cluster.kubectl("set", "env", *where, "KLAMBDA_EVENTS_DATABASE_URL-")
        cluster.wait_ready()


def lose_nothing(
    cluster: Cluster,
    functions: Functions,
    *,
    events: int,
    kills: Sequence[str | Callable[[], None]],
) -> None:
    """Send while parts die; the function must have answered every event that got a 202."""
    name = functions.recorder("proof", PROOF)
    cluster.aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    acknowledged: dict[str, int] = {}
    left, lock = iter(range(events)), threading.Lock()

    def send() -> None:
        with contextlib.closing(door_to(cluster)) as door:
            for number in left_of(left, lock):
                while True:
                    try:
                        acknowledged[door.send(name, number)] = number
                        break
                    except NotServed:
                        time.sleep(0.1)

    with ThreadPoolExecutor(4) as senders:
        began = time.monotonic()
        sending = [senders.submit(send) for _ in range(4)]
        chance = random.Random(events)
        for component in kills:
            time.sleep(chance.uniform(0.5, 2))
            if component == "instance":
                cluster.kill_instance(name, chance.choice)
            elif isinstance(component, str):
                cluster.kill(component)
            else:
                component()
            cluster.wait_ready()
        for each in sending:
            each.result()
        sent = time.monotonic() - began
        assert sorted(acknowledged.values()) == list(range(events))
        left_over = iter(list(acknowledged.items()))
        counting = [senders.submit(judge, cluster, left_of(left_over, lock)) for _ in range(4)]
        again = sum(each.result() for each in counting)
    took = time.monotonic() - began
    print(
        f"{events} events, {len(kills)} kills: sent in {sent:.0f} s, over and looked at after "
        f"{took:.0f} s; leased {again} times more than needed"
    )


def door_to(cluster: Cluster) -> Door:
    return Door(cluster.endpoint, cluster.credentials(), cluster.env["AWS_REGION"])


def judge(cluster: Cluster, events: Iterator[tuple[str, int]]) -> int:
    """Look at what became of events; return how often they were leased without need."""
    again = 0
    with contextlib.closing(door_to(cluster)) as door:
        for request_id, number in events:
            look = partial(settled, door, request_id)
            shown = wait_until(f"{request_id} is over", look, timeout=900)
            again += int(shown["Leases"]) - right(shown, number)
    return again


def right(shown: dict[str, Any], number: int) -> int:
    """See that an event ended as it should; return how many attempts that took."""
    answer = shown["ResponsePayload"]
    if number % 1000 == 999:  # as PROOF decides
        found = (shown["State"], shown["Attempts"], answer["errorMessage"])
        assert found == ("Failed", 3, str(number)), shown
        took = moment(shown["SettledAt"]) - moment(shown["ReceivedAt"])
        assert took >= timedelta(seconds=180), "a minute before the first retry, then two"
        return 3
    assert (shown["State"], shown["Attempts"], answer) == ("Succeeded", 1, {"heard": number}), shown
    return 1


def settled(door: Door, request_id: str) -> Any:
    """The record of an invocation that is over; a gateway may be on its way back."""
    with contextlib.suppress(NotServed):
        shown = door.look(request_id)
        return shown if "SettledAt" in shown else None
    return None


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def left_of(numbers: Iterator[T], lock: threading.Lock) -> Iterator[T]:
    """Share an iterator among threads."""
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        yield number


@pytest.mark.timeout(200)
def test_zz_a_retry_comes_after_a_minute_with_the_same_id(
    functions: Functions, retried: tuple[str, float]
) -> None:
    request_id, began = retried

    def over() -> Any:
        shown = functions.look(request_id)
        return shown if shown["State"] == "Failed" else None

    shown = wait_until("the retry is over", over, timeout=110)
    assert time.monotonic() - began >= 60
    assert (shown["Attempts"], shown["Condition"]) == (2, "RetriesExhausted")
    assert (shown["LastError"], shown["Leases"]) == ("always", 2)
