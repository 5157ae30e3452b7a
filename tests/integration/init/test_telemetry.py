"""Telemetry: what subscribers are told; LoggingConfig's levels (reference §g.3, §g.5)."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance_peer import eventually

from .conftest import Launch, Running
from .test_extensions import HANDLER, seen, start


def told(running: Running, name: str = "eye") -> list[dict[str, Any]]:
    batches = [entry["telemetry"] for entry in seen(running, name) if "telemetry" in entry]
    return [event for batch in batches for event in batch]


def types(running: Running) -> list[str]:
    return [event["type"] for event in told(running)]


def records(running: Running, kind: str) -> list[Any]:
    return [event["record"] for event in told(running) if event["type"] == kind]


async def until_told(running: Running, kind: str, count: int = 1) -> None:
    await eventually(lambda: len(records(running, kind)) >= count)


async def test_the_life_of_an_environment_as_telemetry(launch: Launch, tmp_path: Path) -> None:
    # It works for 300 ms on each invocation: events of 25 ms' patience arrive meanwhile.
    running = await start(launch, tmp_path, {"eye": {"telemetry": {}, "work": 0.3}})
    trace = "Root=1-5e1b4151-5ac6c58f3375aa3c7c6b73c9"
    await running.connection.invoke("first", requestId="r-1", traceId=trace)
    await running.connection.invoke("second", requestId="r-2")
    await until_told(running, "platform.report")
    assert {"subscribed": [200, "OK"]} in seen(running, "eye")
    order = [kind for kind in types(running) if kind.startswith("platform.")]
    assert order[:8] == [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ]
    (began,) = records(running, "platform.initStart")
    assert began["initializationType"] == "on-demand"
    assert (began["phase"], began["functionName"]) == ("init", "hello")
    assert began["instanceMaxMemory"] == 128 << 20
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", began["instanceId"])
    assert records(running, "platform.initRuntimeDone") == [
        {"initializationType": "on-demand", "phase": "init", "status": "success"}
    ]
    assert records(running, "platform.extension") == [
        {"name": "eye", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    ]
    assert records(running, "platform.start")[0] == {
        "requestId": "r-1",
        "version": "$LATEST",
        "tracing": {"type": "X-Amzn-Trace-Id", "value": trace},
    }
    done = records(running, "platform.runtimeDone")[0]
    assert (done["requestId"], done["status"]) == ("r-1", "success")
    assert done["metrics"]["producedBytes"] == len('"first"')
    assert (
        done["metrics"]["durationMs"]
        < records(running, "platform.report")[0]["metrics"]["durationMs"]
    )
    spans = {span["name"]: span["durationMs"] for span in done["spans"]}
    assert list(spans) == ["responseLatency", "responseDuration", "runtimeOverhead"]
    assert 0 < sum(spans.values()) <= done["metrics"]["durationMs"] + 1
    (overhead,) = records(running, "platform.report")[0]["spans"]
    assert overhead["name"] == "extensionOverhead"
    assert overhead["durationMs"] > 250
    assert done["tracing"]["value"] == trace
    assert "handler first" in records(running, "function")
    assert "eye sees INVOKE" in records(running, "extension")
    for event in told(running):
        assert len(event["time"]) == len("2022-10-12T00:00:15.064Z")
    assert "TELEMETRY\tName: eye\tState: Subscribed\tTypes: [Platform, Function, Extension]" in (
        running.init.output
    )


async def test_a_timeout_is_told_before_the_end_and_after_the_new_start(
    launch: Launch, tmp_path: Path
) -> None:
    running = await start(launch, tmp_path, {"eye": {"telemetry": {}}}, timeout=1)
    await running.connection.invoke("sleep", requestId="r-1")
    await until_told(running, "platform.runtimeDone")
    assert records(running, "platform.runtimeDone")[0]["status"] == "timeout"
    for turn in range(2, 60):  # on a busy machine a new start may take longer than the timeout
        await running.connection.invoke("again", requestId=f"r-{turn}")
        if records(running, "platform.report"):
            break
        await asyncio.sleep(0.1)
    assert records(running, "platform.report")[0]["requestId"] == "r-1", "kept for who comes next"
    assert records(running, "platform.initStart")[-1]["phase"] == "invoke"


@pytest.mark.parametrize(
    ("telemetry", "status", "error"),
    [
        ({"schemaVersion": "1999-01-01"}, 400, "ValidationError"),
        ({"types": ["everything"]}, 400, "ValidationError"),
        ({"buffering": {"maxItems": 5}}, 400, "ValidationError"),
        (
            {"destination": {"protocol": "HTTP", "URI": "http://example.com/"}},
            400,
            "ValidationError",
        ),
    ],
)
async def test_subscriptions_that_are_refused(
    launch: Launch, tmp_path: Path, telemetry: dict[str, Any], status: int, error: str
) -> None:
    running = await start(launch, tmp_path, {"eye": {"telemetry": telemetry}})
    assert (await running.connection.invoke("x")).json == "x"
    (answer,) = [entry["subscribed"] for entry in seen(running, "eye") if "subscribed" in entry]
    assert (answer[0], answer[1]["errorType"]) == (status, error)


async def test_the_older_logs_api(launch: Launch, tmp_path: Path) -> None:
    plan = {"telemetry": {"schemaVersion": "2021-03-18"}, "api": "logs", "work": 0.3}
    running = await start(launch, tmp_path, {"eye": plan})
    await running.connection.invoke("x", requestId="r-1")
    await running.connection.invoke("y", requestId="r-2")
    await until_told(running, "platform.report")
    platform = [kind for kind in types(running) if kind.startswith("platform.")]
    assert platform[:6] == [
        "platform.logsSubscription",
        "platform.extension",
        "platform.start",
        "platform.runtimeDone",
        "platform.end",
        "platform.report",
    ]
    assert "handler x" in records(running, "function")


LEVELS = """
import json
def lambda_handler(event, context):
    for level in ('DEBUG', 'INFO', 'WARN', 'ERROR'):
        print(json.dumps({'level': level, 'message': 'said'}), flush=True)
    print('plain', flush=True)
    return event
"""


async def test_levels_of_json_logs(launch: Launch) -> None:
    running = await launch(
        LEVELS, logFormat="JSON", applicationLogLevel="WARN", systemLogLevel="WARN"
    )
    outcome = await running.connection.invoke(1)
    lines = outcome.tail.splitlines()
    assert [json.loads(line)["level"] for line in lines if line.startswith("{")] == [
        "WARN",
        "ERROR",
    ]
    assert lines[-1] == "plain", "no platform event below WARN"
    debug = await running.connection.invoke(2)
    assert "platform." not in debug.tail


async def test_system_events_at_debug(launch: Launch) -> None:
    running = await launch(HANDLER, logFormat="JSON", systemLogLevel="DEBUG")
    outcome = await running.connection.invoke("x", requestId="r-1")
    system = [json.loads(line) for line in outcome.tail.splitlines() if '"platform.' in line]
    assert [event["type"] for event in system] == [
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ]
    began = [json.loads(line)["type"] for line in running.init.output.splitlines()[:3]]
    assert began == ["platform.initStart", "platform.initRuntimeDone", "platform.initReport"]
