"""Extensions: registration, events, what waits for what, and the end (reference §g.2)."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance_peer import END, HEAD, eventually

from .conftest import Launch, Running

EXTENSION = f"#!{sys.executable}\n" + (Path(__file__).parent / "raw_extension.py").read_text()
HANDLER = """
import time
def lambda_handler(event, context):
    print(f'handler {event}\\n', end='', flush=True)  # in one write: nothing comes between
    if event == 'sleep':
        time.sleep(60)
    return event
"""


async def start(launch: Launch, tmp_path: Path, plans: dict[str, Any], **members: Any) -> Running:
    """Launch a function whose layers brought these extensions."""
    logs = tmp_path / "instance-0" / "tmp"
    environment = {"EXTENSIONS": json.dumps(plans), "EXTENSION_LOGS": str(logs)}
    opt = {f"extensions/{name}": EXTENSION for name in plans}
    source: str = members.pop("source", HANDLER)
    settings: dict[str, Any] = {"environment": environment, "timeout": 5} | members
    return await launch(source, opt=opt, **settings)


def seen(running: Running, name: str) -> list[dict[str, Any]]:
    text = running.path(f"tmp/{name}.log").read_text()
    return [json.loads(line) for line in text.splitlines()]


def events(running: Running, name: str) -> list[dict[str, Any]]:
    return [entry["event"] for entry in seen(running, name) if "event" in entry]


async def test_an_extension_sees_every_invocation(launch: Launch, tmp_path: Path) -> None:
    running = await start(launch, tmp_path, {"eye": {}, "last": {"events": ["SHUTDOWN"]}})
    for n in range(2):
        outcome = await running.connection.invoke(n, requestId=f"r-{n}", traceId="Root=1-2-3")
        assert outcome.json == n
        assert "eye sees INVOKE" in outcome.tail
    environment, registered, first, second = seen(running, "eye")[:4]
    assert registered == {
        "registered": [
            200,
            {
                "functionName": "hello",
                "functionVersion": "$LATEST",
                "handler": "lambda_function.lambda_handler",
                "accountId": "123456789012",
            },
        ]
    }
    assert not [name for name in environment["environment"] if name.startswith("_")]
    assert "LAMBDA_TASK_ROOT" not in environment["environment"]
    deadline = first["event"].pop("deadlineMs")
    assert 0 < deadline / 1000 - time.time() < 5
    assert first["status"] == 200
    assert first["id"] != second["id"]
    assert first["event"] == {
        "eventType": "INVOKE",
        "requestId": "r-0",
        "invokedFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:hello",
        "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3"},
    }
    assert events(running, "last") == []
    output = running.init.output
    assert "EXTENSION\tName: eye\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n" in output
    assert "EXTENSION\tName: last\tState: Ready\tEvents: [SHUTDOWN]\n" in output
    assert output.index("EXTENSION\tName: last") < output.index("START RequestId: r-0")


async def test_the_answer_does_not_wait_for_extensions_but_the_end_does(
    launch: Launch, tmp_path: Path
) -> None:
    running = await start(launch, tmp_path, {"slow": {"work": 0.6}})
    await running.connection.invoke("warm")
    began = time.monotonic()
    _, queue = running.connection.start(b'"x"')
    times = {}
    while END not in times:
        frame = await queue.get()
        times[frame.type] = time.monotonic() - began
    assert times[END] - times[HEAD] > 0.1
    assert times[END] > 0.6
    assert frame.header["durationMs"] > 600


async def test_an_extension_that_is_late_is_a_timeout(launch: Launch, tmp_path: Path) -> None:
    running = await start(launch, tmp_path, {"late": {"work": 60}}, timeout=1)
    outcome = await running.connection.invoke("x")
    assert outcome.json == "x", "the answer was out before"
    assert outcome.end is not None
    assert outcome.end["status"] == "timeout"
    assert "Task timed out after 1.00 seconds" in outcome.tail
    assert "Status: timeout" in outcome.tail


@pytest.mark.parametrize(
    ("plan", "kind", "text"),
    [
        ({"exit": 3}, "Extension.Crash", "exit status 3"),
        ({"exit": 0}, "Extension.Crash", "exit code 0"),
        ({"initError": "Extension.Mine"}, "Extension.InitError", "Extension.Mine"),
    ],
    ids=["crash", "exit", "init error"],
)
async def test_an_extension_that_does_not_start(
    launch: Launch, tmp_path: Path, plan: dict[str, Any], kind: str, text: str
) -> None:
    running = await start(launch, tmp_path, {"bad": plan})
    request = "00000000-0000-4000-8000-000000000001"
    outcome = await running.connection.invoke("x", requestId=request)
    assert outcome.json == {
        "errorType": kind,
        "errorMessage": f"RequestId: {request} Error: {text}",
    }
    assert "INIT_REPORT" in running.init.output
    assert "handler" not in running.init.output, "the runtime was never started"


async def test_a_file_that_is_no_program(launch: Launch, tmp_path: Path) -> None:
    running = await launch(HANDLER, opt={"extensions/none": "#!/nothing/here\n"})
    outcome = await running.connection.invoke("x")
    assert outcome.json["errorType"] == "Extension.LaunchError"
    assert "EXTENSION\tName: none\tState: LaunchError\tEvents: []\tError Type: " in (
        running.init.output
    )


@pytest.mark.parametrize(
    ("plan", "kind"),
    [({"crash": 9}, "Extension.Crash"), ({"exitError": "Extension.Mine"}, "Extension.ExitError")],
)
async def test_an_extension_that_ends_in_an_invocation(
    launch: Launch, tmp_path: Path, plan: dict[str, Any], kind: str
) -> None:
    running = await start(launch, tmp_path, {"bad": plan})
    outcome = await running.connection.invoke("sleep")
    assert outcome.json["errorType"] == kind
    assert outcome.end is not None
    assert outcome.end["status"] == "error"


async def test_a_function_that_times_out_shuts_its_extensions_down(
    launch: Launch, tmp_path: Path
) -> None:
    running = await start(launch, tmp_path, {"eye": {}}, timeout=1)
    outcome = await running.connection.invoke("sleep")
    assert outcome.json["errorType"] == "Sandbox.Timedout"
    await eventually(lambda: any("gone" in entry for entry in seen(running, "eye")))
    last = events(running, "eye")[-1]
    assert last.pop("deadlineMs") > 0
    assert last == {"eventType": "SHUTDOWN", "shutdownReason": "timeout"}
    assert (await running.connection.invoke("again")).json == "again", "all is started anew"
    assert events(running, "eye")[-1]["eventType"] == "INVOKE"


STUBBORN = """
import signal, time, pathlib, os
note = pathlib.Path(os.environ['EXTENSION_LOGS']) / 'runtime.log'
signal.signal(signal.SIGTERM, lambda *_: note.write_text('SIGTERM'))
def lambda_handler(event, context):
    return 1
"""


@pytest.mark.parametrize(
    ("plan", "least"), [({}, 0.0), ({"shutdown": 60}, 1.8)], ids=["obedient", "stubborn"]
)
async def test_the_end_of_an_environment(
    launch: Launch, tmp_path: Path, plan: dict[str, Any], least: float
) -> None:
    """SIGTERM to the runtime, then SHUTDOWN to extensions, then the end, in two seconds."""
    running = await start(launch, tmp_path, {"eye": plan}, source=STUBBORN)
    await running.connection.invoke(1)
    began = time.monotonic()
    os.kill(running.pid, signal.SIGTERM)
    assert running.init.process is not None
    assert await running.init.process.wait() == 0
    assert time.monotonic() - began > least
    assert events(running, "eye")[-1]["shutdownReason"] == "spindown"
    assert any("gone" in entry for entry in seen(running, "eye")) is (not plan)
    assert running.path("tmp/runtime.log").read_text() == "SIGTERM"
    assert not any("signal" in entry for entry in seen(running, "eye")), "an event, no signal"


async def test_without_extensions_there_is_no_sigterm(launch: Launch, tmp_path: Path) -> None:
    logs = str(tmp_path / "instance-0" / "tmp")
    running = await launch(STUBBORN, environment={"EXTENSION_LOGS": logs})
    await running.connection.invoke(1)
    os.kill(running.pid, signal.SIGTERM)
    assert running.init.process is not None
    assert await running.init.process.wait() == 0
    assert not running.path("tmp/runtime.log").exists()


INTERNAL = """
import http.client, json, os, threading
def call(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])
    connection.request(method, '/2020-01-01/extension' + path, body and json.dumps(body), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read()), dict(response.getheaders())
name = {'Lambda-Extension-Name': 'inside'}
refused = call('POST', '/register', {'events': ['SHUTDOWN']}, name)[:2]
status, _, headers = call('POST', '/register', {'events': ['INVOKE']}, name)
me = {'Lambda-Extension-Identifier': headers['Lambda-Extension-Identifier']}
seen = []
def follow():
    while True:
        seen.append(call('GET', '/event/next', None, me)[1].get('requestId'))
threading.Thread(target=follow, daemon=True).start()
def lambda_handler(event, context):
    late = call('POST', '/register', {'events': []}, {'Lambda-Extension-Name': 'late'})[:2]
    odd = call('GET', '/event/next', None, {'Lambda-Extension-Identifier': 'x'})[:2]
    return {'seen': seen, 'refused': refused, 'late': late, 'odd': odd}
"""


async def test_an_internal_extension(launch: Launch) -> None:
    running = await launch(INTERNAL)
    await running.connection.invoke(1, requestId="r-1")
    answer = (await running.connection.invoke(1, requestId="r-2")).json
    assert answer["seen"][0] == "r-1"
    status, refused = answer["refused"]
    assert (status, refused["errorType"]) == (403, "Extension.InvalidEventType")
    assert answer["late"] == [
        403,
        {
            "errorType": "Extension.RegistrationClosed",
            "errorMessage": "Extension registration closed already",
        },
    ]
    assert answer["odd"][1]["errorType"] == "Extension.InvalidExtensionIdentifier"
