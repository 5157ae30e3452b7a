"""A runtime of the tests' own: speaks the Runtime API as the event says. init runs it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

BASE = "/2018-06-01/runtime"
API = os.environ["AWS_LAMBDA_RUNTIME_API"]
connection = http.client.HTTPConnection(API)


def call(
    method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any, dict[str, str]]:
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    text = response.read().decode()
    try:
        return response.status, json.loads(text), dict(response.getheaders())
    except ValueError:
        return response.status, text, dict(response.getheaders())


def raw(request: bytes) -> str:
    """Send bytes on a connection of their own; return the answer's status line and body."""
    host, port = API.split(":")
    with socket.create_connection((host, int(port)), timeout=5) as stream:
        stream.sendall(request)
        stream.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
    return answer.decode()


def chunked(pieces: list[str], trailers: dict[str, str] | None = None) -> bytes:
    body = b"".join(f"{len(p):x}\r\n{p}\r\n".encode() for p in pieces)
    ends = "".join(f"{name}: {value}\r\n" for name, value in (trailers or {}).items())
    return body + b"0\r\n" + ends.encode() + b"\r\n"


def post(path: str, headers: str, body: bytes) -> str:
    start = f"POST {path} HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n{headers}\r\n"
    return raw(start.encode() + body)


def pour(here: str, event: dict[str, Any]) -> Any:
    """Stream zeroes, piece by piece; then end, break off, exit or wait. Says how much went out."""
    host, port = API.split(":")
    sent = 0
    with socket.create_connection((host, int(port))) as stream:
        start = f"POST {here}/response HTTP/1.1\r\nHost: {API}\r\nTransfer-Encoding: chunked\r\n"
        mode = "Lambda-Runtime-Function-Response-Mode: streaming\r\nConnection: close\r\n\r\n"
        stream.sendall((start + mode).encode())
        piece = bytes(event.get("piece", 65536))
        while sent < event["bytes"]:
            try:
                stream.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            except OSError as error:
                return [sent, type(error).__name__]
            sent += len(piece)
            if "progress" in event:
                part = Path(event["progress"] + ".part")
                part.write_text(str(sent))
                part.replace(event["progress"])  # never seen half written
        match event.get("then", "end"):
            case "break":
                return [sent, "broken off"]
            case "exit":
                sys.exit(7)
            case "sleep":
                time.sleep(60)
        stream.sendall(b"0\r\n\r\n")
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
    return [sent, answer.split(b"\r\n")[0].decode()]


def odd_calls(request: str) -> list[Any]:
    """Everything that must be refused, and what must be refused with it."""
    here = f"{BASE}/invocation/{request}"
    results: list[Any] = [
        call("POST", f"{BASE}/invocation/wrong/response", b"1")[:2],
        call("POST", f"{BASE}/invocation/wrong/error", b"{}")[:2],
        call("POST", f"{BASE}/init/error", b"{}")[:2],
        call("GET", "/2018-06-01/ping")[:2],
        call("GET", f"{BASE}/nothing")[:1],
    ]
    again = call("GET", f"{BASE}/invocation/next")[2]
    results.append(again["Lambda-Runtime-Aws-Request-Id"] == request)
    truncated = post(f"{here}/response", "Content-Length: 10\r\n", b"abc")
    results.append(truncated.split("\r\n\r\n", 1)[-1].strip())
    results.append(call("POST", f"{here}/response", b'"fine"')[:2])
    results.append(call("POST", f"{here}/response", b'"twice"')[:2])
    results.append(call("POST", f"{here}/error", b"{}")[:2])
    return results


def main() -> None:  # noqa: C901
    notes: Any = None
    if os.environ.get("INIT_ERROR"):
        headers = {"Lambda-Runtime-Function-Error-Type": "Runtime.Odd", "X-Big": "y" * 1_000_000}
        print(call("POST", f"{BASE}/init/error", b'{"errorMessage":"m"}', headers)[:2])
        return
    while True:
        _, event, headers = call("GET", f"{BASE}/invocation/next")
        request = headers["Lambda-Runtime-Aws-Request-Id"]
        here = f"{BASE}/invocation/{request}"
        do = event.get("do", "echo")
        if do == "odd":
            notes = odd_calls(request)
        elif do == "notes":
            call("POST", f"{here}/response", json.dumps(notes).encode())
        elif do == "headers":
            call("POST", f"{here}/response", json.dumps(headers).encode())
        elif do == "chunked":
            post(f"{here}/response", "Transfer-Encoding: chunked\r\n", chunked(['"a', "b", 'c"']))
        elif do == "mode":
            notes = call("POST", f"{here}/response", b"1", {event["header"]: event["value"]})[:2]
        elif do == "cause":
            cause = {"Lambda-Runtime-Function-XRay-Error-Cause": "c" * (1 << 20)}
            kind = {"Lambda-Runtime-Function-Error-Type": "Function.Mine"}
            notes = call("POST", f"{here}/error", b'{"errorMessage":"m"}', cause | kind)[:2]
        elif do == "stream":
            mode = "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
            text = "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
            body = chunked(event["pieces"], event.get("trailers"))
            notes = post(f"{here}/response", mode + text, body).split("\r\n")[0]
        elif do == "pour":
            notes = pour(here, event)
        elif do == "bytes":
            kind = {"Content-Type": "application/octet-stream"}
            call("POST", f"{here}/response", bytes(range(256)), kind)
        else:
            call("POST", f"{here}/response", json.dumps(event).encode())


main()
