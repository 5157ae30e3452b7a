"""Outcomes told to real servers: SQS (ElasticMQ), SNS (GoAws), an HTTP sink."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from klambda_core import errors
from klambda_core.events import Delivery, Response
from klambda_core.signer import Credentials
from klambda_gateway.events.deliver.aws import AwsMessages
from klambda_gateway.events.deliver.function import Functions
from klambda_gateway.events.deliver.port import DeliveryFailed
from klambda_gateway.events.deliver.post import Post, Session
from klambda_gateway.events.deliver.sink import Sinks
from klambda_gateway.events.envelope import Outcome, record
from klambda_gateway.events.lineage import passes
from tests.support.events import ACCOUNT, event
from tests.support.messaging import query, queues, sqs, topics

QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:results"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:results"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function"
KEYS = Credentials(access_key_id="AKIAABCDEFGHIJKLMNOP", secret_access_key="secret")


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def sqs_endpoint() -> Iterator[str]:
    with queues() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def sns_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with topics(tmp_path_factory.mktemp("goaws")) as endpoint:
        yield endpoint


class Accepted:
    """The way in for events, written down."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.problem: errors.LambdaError | None = None

    async def accept(self, **call: Any) -> None:
        if self.problem is not None:
            raise self.problem
        self.calls.append(call)


class Rig:
    """A post, and who gets it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.accepted = Accepted()
        self.endpoints: dict[str, str] = {}
        self.prefixes: list[str] = []
        self.keys: Credentials | None = KEYS

    async def tell(self, kind: Any, target: str, outcome: Outcome | None = None) -> None:
        post = Post(
            functions=Functions(self.accepted, region="us-east-1"),
            messages=AwsMessages(self.session, endpoints=self.endpoints, keys=self.keys, now=now),
            sinks=Sinks(self.session, prefixes=self.prefixes),
        )
        await post.deliver(Delivery(kind=kind, target=target), outcome or failure())


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    session = Session()
    yield Rig(session)
    await session.close()


def failure(**members: Any) -> Outcome:
    response = Response(
        status_code=200,
        executed_version="$LATEST",
        function_error="Unhandled",
        payload='{"errorMessage":"ü"}'.encode(),
    )
    values: dict[str, Any] = {
        "event": event(payload='{"käse": "✓ & <x>"}'.encode()),
        "condition": "RetriesExhausted",
        "attempts": 3,
        "response": response,
        "error": "ü",
        "now": datetime(2026, 11, 27, tzinfo=UTC),
    }
    return Outcome(**(values | members))


# --- SQS ------------------------------------------------------------------------------------------


def received(endpoint: str, name: str) -> dict[str, Any]:
    client = sqs(endpoint)
    url = client.get_queue_url(QueueName=name)["QueueUrl"]
    answer = client.receive_message(
        QueueUrl=url,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
        WaitTimeSeconds=5,
    )
    (message,) = answer["Messages"]
    client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    found: dict[str, Any] = message
    return found


async def test_a_record_reaches_a_queue(rig: Rig, sqs_endpoint: str) -> None:
    sqs(sqs_endpoint).create_queue(QueueName="results")
    rig.endpoints = {"sqs": sqs_endpoint}
    outcome = failure()
    await rig.tell("on-failure", QUEUE, outcome)
    message = received(sqs_endpoint, "results")
    assert message["Body"].encode() == record(outcome)
    assert "MessageAttributes" not in message


async def test_a_dead_letter_is_the_event_with_three_attributes(
    rig: Rig, sqs_endpoint: str
) -> None:
    sqs(sqs_endpoint).create_queue(QueueName="results")
    rig.endpoints = {"sqs": sqs_endpoint + "/"}
    outcome = failure()
    await rig.tell("dead-letter", QUEUE, outcome)
    message = received(sqs_endpoint, "results")
    assert message["Body"].encode() == outcome.event.payload
    assert {
        name: (each["DataType"], each["StringValue"])
        for name, each in message["MessageAttributes"].items()
    } == {
        "RequestID": ("String", outcome.event.id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "ü"),
    }


@pytest.mark.parametrize("kind", ["on-failure", "dead-letter"])
@pytest.mark.parametrize(
    ("trace", "travels"),
    [("Root=1-0123abcd-0123456789abcdef01234567;Sampled=0", True), ("a client's own", False)],
)
async def test_the_trace_and_its_lineage_go_along(
    rig: Rig, sqs_endpoint: str, kind: str, trace: str, travels: bool
) -> None:
    sqs(sqs_endpoint).create_queue(QueueName="results")
    rig.endpoints = {"sqs": sqs_endpoint}
    one = event(trace=trace)
    await rig.tell(kind, QUEUE, failure(event=one))
    told = received(sqs_endpoint, "results")["Attributes"].get("AWSTraceHeader")
    assert (told is not None) == travels
    if travels:
        assert told.startswith(trace)
        assert passes(told, one.function_uid) == 1


async def test_a_queue_that_is_not_there(rig: Rig, sqs_endpoint: str) -> None:
    rig.endpoints = {"sqs": sqs_endpoint}
    with pytest.raises(DeliveryFailed, match="sqs answered 400"):
        await rig.tell("on-failure", QUEUE + "-not")
    sqs(sqs_endpoint).create_queue(QueueName="results-not")
    await rig.tell("on-failure", QUEUE + "-not")
    assert received(sqs_endpoint, "results-not")


async def test_nobody_at_the_endpoint_or_none_configured(rig: Rig) -> None:
    with pytest.raises(DeliveryFailed, match="no endpoint and access key for sqs"):
        await rig.tell("on-failure", QUEUE)
    rig.endpoints = {"sqs": "http://127.0.0.1:9", "sns": "http://127.0.0.1:9"}
    for target in (QUEUE, TOPIC):
        with pytest.raises(DeliveryFailed, match="ClientConnector"):
            await rig.tell("on-failure", target)
    rig.keys = None
    with pytest.raises(DeliveryFailed, match="no endpoint and access key"):
        await rig.tell("on-failure", QUEUE)


# --- SNS ------------------------------------------------------------------------------------------


async def test_records_and_dead_letters_reach_a_topic(rig: Rig, sns_endpoint: str) -> None:
    query(sns_endpoint, Action="CreateTopic", Name="results")
    query(sns_endpoint, Action="CreateQueue", QueueName="heard")
    queue = f"{sns_endpoint}/{ACCOUNT}/heard"
    query(
        sns_endpoint,
        Action="Subscribe",
        TopicArn=TOPIC,
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:us-east-1:{ACCOUNT}:heard",
    )
    rig.endpoints = {"sns": sns_endpoint}
    outcome = failure()
    await rig.tell("on-failure", TOPIC, outcome)
    assert notification(sns_endpoint, queue)["Message"].encode() == record(outcome)
    await rig.tell("dead-letter", TOPIC, outcome)
    told = notification(sns_endpoint, queue)
    assert told["Message"].encode() == outcome.event.payload
    assert told["MessageAttributes"]["RequestID"] == {
        "Type": "String",
        "Value": outcome.event.id,
    }
    assert told["MessageAttributes"]["ErrorCode"] == {"Type": "Number", "Value": "200"}
    with pytest.raises(DeliveryFailed, match="sns answered 4"):
        await rig.tell("on-failure", TOPIC + "-not")


def notification(endpoint: str, queue: str) -> dict[str, Any]:
    answer = query(endpoint, Action="ReceiveMessage", QueueUrl=queue, WaitTimeSeconds="5")
    fields = {each.tag.rpartition("}")[2]: each.text for each in answer.iter()}
    handle, body = fields["ReceiptHandle"], fields["Body"]
    query(endpoint, Action="DeleteMessage", QueueUrl=queue, ReceiptHandle=str(handle))
    found: dict[str, Any] = json.loads(str(body))
    return found


# --- HTTP sinks -----------------------------------------------------------------------------------


@pytest.fixture
async def sink() -> AsyncIterator[tuple[BaseTestServer, list[Any]]]:
    heard: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        heard.append((request.path, dict(request.headers), await request.read()))
        code = int(request.query.get("answer", "204"))
        return web.Response(status=code, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_post("/{rest:.*}", take)
    async with TestServer(app) as server:
        yield server, heard


async def test_a_sink_gets_a_cloud_event(rig: Rig, sink: tuple[BaseTestServer, list[Any]]) -> None:
    server, heard = sink
    rig.prefixes = [str(server.make_url("/in"))]
    outcome = failure()
    await rig.tell("on-failure", str(server.make_url("/in/box")), outcome)
    ((path, headers, body),) = heard
    assert path == "/in/box"
    assert headers["ce-id"] == outcome.event.id
    assert headers["ce-type"] == "io.klambda.invocation.failure"
    assert headers["Content-Type"] == "application/json"
    assert body == record(outcome)


@pytest.mark.parametrize("code", [302, 404, 500])
async def test_a_sink_that_does_not_take_it(
    rig: Rig, sink: tuple[BaseTestServer, list[Any]], code: int
) -> None:
    server, heard = sink
    rig.prefixes = [str(server.make_url("/"))]
    with pytest.raises(DeliveryFailed, match=f"answered {code}"):
        await rig.tell("on-success", str(server.make_url(f"/x?answer={code}")))
    assert len(heard) == 1, "redirects are not followed"


async def test_a_sink_that_is_not_allowed(rig: Rig, sink: tuple[BaseTestServer, list[Any]]) -> None:
    server, heard = sink
    with pytest.raises(DeliveryFailed, match="does not allow"):
        await rig.tell("on-success", str(server.make_url("/in")))
    assert heard == []


# --- functions ------------------------------------------------------------------------------------


async def test_a_function_is_invoked_once_however_often_it_is_told(rig: Rig) -> None:
    outcome = failure()
    for _ in range(2):
        await rig.tell("on-success", f"{FUNCTION}:next:live", outcome)
    first, second = rig.accepted.calls
    assert first == second, "the same id: the store keeps one event"
    assert (first["namespace"], first["name"], first["qualifier"]) == ("default", "next", "live")
    assert first["arn"] == f"{FUNCTION}:next:live"
    assert first["payload"] == record(outcome)
    assert first["event_id"] != outcome.event.id
    assert passes(first["trace"], outcome.event.function_uid) == 1
    await rig.tell("on-success", f"{FUNCTION}:another", outcome)
    assert rig.accepted.calls[-1]["event_id"] != first["event_id"]
    assert rig.accepted.calls[-1]["qualifier"] is None


async def test_functions_that_cannot_be_told(rig: Rig) -> None:
    for arn in (
        FUNCTION.replace("us-east-1", "eu-west-1") + ":f",
        FUNCTION.replace(ACCOUNT, "999999999999") + ":f",
        "arn:aws:lambda:us-east-1:1:layer:x",
    ):
        with pytest.raises(DeliveryFailed, match="not a function of this account"):
            await rig.tell("on-success", arn)
    big = failure(event=event(payload=b'"' + b"x" * (1 << 20) + b'"'))
    with pytest.raises(DeliveryFailed, match="too large"):
        await rig.tell("on-success", f"{FUNCTION}:f", big)
    rig.accepted.problem = errors.function_not_found("x")
    with pytest.raises(DeliveryFailed, match="Function not found"):
        await rig.tell("on-success", f"{FUNCTION}:f")


@pytest.mark.parametrize(
    ("kind", "target", "word"),
    [
        ("on-failure", "arn:aws:s3:::bucket", "'s3' are not supported"),
        ("dead-letter", f"{FUNCTION}:f", "an SQS queue or an SNS topic"),
        ("dead-letter", "http://x", "an SQS queue or an SNS topic"),
    ],
)
async def test_what_is_no_target(rig: Rig, kind: str, target: str, word: str) -> None:
    with pytest.raises(DeliveryFailed, match=word):
        await rig.tell(kind, target)
