"""Asynchronous invocation with everything real: gateways, store, operator, init, a queue server."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.gateway_dataplane.conftest import ControlPlane, wait_for
from tests.integration.gateway_dataplane.test_gateway_process import (
    code,
    create,
    name,
    settled,
)
from tests.support.lookup import ask, look
from tests.support.messaging import queues, sqs

__all__ = ["name"]
ACCOUNT_QUEUE = "arn:aws:sqs:us-east-1:123456789012"
SOURCE = """
seen = []
def handler(event, context):
    seen.append(event)
    if event.get("fail", 0) >= sum(each == event for each in seen):
        raise ValueError("as you wish")
    return {"did": event}
"""


@pytest.fixture(scope="module")
def queue_server(control_plane: ControlPlane) -> Iterator[Any]:
    with queues(control_plane.sqs_port) as endpoint:
        yield sqs(endpoint)


def queue(server: Any, name: str) -> str:
    server.create_queue(QueueName=name)
    return f"{ACCOUNT_QUEUE}:{name}"


def next_message(server: Any, name: str) -> dict[str, Any]:
    url = server.get_queue_url(QueueName=name)["QueueUrl"]
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        answer = server.receive_message(
            QueueUrl=url, WaitTimeSeconds=2, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", ()):
            server.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found: dict[str, Any] = message
            return found
    raise AssertionError(f"nothing in {name}")


def send(client: Any, function: str, event: object, **members: Any) -> str:
    answer = client.invoke(
        FunctionName=function,
        InvocationType="Event",
        Payload=json.dumps(event).encode(),
        **members,
    )
    assert answer["StatusCode"] == 202
    return str(answer["ResponseMetadata"]["RequestId"])


def test_retries_then_success_then_the_queue_hears(
    control_plane: ControlPlane, name: str, queue_server: Any
) -> None:
    client = create(control_plane, name, SOURCE)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    client.put_function_event_invoke_config(
        FunctionName=name,
        DestinationConfig={"OnSuccess": {"Destination": queue(queue_server, f"{name}-good")}},
    )
    request_id = send(client, name, {"fail": 2})
    told = json.loads(next_message(queue_server, f"{name}-good")["Body"])
    assert told["requestContext"]["requestId"] == request_id
    assert told["requestContext"]["approximateInvokeCount"] == 3
    assert told["responsePayload"] == {"did": {"fail": 2}}
    assert look(client, request_id)["Attempts"] == 3


def test_destination_and_dead_letter_queue_both_hear_of_a_failure(
    control_plane: ControlPlane, name: str, queue_server: Any
) -> None:
    letters, bad = queue(queue_server, f"{name}-dlq"), queue(queue_server, f"{name}-bad")
    client = create(control_plane, name, SOURCE, DeadLetterConfig={"TargetArn": letters})
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.put_function_event_invoke_config(
        FunctionName=name,
        Qualifier="live",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": bad}},
    )
    request_id = send(client, name, {"fail": 9}, Qualifier="live")
    told = json.loads(next_message(queue_server, f"{name}-bad")["Body"])
    assert told["requestContext"]["condition"] == "RetriesExhausted"
    assert told["requestContext"]["functionArn"].endswith(f":function:{name}:live")
    assert told["responseContext"]["executedVersion"] == "1"
    letter = next_message(queue_server, f"{name}-dlq")
    assert json.loads(letter["Body"]) == {"fail": 9}
    attributes = {key: each["StringValue"] for key, each in letter["MessageAttributes"].items()}
    assert attributes == {
        "RequestID": request_id,
        "ErrorCode": "200",
        "ErrorMessage": "as you wish",
    }


def test_events_of_a_function_that_was_deleted_and_made_again_are_not_given_to_the_new_one(
    control_plane: ControlPlane, name: str
) -> None:
    client = create(control_plane, name, SOURCE)
    old = send(client, name, {"fail": 9})
    wait_for(lambda: look(client, old)["Attempts"] >= 1, "it waits for its retry")
    client.delete_function(FunctionName=name)
    client = create(control_plane, name, SOURCE)
    new = send(client, name, {"n": 1})
    wait_for(lambda: look(client, new)["State"] == "Succeeded", "the new one's event")
    wait_for(lambda: "SettledAt" in look(client, old), "the old one's is over")
    shown = look(client, old)
    if shown["Attempts"] < 3:  # else the machine was slower than its three attempts
        assert shown["State"] == "Dropped"
        assert shown["LastError"] == "the function is another one of the same name"


def test_events_wait_for_a_moved_alias_and_run_what_it_points_to_then(
    control_plane: ControlPlane, name: str
) -> None:
    source = "def handler(event, context):\n    raise ValueError('one')\n"
    client = create(control_plane, name, source)
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    request_id = send(client, name, {}, Qualifier="live")
    wait_for(lambda: look(client, request_id)["Attempts"] >= 1, "it failed once")
    good = "def handler(event, context):\n    return 'two'\n"
    client.update_function_code(FunctionName=name, ZipFile=code(good))
    settled(client, name)
    client.publish_version(FunctionName=name)
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    wait_for(lambda: "SettledAt" in look(client, request_id), "it is over")
    shown = look(client, request_id)
    if shown["State"] == "Succeeded":  # else the machine was slower than its three attempts
        assert (shown["ExecutedVersion"], shown["ResponsePayload"]) == ("2", "two")


def test_reserved_concurrency_holds_while_events_queue_up(
    control_plane: ControlPlane, name: str
) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(0.02)\n    return event\n"
    client = create(control_plane, name, source)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    clients = [control_plane.client(0), control_plane.client(1)]
    sent = [send(clients[number % 2], name, number) for number in range(60)]
    for number, request_id in enumerate(sent):
        wait_for(lambda known=request_id: "SettledAt" in look(client, known), "it is over", 60)
        assert look(client, request_id)["ResponsePayload"] == number


def test_a_paused_queue_waits_and_what_failed_is_run_again(
    control_plane: ControlPlane, name: str
) -> None:
    source = "def handler(event, context):\n    raise ValueError('broken')\n"
    client = create(control_plane, name, source, Timeout=30)
    client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    failed = send(client, name, 1)
    wait_for(lambda: look(client, failed)["State"] == "Failed", "it failed")
    assert ask(client, "PUT", f"async-queues/{name}", {"Paused": True})["Paused"]
    client.update_function_code(
        FunctionName=name, ZipFile=code("def handler(event, context):\n    return event\n")
    )
    settled(client, name)
    sent = [send(control_plane.client(number % 2), name, number) for number in range(12)]
    assert ask(client, "POST", f"async-queues/{name}/redrive") == {"Redriven": 1}
    wait_for(lambda: ask(client, "GET", f"async-queues/{name}")["Depth"] == 13, "all wait")
    assert look(client, failed)["Redriven"] == 1
    assert not any("SettledAt" in look(client, each) for each in sent)
    assert not ask(client, "PUT", f"async-queues/{name}", {"Paused": False})["Paused"]
    for number, request_id in [*enumerate(sent), (1, failed)]:
        wait_for(lambda known=request_id: "SettledAt" in look(client, known), "it is over", 60)
        shown = look(client, request_id)
        found = (shown["State"], shown["ResponsePayload"], shown["Attempts"])
        assert found == ("Succeeded", number, 1), "a pause uses no attempt"


def test_a_gateway_that_is_told_to_end_finishes_its_events(
    control_plane: ControlPlane, name: str
) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(2)\n    return event\n"
    client = create(control_plane, name, source, Timeout=10)
    sent = [send(client, name, number) for number in range(6)]
    time.sleep(1.5)
    gateway = control_plane.gateways[1]
    gateway.process.terminate()
    assert gateway.process.wait(60) == 0
    control_plane.restart(1)
    for number, request_id in enumerate(sent):
        wait_for(lambda known=request_id: "SettledAt" in look(client, known), "it is over", 60)
        shown = look(client, request_id)
        assert (shown["ResponsePayload"], shown["Leases"]) == (number, 1), "none ran twice"


@pytest.mark.full
def test_a_gateway_that_dies_in_a_run_loses_nothing(control_plane: ControlPlane, name: str) -> None:
    source = "import time\ndef handler(event, context):\n    time.sleep(0.2)\n    return event\n"
    client = create(control_plane, name, source)
    sent = [send(client, name, number) for number in range(30)]
    time.sleep(0.3)
    control_plane.gateways[1].process.send_signal(signal.SIGKILL)
    control_plane.gateways[1].process.wait(10)
    control_plane.restart(1)
    for number, request_id in enumerate(sent):
        wait_for(lambda known=request_id: "SettledAt" in look(client, known), "it is over", 90)
        assert look(client, request_id)["ResponsePayload"] == number
    again = sum(look(client, each)["Leases"] - 1 for each in sent)
    assert again <= 30, "only what it held ran twice"
