"""CORS of the API: preflights and answers for the origins that were named, silence for others.

Source: Fetch standard, "CORS protocol"; headers that AWS's SDK for JavaScript sends and reads.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from klambda_gateway.api.app import build_app
from tests.unit.gateway_api.fakes import World

CONSOLE = "https://console.example.com"
ASKED = "authorization,content-type,x-amz-date,x-amz-invocation-type,amz-sdk-request"


def call(origins: list[str], method: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Send one request to the application."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    path = "/2015-03-31/functions"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "server": ("gateway", 8080), "client": ("c", 1), "state": {},
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ],
    }  # fmt: skip
    app: Any = build_app(World().services, cors_origins=origins)
    asyncio.run(app(scope, receive, send))
    start = sent[0]
    return start["status"], {k.decode(): v.decode() for k, v in start["headers"]}


def preflight(origins: list[str], origin: str, method: str = "POST") -> tuple[int, dict[str, str]]:
    return call(
        origins, "OPTIONS", origin=origin, access_control_request_method=method,
        access_control_request_headers=ASKED,
    )  # fmt: skip


def test_a_preflight_of_a_named_origin_is_answered_without_a_signature() -> None:
    status, headers = preflight([CONSOLE], CONSOLE)
    assert status == 200
    assert headers["access-control-allow-origin"] == CONSOLE
    assert "POST" in headers["access-control-allow-methods"]
    assert headers["access-control-allow-headers"] == ASKED
    assert headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize(
    ("origins", "origin"),
    [
        ([CONSOLE], "https://evil.example.com"),
        ([CONSOLE], "http://console.example.com"),
        ([CONSOLE], "https://console.example.com:8443"),
        ([], CONSOLE),
    ],
)
def test_other_origins_are_not_let_in(origins: list[str], origin: str) -> None:
    status, headers = preflight(origins, origin)
    assert status in (400, 403)
    assert "access-control-allow-origin" not in headers
    _, headers = call(origins, "GET", origin=origin)
    assert "access-control-allow-origin" not in headers


def test_answers_and_refusals_can_be_read_by_the_page() -> None:
    status, headers = call([CONSOLE], "GET", origin=CONSOLE)
    assert status == 403, "unsigned"
    assert headers["access-control-allow-origin"] == CONSOLE
    assert "x-amzn-ErrorType" in headers["access-control-expose-headers"]
    assert "Origin" in headers["vary"]
    _, headers = call([CONSOLE], "GET")
    assert "access-control-allow-origin" not in headers


def test_a_star_is_everybody() -> None:
    assert preflight(["*"], "https://any.example.org")[0] == 200
