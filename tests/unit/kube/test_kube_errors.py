"""Answers of the API server and what they become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from klambda_kube import errors


def status(code: int, reason: str, **details: Any) -> bytes:
    return json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "what happened",
            "reason": reason,
            "details": details,
            "code": code,
        }
    ).encode()


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "Conflict", errors.Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (410, "Expired", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.Throttled),
        (401, "Unauthorized", errors.ApiError),
        (500, "InternalError", errors.ApiError),
        (504, "Timeout", errors.ApiError),
    ],
)
def test_class_reason_and_message(code: int, reason: str, expected: type) -> None:
    error = errors.parse_error(code, status(code, reason))
    assert type(error) is expected
    assert (error.status, error.reason, error.message) == (code, reason, "what happened")
    assert str(error) == f"{code} {reason}: what happened"


def test_a_taken_name_is_not_a_conflict() -> None:
    error = errors.parse_error(409, status(409, "AlreadyExists"))
    assert not isinstance(error, errors.Conflict)


def test_causes_name_the_fields() -> None:
    body = status(
        422,
        "Invalid",
        causes=[
            {"field": "spec.timeout", "message": "must be <= 900", "reason": "FieldValueInvalid"},
            "nonsense",
        ],
    )
    error = errors.parse_error(422, body)
    assert isinstance(error, errors.Invalid)
    assert error.causes == (errors.Cause(field="spec.timeout", message="must be <= 900"),)


@pytest.mark.parametrize(
    ("code", "header", "body", "expected"),
    [
        (429, "7", b"", 7.0),
        (429, None, status(429, "TooManyRequests", retryAfterSeconds=3), 3.0),
        (429, "2", status(429, "TooManyRequests", retryAfterSeconds=3), 2.0),
        (429, None, b"", 1.0),
        (429, "Fri, 31 Dec 1999 23:59:59 GMT", b"", 1.0),
        (429, "nan", b"", 1.0),
        (429, "-4", b"", 1.0),
        (503, "5", b"", 5.0),
        (503, None, b"", None),
    ],
)
def test_advice_on_when_to_come_back(
    code: int, header: str | None, body: bytes, expected: float | None
) -> None:
    assert errors.parse_error(code, body, header).retry_after == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"details": [], "reason": 5}'])
def test_what_is_no_status_still_becomes_an_error(body: bytes) -> None:
    error = errors.parse_error(502, body)
    assert error.reason == "BadGateway"
    assert error.status == 502


def test_an_unknown_status_code() -> None:
    assert errors.parse_error(599, b"x").reason == "Unknown"


def test_the_object_of_a_watch_error() -> None:
    gone = errors.parse_status_object({"code": 410, "reason": "Expired", "message": "old"})
    assert isinstance(gone, errors.Gone)
    assert errors.parse_status_object({}).status == 500
