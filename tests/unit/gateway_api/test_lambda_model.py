"""The committed table of the service model is fresh, and routes exactly."""

from __future__ import annotations

import pytest

from klambda_core.errors import LambdaError
from klambda_gateway.api.model import MODEL
from klambda_gateway.api.operations import HANDLERS
from klambda_gateway.api.reading import query_members
from klambda_gateway.api.router import Router
from tools import lambdamodel

ROUTER = Router()


def test_the_table_is_what_botocore_says() -> None:
    assert lambdamodel.main(["--check"]) == 0


def test_every_handler_is_an_operation() -> None:
    assert set(HANDLERS) <= set(MODEL.operations)


@pytest.mark.parametrize("operation", sorted(MODEL.operations))
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_operation_is_routed(operation: str, slash: str) -> None:
    wanted = MODEL.operations[operation]
    value = "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aa%2Fb"
    path = "/".join(value if s.startswith("{") else s for s in wanted.path.split("/"))
    query = "&".join(f"{key}={text}" for key, text in wanted.query.items()) + "&MaxItems=1"
    route = ROUTER.match(wanted.method, (path + slash).encode(), query_members(query.encode()))
    assert route.operation.name == operation
    assert all(v.endswith(":function:a/b") for v in route.parameters.values())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/2015-03-31"),
        ("GET", "//2015-03-31/functions"),
        ("GET", "/2015-03-31//functions"),
        ("PATCH", "/2015-03-31/functions"),
        ("GET", "/2015-03-31/functions/a/b/c/d"),
        ("POST", "/2015-03-31/functions/a/invocations/x"),
    ],
)
def test_unknown_paths(method: str, path: str) -> None:
    with pytest.raises(LambdaError) as caught:
        ROUTER.match(method, path.encode(), {})
    assert (caught.value.status, caught.value.error.name) == (404, "UnknownOperationException")
