"""The catalogue of errors agrees with AWS's own model."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest

from klambda_core import errors

RAW: dict[str, Any] = (
    botocore.session.get_session().get_service_model("lambda")._service_description["shapes"]
)
MODELLED = sorted(name for name, shape in RAW.items() if shape.get("exception"))


@pytest.mark.parametrize("name", [name for name in MODELLED if name in errors.CATALOGUE])
def test_status_and_key_are_the_models(name: str) -> None:
    ours, theirs = errors.CATALOGUE[name], RAW[name]
    assert ours.status == theirs["error"]["httpStatusCode"]
    assert ours.message_key in theirs["members"]
    assert ("Type" in theirs["members"]) == (ours.type_member is not None)
    assert (ours.type_member == "Service") == bool(theirs.get("fault"))


def test_what_the_model_does_not_know_is_the_frameworks() -> None:
    unmodelled = set(errors.CATALOGUE) - set(MODELLED)
    assert unmodelled == {
        "ValidationException",
        "SerializationException",
        "RequestEntityTooLargeException",
        "UnknownOperationException",
        "AccessDeniedException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "ExpiredTokenException",
        "RequestTimeoutException",
        "RequestHeaderSectionTooLargeException",
        "NotImplementedException",
        "HttpVersionNotSupportedException",
        "ServiceUnavailableException",
    }


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (errors.function_not_found("arn:f"), 404,
         {"Type": "User", "Message": "Function not found: arn:f"}),
        (errors.throttled(errors.REASON_RESERVED), 429,
         {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "Type": "User",
          "message": "Rate Exceeded."}),
        (errors.other_account(), 403, {"Message": None}),
        (errors.validation(["a", "b"]), 400,
         {"message": "2 validation errors detected: a; b"}),
        (errors.validation(["a"]), 400, {"message": "1 validation error detected: a"}),
        (errors.service("x"), 500, {"Type": "Service", "Message": "x"}),
        (errors.LambdaError(errors.INVALID_PARAMETER_VALUE, "q", typed=False), 400,
         {"message": "q"}),
    ],
)  # fmt: skip
def test_bodies(error: errors.LambdaError, status: int, body: dict[str, Any]) -> None:
    assert error.status == status
    assert json.loads(error.body()) == body
    assert error.headers()["x-amzn-ErrorType"] == error.error.name


def test_retry_after() -> None:
    assert errors.throttled(errors.REASON_ACCOUNT, retry_after=2).headers()["Retry-After"] == "2"
    assert "Retry-After" not in errors.throttled(errors.REASON_ACCOUNT).headers()
