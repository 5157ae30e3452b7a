"""An extension of the tests' own; its part of EXTENSIONS (JSON, by file name) says how it behaves.

What it sees goes to `<name>.log` in the folder EXTENSION_LOGS, one JSON line each.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
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
