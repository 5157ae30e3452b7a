"""Cross-origin rules (aws-contract d)."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_gateway.urls.cors import CorsRules, Preflight, read_rules

APP = "https://app.example.com"
FULL = {
    "allowOrigins": [APP, "http://localhost:3000"],
    "allowMethods": ["GET", "PUT"],
    "allowHeaders": ["content-type", "x-a"],
    "exposeHeaders": ["x-b", "date"],
    "maxAge": 600,
    "allowCredentials": True,
}


def rules(**cors: Any) -> CorsRules:
    read = read_rules(cors)
    assert read is not None
    return read


@pytest.mark.parametrize(
    ("cors", "origin", "headers"),
    [
        (
            FULL,
            APP,
            {
                "vary": "Origin",
                "access-control-allow-origin": APP,
                "access-control-allow-methods": "GET,PUT",
                "access-control-allow-headers": "content-type,x-a",
                "access-control-max-age": "600",
                "access-control-allow-credentials": "true",
            },
        ),
        (FULL, "HTTPS://APP.example.com", None),
        (FULL, "https://evil.example.com", {"vary": "Origin"}),
        (FULL, "null", {"vary": "Origin"}),
        (
            {"allowOrigins": ["*"], "allowMethods": ["*"], "maxAge": 0},
            "null",
            {
                "vary": "Origin",
                "access-control-allow-origin": "*",
                "access-control-allow-methods": "*",
                "access-control-max-age": "0",
            },
        ),
        ({"allowMethods": ["GET"]}, APP, {"vary": "Origin"}),
    ],
)
def test_preflights(cors: dict[str, Any], origin: str, headers: dict[str, str] | None) -> None:
    answer = dict(rules(**cors).preflight(Preflight(origin=origin, method="GET")))
    if headers is None:  # origins are compared without case, and echoed as sent
        assert answer["access-control-allow-origin"] == origin
    else:
        assert answer == headers


@pytest.mark.parametrize(
    ("cors", "method", "headers", "allowed"),
    [
        (FULL, "PUT", "X-A, Content-Type", True),
        (FULL, "put", "x-a", True),
        (FULL, "DELETE", "", False),
        (FULL, "PUT", "x-a,x-c", False),
        ({"allowOrigins": ["*"], "allowHeaders": ["*"], "allowMethods": ["*"]}, "X", "any", True),
        ({"allowOrigins": ["*"]}, "PUT", "any", True),  # no list: the browser judges
    ],
)
def test_what_is_not_listed_gets_none_of_the_headers(
    cors: dict[str, Any], method: str, headers: str, allowed: bool
) -> None:
    """AWS drops them all, with status 200 (S)."""
    answer = rules(**cors).preflight(Preflight(origin=APP, method=method, headers=headers))
    assert ("access-control-allow-origin" in dict(answer)) is allowed
    assert answer[0] == ("vary", "Origin")
    assert allowed or len(answer) == 1


def test_the_functions_own_headers_stay_beside_ours() -> None:
    """AWS sends both (S): who sets them in the function must not set them in the URL."""
    own = [
        ("content-type", "text/plain"),
        ("access-control-allow-origin", "*"),
        ("access-control-max-age", "1"),
        ("vary", "Accept"),
    ]
    assert rules(**FULL).apply(own, APP) == [
        ("content-type", "text/plain"),
        ("access-control-allow-origin", "*"),
        ("access-control-max-age", "1"),
        ("vary", "Accept"),
        ("vary", "Origin"),
        ("access-control-allow-origin", APP),
        ("access-control-expose-headers", "x-b,date"),
        ("access-control-allow-credentials", "true"),
    ]


@pytest.mark.parametrize("origin", [None, "https://evil.example.com"])
def test_other_origins_get_no_permission_of_ours(origin: str | None) -> None:
    assert rules(**FULL).apply([("x-a", "1")], origin) == [("x-a", "1"), ("vary", "Origin")]


@pytest.mark.parametrize("vary", ["Origin", "accept, ORIGIN", "*"])
def test_vary_is_not_said_twice(vary: str) -> None:
    assert rules(**FULL).apply([("vary", vary)], None) == [("vary", vary)]


def test_no_rules() -> None:
    assert read_rules(None) is None
    assert read_rules({}) is None
