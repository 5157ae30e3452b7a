"""Response streaming through AWS's own clients: what comes when, and every way that it can end."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import botocore.exceptions
import pytest

from tests.support.cluster import Cluster, processes_of

STREAMER = """
import { LambdaClient, InvokeWithResponseStreamCommand } from '@aws-sdk/client-lambda';
import { setTimeout as sleep } from 'node:timers/promises';
import { once } from 'node:events';

export const handler = awslambda.streamifyResponse(async (event, stream, context) => {
  switch (event.do) {
    case 'slowly':
      stream.write('first');
      await sleep(2000);
      stream.write('second');
      break;
    case 'prelude':
      stream = awslambda.HttpResponseStream.from(stream, {
        statusCode: 418, headers: { 'x-tea': 'green' }, cookies: ['a=b'],
      });
      stream.write('pot');
      break;
    case 'early':
      throw new TypeError('before');
    case 'late':
      stream.write('part');
      await sleep(50);
      throw new TypeError('after');
    case 'exit':
      stream.write('part');
      await sleep(200);
      process.exit(3);
    case 'sleep':
      stream.write('part');
      await sleep(60000);
      break;
    case 'pour': {
      const piece = Buffer.alloc(65536, 'x');
      for (let sent = 0; sent < event.bytes; sent += piece.length) {
        if (!stream.write(piece)) await once(stream, 'drain');
      }
      break;
    }
    case 'sdk': {  // another function, or this one, as the SDK for JavaScript reads it
      const answer = await new LambdaClient({}).send(new InvokeWithResponseStreamCommand({
        FunctionName: event.function, Payload: JSON.stringify(event.event), LogType: 'Tail',
      }));
      let text = '';
      for await (const one of answer.EventStream) {
        if (one.PayloadChunk) text += Buffer.from(one.PayloadChunk.Payload).toString();
        else stream.write(JSON.stringify({ text, complete: one.InvokeComplete }));
      }
      break;
    }
  }
  stream.end();
});
"""
NODE = {"Runtime": "nodejs22.x", "MemorySize": 256}


def event(**members: object) -> bytes:
    return json.dumps(members).encode()


@pytest.fixture
def invoker(cluster: Cluster, name: str) -> Iterator[None]:
    """Let the function invoke functions, as docs/security.md says."""
    user = f"--user=klambda:function:default:{name}"
    cluster.kubectl("create", "rolebinding", name, "--clusterrole=klambda-invoker", user)
    yield
    cluster.kubectl("delete", "rolebinding", name)


@pytest.mark.usefixtures("invoker")
def test_a_stream_as_the_sdks_read_it(cluster: Cluster, name: str) -> None:
    """One function, one case after another: first bytes early, errors early and late, the log."""
    cluster.create(name, STREAMER, Timeout=4, **NODE)

    slowly = cluster.invoke_stream(name, event(do="slowly"), LogType="Tail")
    assert slowly.body.endswith(b"firstsecond")
    first = next(at for at, piece in slowly.pieces if piece.endswith(b"first"))
    assert slowly.ended - first > 1, "the first piece came while the function slept"
    log = base64.b64decode(slowly.complete.pop("LogResult")).decode()
    assert "REPORT RequestId: " in log
    assert slowly.complete == {}

    prelude = cluster.invoke_stream(name, event(do="prelude"))
    head, body = prelude.body.split(bytes(8))
    assert json.loads(head) == {
        "statusCode": 418,
        "headers": {"x-tea": "green"},
        "cookies": ["a=b"],
    }
    assert body == b"pot"

    early = cluster.invoke_stream(name, event(do="early"))
    assert early.body == b""
    assert early.complete["ErrorCode"] == "Unhandled"
    assert json.loads(early.complete["ErrorDetails"])["errorMessage"] == "before"

    late = cluster.invoke_stream(name, event(do="late"))
    assert late.body.endswith(b"part")
    assert late.complete["ErrorCode"] == "Unhandled"
    assert json.loads(late.complete["ErrorDetails"])["errorMessage"] == "after"

    gone = cluster.invoke_stream(name, event(do="exit"))
    assert gone.body.endswith(b"part")
    assert json.loads(gone.complete["ErrorDetails"])["errorType"] == "Runtime.ExitError"

    timed_out = cluster.invoke_stream(name, event(do="sleep"))
    assert timed_out.body.endswith(b"part")
    details = json.loads(timed_out.complete["ErrorDetails"])
    assert details["errorType"] == "Sandbox.Timedout"

    through = event(do="sdk", function=name, event={"do": "prelude"})
    by_javascript = cluster.invoke_stream(name, through)
    assert by_javascript.complete == {}
    read = json.loads(by_javascript.body)
    assert read["text"].endswith("pot")
    assert set(read["complete"]) == {"LogResult"}

    buffered = cluster.invoke_raw(name, event(do="prelude"))
    assert buffered["Payload"] == prelude.body, "Invoke gives the same bytes in one piece"


def test_a_function_that_does_not_stream(cluster: Cluster, name: str) -> None:
    source = "def handler(event, context):\n    return 'x' * event if event else 1 / 0\n"
    cluster.create(name, source)
    assert cluster.invoke_stream(name, b"1000000").body == b'"' + b"x" * 1_000_000 + b'"'
    failed = cluster.invoke_stream(name, b"0")
    assert failed.body == b""
    assert json.loads(failed.complete["ErrorDetails"])["errorType"] == "ZeroDivisionError"
    dry = cluster.aws.invoke_with_response_stream(FunctionName=name, InvocationType="DryRun")
    assert dry["StatusCode"] == 204
    dry["EventStream"].close()
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        cluster.aws.invoke_with_response_stream(FunctionName=name, Payload=b"{no")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    with pytest.raises(cluster.aws.exceptions.ResourceNotFoundException):
        cluster.aws.invoke_with_response_stream(FunctionName=name, Qualifier="7")


def resident(cluster: Cluster, pids: list[int]) -> int:
    """Return the gateway's memory in bytes."""
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids]
    return sum(pages) * 4096


@pytest.mark.parametrize("megabytes", [32, pytest.param(200, marks=pytest.mark.full)])
def test_memory_is_constant_and_a_slow_reader_slows_nobody_else(
    cluster: Cluster, name: str, megabytes: int
) -> None:
    cluster.create(name, STREAMER, Timeout=120, **NODE)
    (gateway,) = cluster.pods_of("gateway")
    pids = list(processes_of(gateway["metadata"]["uid"]))
    assert cluster.invoke_stream(name, event(do="pour", bytes=1 << 20)).body[-1:] == b"x"
    before = peak = resident(cluster, pids)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, resident(cluster, pids))

    watcher = threading.Thread(target=watch)
    watcher.start()
    total = 0
    answer = cluster.aws.invoke_with_response_stream(
        FunctionName=name, Payload=event(do="pour", bytes=megabytes << 20)
    )
    try:
        for count, one in enumerate(answer["EventStream"]):
            total += len(one.get("PayloadChunk", {}).get("Payload", b""))
            if count == 50:  # it stops reading: others are served meanwhile
                time.sleep(1)
                assert cluster.invoke_stream(name, event(do="nothing")).complete == {}
    finally:
        answer["EventStream"].close()
        done.set()
        watcher.join()
    assert total >= megabytes << 20
    assert peak - before < 12 << 20
