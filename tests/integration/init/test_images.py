"""Container images: their own entry point, their own directory, their own environment (§b.1, h)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.instance_peer import (
    ASSIGN,
    ASSIGNED,
    TOKEN,
    Connection,
    Gateway,
    Init,
    assignment,
)

SPY = """
import http.client, json, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
base = "/2018-06-01/runtime/invocation"
while True:
    api.request("GET", f"{base}/next")
    answer = api.getresponse()
    answer.read()
    request = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    seen = json.dumps([dict(os.environ), os.getcwd()])
    api.request("POST", f"{base}/{request}/response", seen)
    api.getresponse().read()
"""


def assign_image(connection: Connection, image: dict[str, Any], **members: Any) -> None:
    """Tell an instance to be a container image: no runtime, no code."""
    text = assignment(b"", runtime="", handler="", image=image, **members)
    del text["code"]
    connection.send(ASSIGN, {"assignment": text, "endpoints": {}})


async def started(peer: Gateway, init: Init, image: dict[str, Any], **members: Any) -> Connection:
    own = {"IMAGE_VARIABLE": "of the image", "PATH": f"/nowhere:{Path(sys.executable).parent}"}
    await init.start(f"127.0.0.1:{peer.port}", **own)
    connection = await peer.connection()
    assign_image(connection, image, **members)
    await connection.expect(ASSIGNED)
    return connection


@pytest.fixture
def init(bare: Any) -> Init:
    made: Init = bare("#!/bin/sh\nexit 9\n")
    return made


async def test_an_image_runs_its_command_in_its_directory(
    peer: Gateway, init: Init, tmp_path: Path
) -> None:
    command = [Path(sys.executable).name, "-c", SPY]
    image = {"command": command, "workingDirectory": str(tmp_path)}
    connection = await started(peer, init, image, environment={"MINE": "1"})
    environment, directory = (await connection.invoke()).json
    assert directory == str(tmp_path)
    assert environment["IMAGE_VARIABLE"] == "of the image"
    assert environment["MINE"] == "1"
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "hello"
    assert environment["PATH"].startswith("/nowhere:")
    assert not environment.keys() & {"_HANDLER", "AWS_EXECUTION_ENV", "KLAMBDA_TOKEN", "HOSTNAME"}
    assert TOKEN not in environment.values()


@pytest.mark.parametrize(
    ("image", "kind", "text"),
    [
        ({"command": ["no-such-program"]}, "Runtime.InvalidEntrypoint",
         'exec: "no-such-program": executable file not found in $PATH'),
        ({"command": ["/no/such/program"]}, "Runtime.InvalidEntrypoint",
         "fork/exec /no/such/program: no such file or directory"),
        ({"command": ["/bin/sh"], "workingDirectory": "/no/such/folder"},
         "Runtime.InvalidWorkingDir", "chdir /no/such/folder: no such file or directory"),
        ({"command": []}, "Runtime.InvalidEntrypoint",
         "the image has neither ENTRYPOINT nor CMD"),
        ({"command": ["/bin/sh", "-c", "exit 7"]}, "Runtime.ExitError",
         "Runtime exited with error: exit status 7"),
    ],
)  # fmt: skip
async def test_an_image_that_cannot_start(
    peer: Gateway, init: Init, image: dict[str, Any], kind: str, text: str
) -> None:
    connection = await started(peer, init, image)
    outcome = await connection.invoke()
    assert outcome.json["errorType"] == kind
    assert outcome.json["errorMessage"].endswith(f" Error: {text}")


def test_init_installs_itself(binary: Path, tmp_path: Path) -> None:
    """What the init container of an image without init does."""
    target = tmp_path / "init"
    subprocess.run([binary, "install", target], check=True)
    assert os.access(target, os.X_OK)
    done = subprocess.run([target, "version"], check=True, capture_output=True, text=True)
    assert done.stdout == "test\n"
    odd = subprocess.run([target, "dance"], capture_output=True, text=True, check=False)
    assert (odd.returncode, "unknown command" in odd.stderr) == (1, True)


WEB = """
import http.server, json, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"path": self.path, "body": json.loads(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Page)
place = os.path.join(os.environ["LAMBDA_TASK_ROOT"], "../../tmp/port")
open(place + ".new", "w").write(str(server.server_port))
os.rename(place + ".new", place)
server.serve_forever()
"""
ADAPTER = """
import http.client, json, os, threading, time
api = os.environ["AWS_LAMBDA_RUNTIME_API"]
def call(connection, method, path, body=None, headers={}):
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.headers, answer.read()
own = http.client.HTTPConnection(api)
name = {"Lambda-Extension-Name": os.path.basename(__file__)}
headers, _ = call(own, "POST", "/2020-01-01/extension/register", json.dumps({"events": []}), name)
identity = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
wait = lambda: call(http.client.HTTPConnection(api), "GET", "/2020-01-01/extension/event/next",
                    None, identity)
threading.Thread(target=wait, daemon=True).start()
place = "%s/../../tmp/port" % ROOT
while not os.path.exists(place):
    time.sleep(0.01)
web = http.client.HTTPConnection("127.0.0.1", int(open(place).read()))
base = "/2018-06-01/runtime/invocation"
while True:
    headers, event = call(own, "GET", base + "/next")
    _, answer = call(web, "POST", "/events", event)
    request = headers["Lambda-Runtime-Aws-Request-Id"]
    call(own, "POST", base + "/" + request + "/response", answer)
"""


async def test_a_plain_web_server_behind_an_adapter(peer: Gateway, init: Init) -> None:
    """The pattern of AWS's web adapter: the image's command knows nothing of Lambda; an extension
    speaks the Runtime API and calls it."""
    adapter = init.root / "opt" / "extensions" / "adapter"
    adapter.parent.mkdir(parents=True)
    root = f"ROOT = {str(init.root / 'var' / 'task')!r}\n"
    adapter.write_text(f"#!{sys.executable}\n{root}{ADAPTER}")
    adapter.chmod(0o755)
    image = {"command": [sys.executable, "-c", WEB], "workingDirectory": "/"}
    connection = await started(peer, init, image)
    for number in range(3):
        outcome = await connection.invoke({"n": number})
        assert outcome.json == {"path": "/events", "body": {"n": number}}
