"""An extension of the tests' own; its part of EXTENSIONS (JSON, by file name) says how it behaves.

What it sees goes to `<name>.log` in the folder EXTENSION_LOGS, one JSON line each.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

NAME = Path(sys.argv[0]).name
API = os.environ["AWS_LAMBDA_RUNTIME_API"]
PLAN = json.loads(os.environ["EXTENSIONS"])[NAME]
LOG = Path(os.environ["EXTENSION_LOGS"]) / f"{NAME}.log"


def note(**members: Any) -> None:
    with LOG.open("a") as log:
        log.write(json.dumps(members) + "\n")


def call(
    method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection(API)
    payload = None if body is None else json.dumps(body)
    connection.request(method, f"/2020-01-01/extension{path}", payload, headers or {})
    response = connection.getresponse()
    text = response.read().decode()
    return response.status, json.loads(text), dict(response.getheaders())


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what the Telemetry API delivers."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        note(telemetry=body, kind=self.headers["Content-Type"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def subscribe(me: dict[str, str]) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://sandbox.localdomain:{server.server_port}/here"
    body = {
        "schemaVersion": "2022-12-13",
        "types": ["platform", "function", "extension"],
        "buffering": {"timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": uri},
    } | PLAN["telemetry"]
    path = "/2020-08-15/logs" if PLAN.get("api") == "logs" else "/2022-07-01/telemetry"
    connection = http.client.HTTPConnection(API)
    connection.request("PUT", path, json.dumps(body), me)
    response = connection.getresponse()
    note(subscribed=[response.status, json.loads(response.read())])


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: note(signal="SIGTERM"))
    note(environment=sorted(os.environ))
    time.sleep(PLAN.get("slow", 0))
    if "exit" in PLAN:
        sys.exit(PLAN["exit"])
    events = PLAN.get("events", ["INVOKE", "SHUTDOWN"])
    named = {"Lambda-Extension-Name": NAME, "Lambda-Extension-Accept-Feature": "accountId"}
    status, answer, headers = call("POST", "/register", {"events": events}, named)
    note(registered=[status, answer])
    me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
    if "telemetry" in PLAN:
        subscribe(me)
    if "initError" in PLAN:
        error = {"Lambda-Extension-Function-Error-Type": PLAN["initError"]}
        note(initError=call("POST", "/init/error", {}, me | error)[:2])
        sys.exit(1)
    while True:
        status, event, headers = call("GET", "/event/next", headers=me)
        note(status=status, event=event, id=headers.get("Lambda-Extension-Event-Identifier"))
        print(f"{NAME} sees {event['eventType']}", flush=True)
        if event["eventType"] == "SHUTDOWN":
            time.sleep(PLAN.get("shutdown", 0))
            note(gone=True)
            return
        time.sleep(PLAN.get("work", 0))
        if "exitError" in PLAN:
            error = {"Lambda-Extension-Function-Error-Type": PLAN["exitError"]}
            note(exitError=call("POST", "/exit/error", {}, me | error)[:2])
            sys.exit(1)
        if "crash" in PLAN:
            os._exit(PLAN["crash"])


main()
