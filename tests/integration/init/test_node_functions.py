"""Functions under AWS's Node.js runtime client, unmodified."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from .conftest import Launch


def files(source: str) -> dict[str, str | bytes]:
    return {"index.mjs": source}


NODE: dict[str, Any] = {"runtime": "nodejs22.x", "handler": "index.handler", "memorySize": 256}


async def test_an_event_becomes_an_answer(launch: Launch, node_bootstrap: str) -> None:
    source = (
        "console.log('loading');\nlet n = 0;\nexport const handler = async (event, context) => {\n"
    )
    source += "  console.log('inside', event.length);\n"
    source += "  const area = event.length * event.width;\n"
    source += "  return {area, n: ++n, left: context.getRemainingTimeInMillis()};\n"
    source += "};"
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE)
    for turn in (1, 2):
        outcome = await running.connection.invoke({"length": 6, "width": 7})
        left = outcome.json["left"]
        assert outcome.json == {"area": 42, "n": turn, "left": left}
        assert 2000 < left <= 3000
        assert re.search(r"START .*\n.*\tINFO\tinside 6\nEND ", outcome.tail)


async def test_an_error(launch: Launch, node_bootstrap: str) -> None:
    source = "export const handler = async () => { throw new TypeError('boom'); };"
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE)
    outcome = await running.connection.invoke()
    assert outcome.head is not None
    assert outcome.head["functionError"] == "Unhandled"
    assert outcome.json["errorType"] == "TypeError"
    assert outcome.json["errorMessage"] == "boom"
    assert outcome.json["trace"][0] == "TypeError: boom"


CALLBACKS = """
let runs = 0;
exports.handler = (event, context, done) => {
  runs += 1;
  switch (event) {
    case 'answer': return done(null, { runs });
    case 'later': setTimeout(() => done(null, { runs }), 50); return;
    case 'error': return done(new TypeError('boom'));
    case 'text': return done('only words');
    case 'succeed': return context.succeed({ runs });
    case 'fail': return context.fail(new RangeError('gone'));
    case 'busy':  // something is left to do: the answer waits for it, unless told not to
      setTimeout(() => console.log('done waiting'), 300);
      return done(null, { runs });
    case 'hasty':
      context.callbackWaitsForEmptyEventLoop = false;
      setTimeout(() => {}, 60000);
      return done(null, { runs });
    case 'never': return undefined;
  }
};
"""


async def test_callback_handlers(launch: Launch, node_bootstrap: str) -> None:
    """As on AWS's nodejs22.x (docs/adr/0015)."""
    running = await launch({"index.cjs": CALLBACKS}, bootstrap=node_bootstrap, **NODE)
    invoke = running.connection.invoke
    assert (await invoke("answer")).json == {"runs": 1}
    assert (await invoke("later")).json == {"runs": 2}
    failed = await invoke("error")
    assert (failed.json["errorType"], failed.json["errorMessage"]) == ("TypeError", "boom")
    assert (await invoke("text")).json["errorMessage"] == "only words"
    assert (await invoke("succeed")).json == {"runs": 5}
    assert (await invoke("fail")).json["errorType"] == "RangeError"
    busy = await invoke("busy")
    assert "done waiting" in busy.tail
    assert busy.end is not None
    assert busy.end["durationMs"] > 290
    assert (await invoke("never")).json is None
    assert (await invoke("hasty")).json == {"runs": 9}


async def test_the_prelude_of_an_http_answer(launch: Launch, node_bootstrap: str) -> None:
    source = """export const handler = awslambda.streamifyResponse(async (event, stream) => {
  const http = awslambda.HttpResponseStream.from(stream, { statusCode: 201, cookies: ['a=b'] });
  http.write('body');
  http.end();
});"""
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE)
    outcome = await running.connection.invoke(mode="streaming")
    assert outcome.head is not None
    assert outcome.head["contentType"] == "application/vnd.awslambda.http-integration-response"
    assert outcome.body == b'{"statusCode":201,"cookies":["a=b"]}' + bytes(8) + b"body"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("export const other = 1;", "Runtime.HandlerNotFound"),
        ("import 'nothere';", "Error"),  # the client's word for a module in a module
        ("export const handler = (;", "Runtime.UserCodeSyntaxError"),
    ],
)
async def test_a_function_that_cannot_start(
    launch: Launch, node_bootstrap: str, source: str, kind: str
) -> None:
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE)
    outcome = await running.connection.invoke()
    assert outcome.json["errorType"] == kind
    assert outcome.end is not None
    assert outcome.end["status"] == "error"


async def test_process_exit(launch: Launch, node_bootstrap: str) -> None:
    source = (
        "let n = 0;\nexport const handler = async (e) => { if (e) process.exit(e); return ++n; };"
    )
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE)
    assert (await running.connection.invoke(0)).json == 1
    outcome = await running.connection.invoke(3)
    assert outcome.json["errorType"] == "Runtime.ExitError"
    assert outcome.json["errorMessage"].endswith("Runtime exited with error: exit status 3")
    assert (await running.connection.invoke(0)).json == 1


async def test_a_rejection_that_nobody_handles(launch: Launch, node_bootstrap: str) -> None:
    source = "export const handler = async () => { Promise.reject(new Error('lost')); "
    source += "await new Promise(r => setTimeout(r, 100)); return 'fine'; };"
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE)
    outcome = await running.connection.invoke()
    assert outcome.json["errorType"] == "Runtime.UnhandledPromiseRejection"
    assert "Error: lost" in outcome.tail


async def test_six_megabytes(launch: Launch, node_bootstrap: str) -> None:
    source = "export const handler = async (event) => event;"
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE | {"timeout": 60})
    event = json.dumps("x" * (6291456 - 2)).encode()
    assert (await running.connection.invoke(event, limit=60)).body == event


async def test_a_streamed_response(launch: Launch, node_bootstrap: str) -> None:
    source = """export const handler = awslambda.streamifyResponse(async (event, stream) => {
  stream.setContentType('text/plain');
  for (let i = 0; i < event; i++) {
    stream.write('piece ' + i + '\\n');
    await new Promise(r => setTimeout(r, 20));
  }
  stream.end();
});"""
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE)
    outcome = await running.connection.invoke(3, mode="streaming")
    assert outcome.head is not None
    assert outcome.head["mode"] == "streaming"
    assert outcome.body.endswith(b"piece 0\npiece 1\npiece 2\n")
    assert len([p for p in outcome.pieces if p]) >= 3, "as it was written, not at the end"
    buffered = await running.connection.invoke(2)
    assert buffered.body.endswith(b"piece 0\npiece 1\n")


async def test_time_out_and_start_again(launch: Launch, node_bootstrap: str) -> None:
    source = "export const handler = async (e) => { while (e); return 'fine'; };"
    running = await launch(files(source), bootstrap=node_bootstrap, **NODE | {"timeout": 1})
    outcome = await running.connection.invoke(1)
    assert outcome.json["errorType"] == "Sandbox.Timedout"
    assert (await running.connection.invoke(0)).json == "fine"
