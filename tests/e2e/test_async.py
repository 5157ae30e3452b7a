"""Asynchronous invocation on the cluster: accepted, run, retried, told, and never lost."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import random
import secrets
import signal
import subprocess
import threading
import time
import urllib.error
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import botocore.exceptions
import pytest

from tests.support.cluster import CONTROL_PLANE, Cluster, wait_until
from tests.support.lookup import look
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
    with pytest.raises(aws.exceptions.RequestTooLargeException):
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


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_event_is_lost_when_parts_are_killed(cluster: Cluster, functions: Functions) -> None:
    lose_nothing(cluster, functions, events=300, kills=["store", "gateway", "operator"])


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_no_event_of_many_is_lost_when_parts_are_killed(
    cluster: Cluster, functions: Functions
) -> None:
    chance = random.Random(7)
    kills = [chance.choice(["store", "gateway", "operator"]) for _ in range(40)]
    lose_nothing(cluster, functions, events=100_000, kills=kills)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_no_event_is_lost_in_postgresql_either(cluster: Cluster, functions: Functions) -> None:
    with running(host_address(cluster)) as server, events_in(cluster, server.fresh_database()):

        def crash() -> None:
            server.end(signal.SIGQUIT)
            time.sleep(1)
            server.start()

        kills: list[str | Callable[[], None]] = ["store", crash, "gateway", crash, "operator"]
        lose_nothing(cluster, functions, events=300, kills=kills)


def host_address(cluster: Cluster) -> str:
    """An address of this machine in the node's network: what pods reach without leaving it."""
    addresses = cluster.one("node", "klambda")
    if addresses is None:
        pytest.skip("only beside the native node")
    node = ipaddress.ip_address(addresses["status"]["addresses"][0]["address"])
    found = json.loads(subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True).stdout)
    for each in (one for link in found for one in link["addr_info"]):
        here = ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}")
        if node in here.network and here.ip.is_private and not here.ip.is_loopback:
            return str(here.ip)
    pytest.skip("this machine has no address in the node's network")


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
    name = functions.recorder("proof")
    acknowledged: dict[str, int] = {}
    left = iter(range(events))
    lock = threading.Lock()

    def send() -> None:
        for number in left_of(left, lock):
            while True:
                try:
                    acknowledged[functions.send(name, number)] = number
                    break
                except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
                    time.sleep(0.1)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for each in senders:
        each.start()
    chance = random.Random(events)
    for component in kills:
        time.sleep(chance.uniform(0.5, 2))
        if isinstance(component, str):
            cluster.kill(component)
        else:
            component()
        cluster.wait_ready()
    for each in senders:
        each.join()
    assert sorted(acknowledged.values()) == list(range(events))
    runs = 0
    for request_id, number in acknowledged.items():
        shown = wait_until(
            f"{request_id} is over", partial(settled, functions, request_id), timeout=180
        )
        assert (shown["State"], shown["ResponsePayload"]) == ("Succeeded", {"heard": number})
        runs += shown["Leases"]
    print(f"{events} events, {len(kills)} kills: leased {runs - events} times more than once")


def settled(functions: Functions, request_id: str) -> Any:
    """The record of an invocation that is over; a gateway may be on its way back."""
    with contextlib.suppress(OSError):
        shown = functions.look(request_id)
        return shown if "SettledAt" in shown else None
    return None


def left_of(numbers: Iterator[int], lock: threading.Lock) -> Iterator[int]:
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
