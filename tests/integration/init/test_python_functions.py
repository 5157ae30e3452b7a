"""Functions under AWS's Python client: answers, failures and log lines are Lambda's (§b.1, g.5)."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from typing import Any

import pytest

from tests.support.instance_peer import eventually

from .conftest import Launch

LIMIT = 6291556
UUID = r"[0-9a-f-]{36}"


def handler(body: str, before: str = "") -> str:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{before}\ndef lambda_handler(event, context):\n{lines}\n"


async def test_an_event_becomes_an_answer(launch: Launch) -> None:
    running = await launch(handler("return {'area': event['length'] * event['width']}"))
    outcome = await running.connection.invoke({"length": 6, "width": 7})
    assert outcome.json == {"area": 42}
    assert outcome.accepted == {"attempt": outcome.attempt, "cold": True}
    assert outcome.head is not None
    assert outcome.head["contentType"] == "application/json"
    assert "functionError" not in outcome.head
    assert outcome.end is not None
    assert outcome.end["status"] == "success"
    assert outcome.end["bytesOut"] == len(outcome.body)
    assert 5 < outcome.end["maxMemoryMb"] < 128
    assert outcome.end["billedMs"] >= outcome.end["initMs"] + outcome.end["durationMs"]
    again = await running.connection.invoke({"length": 2, "width": 2})
    assert again.accepted is not None
    assert again.end is not None
    assert again.accepted["cold"] is False
    assert "initMs" not in again.end


async def test_what_was_started_ahead_has_no_init_in_its_report(launch: Launch) -> None:
    """§g.5: Init Duration is of environments on demand; billed is the run alone."""
    frame = {"initializationType": "provisioned-concurrency"}
    running = await launch(handler("pass"), frame=frame)
    outcome = await running.connection.invoke(1)
    assert outcome.tail.endswith(" MB\t\n")
    assert "Init Duration" not in outcome.tail
    assert outcome.end is not None
    assert "initMs" not in outcome.end


async def test_the_log_of_a_first_and_a_second_invocation(launch: Launch) -> None:
    running = await launch(handler("print('inside', event)", "print('loading')"))
    first = await running.connection.invoke(1)
    second = await running.connection.invoke(2)
    report = (
        rf"REPORT RequestId: {UUID}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\t"
        r"Memory Size: 128 MB\tMax Memory Used: \d+ MB\t"
    )
    parts = (
        r"dial \d+\.\d ms, assign \d+\.\d ms, fetch 0\.0 ms, unpack \d+\.\d ms, runtime \d+\.\d ms"
    )
    assert re.fullmatch(
        rf"START RequestId: {UUID} Version: \$LATEST\ninside 1\nEND RequestId: {UUID}\n{report}"
        rf"Init Duration: \d+\.\d\d ms\tPhases: {parts}\t\n",
        first.tail,
    ), first.tail
    assert re.fullmatch(
        rf"START RequestId: {UUID} Version: \$LATEST\ninside 2\nEND RequestId: {UUID}\n{report}\n",
        second.tail,
    ), second.tail
    await running.init.stop()
    lines = running.init.output
    assert re.match(r"INIT_START Runtime Version: python:3.13\S*\tRuntime Version ARN: arn:", lines)
    assert lines.split("\n", 1)[1] == "loading\n" + first.tail + second.tail


async def test_output_belongs_to_the_invocation_that_wrote_it(launch: Launch) -> None:
    body = (
        "import sys, os\nfor n in range(50): print(event, n, flush=n % 2 == 0)\nos.write(2, b'end')"
    )
    running = await launch(handler(body))
    for number in range(20):
        outcome = await running.connection.invoke(number)
        lines = outcome.tail.splitlines()
        assert lines[1:51] == [f"{number} {n}" for n in range(50)]
        assert lines[51] == "end"
        assert lines[52].startswith("END ")


async def test_the_tail_is_the_last_4096_bytes(launch: Launch) -> None:
    running = await launch(handler("for n in range(3000): print('line', n)"))
    outcome = await running.connection.invoke()
    assert len(outcome.tail) == 4096
    assert "line 2999\nEND RequestId" in outcome.tail
    assert (await running.connection.invoke(logTail=False)).tail == ""


async def test_an_exception(launch: Launch) -> None:
    running = await launch(handler("raise ValueError('boom')"))
    outcome = await running.connection.invoke()
    assert outcome.head is not None
    assert outcome.end is not None
    assert outcome.head["functionError"] == "Unhandled"
    assert outcome.json["errorMessage"] == "boom"
    assert outcome.json["errorType"] == "ValueError"
    assert set(outcome.json) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (outcome.end["status"], outcome.end["errorType"]) == ("error", "ValueError")
    assert "Status:" not in outcome.tail


@pytest.mark.parametrize(
    ("source", "members", "kind", "message"),
    [
        ("import nothere", {}, "Runtime.ImportModuleError", "No module named 'nothere'"),
        ("x = 1", {}, "Runtime.HandlerNotFound", "Handler 'lambda_handler' missing on module"),
        ("x = 1", {"handler": "bad"}, "Runtime.MalformedHandlerName", "Bad handler 'bad'"),
        ("def f(:\n", {}, "Runtime.UserCodeSyntaxError", "Syntax error in module"),
    ],
)
async def test_a_function_that_cannot_start(
    launch: Launch, source: str, members: dict[str, Any], kind: str, message: str
) -> None:
    running = await launch(source, **members)
    for _ in range(2):
        outcome = await running.connection.invoke()
        assert outcome.head is not None
        assert outcome.end is not None
        assert outcome.head["functionError"] == "Unhandled"
        assert outcome.json["errorType"] == kind
        assert message in outcome.json["errorMessage"]
        assert (outcome.end["status"], outcome.end["errorType"]) == ("error", kind)
    assert f"Phase: invoke\tStatus: error\tError Type: {kind}" in outcome.tail
    assert f"Status: error\tError Type: {kind}\n" in outcome.tail


async def test_an_error_of_the_functions_own_while_loading(launch: Launch) -> None:
    """§b.1: the body is the runtime's; the platform's lines know but names of its own kind."""
    running = await launch("class Odd(Exception): pass\nraise Odd('no')\n")
    outcome = await running.connection.invoke()
    assert (outcome.json["errorType"], outcome.json["errorMessage"]) == ("Odd", "no")
    assert re.search(r"\nREPORT .*\tStatus: error\tError Type: Runtime.Unknown\t", outcome.tail)
    assert "Phase: init\tStatus: error\tError Type: Runtime.Unknown\n" in running.init.output


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import sys; sys.exit(1)", "exit status 1"),
        ("import os; os._exit(7)", "exit status 7"),
        ("import os; os.kill(os.getpid(), 9)", "signal: killed"),
        ("import ctypes; ctypes.string_at(0)", "signal: segmentation fault"),
        ("import os; os.abort()", "signal: aborted"),
    ],
)
async def test_a_runtime_that_ends(launch: Launch, body: str, reason: str) -> None:
    source = handler(f"if event: {body}\nreturn seen.append(1) or len(seen)", "seen = []")
    running = await launch(source)
    assert (await running.connection.invoke(0)).json == 1
    assert (await running.connection.invoke(0)).json == 2
    request = "8f5ee9a2-0000-4000-8000-000000000001"
    outcome = await running.connection.invoke(1, requestId=request)
    if "sys.exit" not in body:  # the client turns SystemExit into an error answer of its own
        text = f"Runtime exited with error: {reason}"
        assert outcome.json == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request} Error: {text}",
        }
        assert f"RequestId: {request} Error: {text}\nRuntime.ExitError\nEND" in outcome.tail
        assert outcome.tail.endswith("\tStatus: error\tError Type: Runtime.ExitError\n")
    assert outcome.head is not None
    assert outcome.end is not None
    assert outcome.head["functionError"] == "Unhandled"
    assert outcome.end["status"] == "error"
    assert (await running.connection.invoke(0)).json == 1, "a fresh process: globals are lost"


async def test_a_clean_exit_has_no_reason(launch: Launch) -> None:
    running = await launch(handler("import os; os._exit(0)"))
    outcome = await running.connection.invoke()
    assert outcome.json["errorMessage"].endswith("Error: Runtime exited without providing a reason")


async def test_an_exit_while_loading(launch: Launch) -> None:
    """The lines are in the order recorded of AWS: START follows the start inside it."""
    running = await launch("import os; print('loading', flush=True); os._exit(3)")
    outcome = await running.connection.invoke()
    assert outcome.json["errorType"] == "Runtime.ExitError"
    assert outcome.json["errorMessage"].endswith("Runtime exited with error: exit status 3")
    report = r"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: {}\tStatus: error"
    report += r"\tError Type: Runtime\.ExitError\n"
    first = "loading\n" + report.format("init")
    await eventually(lambda: re.search(first, running.init.output) is not None)
    assert re.match(
        "loading\n" + report.format("invoke") + r"START RequestId: .*\nRequestId: .* Error: "
        r"Runtime exited with error: exit status 3\nRuntime\.ExitError\nEND .*\nREPORT ",
        outcome.tail,
    ), outcome.tail


async def test_a_start_that_always_fails_is_tried_ever_more_slowly(launch: Launch) -> None:
    running = await launch(
        "import time; print('at', time.monotonic(), flush=True); raise RuntimeError('no luck')",
        timeout=20,
    )
    for _ in range(4):
        assert (await running.connection.invoke()).json["errorMessage"] == "no luck"
    await eventually(lambda: running.init.output.count("at ") == 5)
    times = [float(at) for at in re.findall(r"^at ([\d.]+)$", running.init.output, re.MULTILINE)]
    assert len(times) == 5, "the INIT phase, then one start in each invocation"
    gaps = [after - before for before, after in itertools.pairwise(times)]
    for gap, least in zip(gaps[1:], (0.1, 0.2, 0.4), strict=True):
        assert gap >= least


async def test_a_timeout_answers_at_the_deadline_and_starts_afresh(launch: Launch) -> None:
    source = handler(
        "print('sleeping')\nif event: time.sleep(event)\nreturn seen.append(1) or len(seen)",
        "import time\nseen = []",
    )
    running = await launch(source, timeout=1)
    assert (await running.connection.invoke(0)).json == 1
    request = "8f5ee9a2-0000-4000-8000-000000000002"
    began = time.monotonic()
    outcome = await running.connection.invoke(30, requestId=request)
    assert time.monotonic() - began > 0.99
    assert outcome.json == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {request} Error: Task timed out after 1.00 seconds",
    }
    assert outcome.head is not None
    assert outcome.end is not None
    assert outcome.head["functionError"] == "Unhandled"
    assert (outcome.end["status"], outcome.end["billedMs"]) == ("timeout", 1000)
    stamp = r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z"
    line = rf"sleeping\n{stamp} {request} Task timed out after 1.00 seconds"
    assert re.search(rf"{line}\n\nEND RequestId", outcome.tail), outcome.tail
    assert "Duration: 1000.00 ms\tBilled Duration: 1000 ms" in outcome.tail
    assert outcome.tail.endswith("\tStatus: timeout\n")
    assert (await running.connection.invoke(0)).json == 1


async def test_the_context_knows_its_deadline_and_names(launch: Launch) -> None:
    names = ["function_name", "function_version", "memory_limit_in_mb", "log_group_name"]
    names += ["invoked_function_arn", "aws_request_id"]
    body = f"""r = {{n: getattr(context, n) for n in {names!r}}}
r['left'] = context.get_remaining_time_in_millis()
r['client'] = context.client_context and context.client_context.custom
r['identity'] = context.identity.cognito_identity_id
r['trace'] = os.environ['_X_AMZN_TRACE_ID']
r['stream'] = context.log_stream_name
return r"""
    running = await launch(handler(body, "import os"), timeout=20, memorySize=256)
    outcome = await running.connection.invoke(
        requestId="8f5ee9a2-0000-4000-8000-000000000003",
        functionArn="arn:aws:lambda:us-east-1:123456789012:function:hello:live",
        traceId="Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
        clientContext=json.dumps({"custom": {"a": "b"}}),
        cognitoIdentity={"cognitoIdentityId": "id-1", "cognitoIdentityPoolId": "pool-1"},
    )
    result = outcome.json
    assert 19000 < result.pop("left") <= 20000
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", result.pop("stream"))
    assert result == {
        "function_name": "hello",
        "function_version": "$LATEST",
        "memory_limit_in_mb": "256",
        "log_group_name": "/aws/lambda/hello",
        "invoked_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:hello:live",
        "aws_request_id": "8f5ee9a2-0000-4000-8000-000000000003",
        "client": {"a": "b"},
        "identity": "id-1",
        "trace": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
    }


async def test_six_megabytes_in_and_out(launch: Launch) -> None:
    running = await launch(handler("return event"), timeout=60, memorySize=512)
    event = json.dumps("x" * (6291456 - 2)).encode()
    assert len(event) == 6291456
    for _ in range(3):
        outcome = await running.connection.invoke(event, limit=60)
        assert outcome.body == event


async def test_the_largest_response_and_one_byte_more(launch: Launch) -> None:
    running = await launch(handler("return 'x' * event"), timeout=60, memorySize=512)
    outcome = await running.connection.invoke(LIMIT - 2, limit=60)
    assert len(outcome.body) == LIMIT
    outcome = await running.connection.invoke(LIMIT - 1, limit=60)
    assert outcome.json == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": f"Response payload size ({LIMIT + 1} bytes) exceeded maximum allowed "
        f"payload size ({LIMIT} bytes).",
    }
    assert outcome.end is not None
    assert outcome.end["status"] == "error"
    outcome = await running.connection.invoke(10, limit=60)
    assert outcome.json == "x" * 10


@pytest.mark.parametrize(
    "event", [b"{", b"{'a': 1}", b"nul", b"\xff", b"[1,]", b" ", b'"' + b"x" * 20000]
)
async def test_an_event_that_is_not_json_runs_nothing(launch: Launch, event: bytes) -> None:
    running = await launch(handler("print('ran')"))
    outcome = await running.connection.invoke(event)
    assert outcome.refused is not None
    assert outcome.refused["reason"] == "invalid-json"
    assert outcome.refused["message"]
    assert "START RequestId" not in running.init.output
    assert (await running.connection.invoke(1)).accepted is not None


async def test_no_event_is_an_empty_object(launch: Launch) -> None:
    running = await launch(handler("return event"))
    assert (await running.connection.invoke(b"")).body == b"{}"


async def test_background_threads_stand_still_between_invocations(launch: Launch) -> None:
    before = """import threading, time
ticks = []
def tick():
    while True:
        ticks.append(1)
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()"""
    running = await launch(handler("return len(ticks)", before))
    first = (await running.connection.invoke()).json
    await asyncio.sleep(1)
    assert (await running.connection.invoke()).json - first < 30


async def test_without_the_freezer_they_go_on(launch: Launch) -> None:
    before = """import threading, time
ticks = []
def tick():
    while True:
        ticks.append(1)
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()"""
    running = await launch(handler("return len(ticks)", before), settings={"KLAMBDA_FREEZE": "off"})
    first = (await running.connection.invoke()).json
    await asyncio.sleep(1)
    assert (await running.connection.invoke()).json - first > 30


async def test_a_function_above_its_memory_is_ended(launch: Launch) -> None:
    body = "keep = bytearray(event << 20)\nimport time; time.sleep(event / 100)\nreturn 'alive'"
    running = await launch(handler(body), timeout=20)
    assert (await running.connection.invoke(20)).json == "alive"
    outcome = await running.connection.invoke(300)
    assert outcome.json["errorType"] == "Runtime.ExitError"
    assert outcome.json["errorMessage"].endswith("Runtime exited with error: signal: killed")
    # As recorded of AWS: only the report (and events) call it by its name, capped at memorySize.
    assert "signal: killed\nRuntime.ExitError\nEND RequestId" in outcome.tail
    assert "\tMax Memory Used: 128 MB\tStatus: error\t" in outcome.tail
    assert outcome.tail.endswith("\tError Type: Runtime.OutOfMemory\n")
    assert outcome.end is not None
    assert (outcome.end["errorType"], outcome.end["maxMemoryMb"]) == ("Runtime.OutOfMemory", 128)


async def test_tmp_is_kept_over_a_crash(launch: Launch) -> None:
    source = handler(
        """p = os.path.join(os.environ['LAMBDA_TASK_ROOT'], '../../tmp/kept')
if event: open(p, 'w').write('x'); os._exit(1)
return os.path.exists(p)""",
        "import os",
    )
    running = await launch(source)
    await running.connection.invoke(1)
    assert (await running.connection.invoke(0)).json is True


async def test_lines_are_objects_when_the_function_says_so(launch: Launch) -> None:
    source = handler("print('plain')\nif event: raise ValueError('x')")
    running = await launch(source, logFormat="JSON", systemLogLevel="DEBUG", version="7")
    outcome = await running.connection.invoke(0)
    lines = [json.loads(line) for line in outcome.tail.splitlines() if line.startswith("{")]
    kinds = [line.get("type", "function") for line in lines]
    assert kinds == ["platform.start", "platform.runtimeDone", "platform.report"]
    assert lines[0]["record"]["version"] == "7"
    assert lines[2]["record"]["status"] == "success"
    assert "START RequestId" not in outcome.tail
    assert "plain" in outcome.tail


@pytest.mark.slow
async def test_an_init_phase_of_more_than_ten_seconds(launch: Launch) -> None:
    """The start is tried again inside the invocation, under the function's timeout."""
    running = await launch(handler("return 1", "import time; time.sleep(10.5)"), timeout=20)
    outcome = await running.connection.invoke(0, remaining=60000, limit=40)
    assert outcome.json == 1
    assert outcome.end is not None
    assert outcome.end["durationMs"] > 10000
    assert "initMs" not in outcome.end
    lines = running.init.output
    assert re.search(
        r"INIT_REPORT Init Duration: 10\d\d\d\.\d\d ms\tPhase: init\tStatus: timeout\n", lines
    )


async def test_a_start_inside_an_invocation_that_runs_out_of_time(launch: Launch) -> None:
    source = handler(
        "import os\nos._exit(1)",
        "import os, time\np = os.environ['LAMBDA_TASK_ROOT'] + '/../../tmp/mark'\n"
        "if os.path.exists(p): time.sleep(30)\nopen(p, 'w').close()",
    )
    running = await launch(source, timeout=1)
    await running.connection.invoke(0)
    outcome = await running.connection.invoke(0)
    assert outcome.json["errorType"] == "Sandbox.Timedout"
    assert re.search(
        r"^INIT_REPORT .*Phase: invoke\tStatus: timeout\nSTART .*\n.* Task timed out after 1.00 "
        r"seconds\n\nEND .*\nREPORT .*Status: timeout\n$",
        outcome.tail,
    ), outcome.tail
