"""The account's concurrency limit over two gateways: real processes, operator, init."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from klambda_core.kinds import FUNCTION
from klambda_core.limits import CONCURRENT_EXECUTIONS
from klambda_core.names import object_name
from tests.integration.gateway_dataplane.conftest import ControlPlane, wait_for
from tests.integration.gateway_dataplane.test_gateway_process import KIND, create, invoke, pods

POOL = 3
REFUSED = ("ConcurrentInvocationLimitExceeded", "1")
"""Reason and Retry-After (aws-contract, Invoke: TooManyRequestsException)."""
NAMES = ("account-holds", "account-other", "account-owns")


@pytest.fixture
def functions(control_plane: ControlPlane) -> Iterator[tuple[str, ...]]:
    """Three functions, of which the last one reserves all but three."""
    try:
        for name in NAMES:
            create(control_plane, name, KIND, Timeout=120)
        path = FUNCTION.path("default", object_name(NAMES[2]))
        spec = {"reservedConcurrentExecutions": CONCURRENT_EXECUTIONS - POOL}
        status, body = control_plane.server.request(
            "PATCH", path, {"spec": spec}, "application/merge-patch+json"
        )
        assert status == 200, body
        yield NAMES
    finally:
        for name in NAMES:
            control_plane.client().delete_function(FunctionName=name)


def refusal(client: Any, name: str) -> tuple[str, str] | None:
    """Return why a quick request is refused, None when it is not."""
    try:
        invoke(client, name)
    except client.exceptions.TooManyRequestsException as error:
        headers = error.response["ResponseMetadata"]["HTTPHeaders"]
        return str(error.response["Reason"]), headers["retry-after"]
    return None


def knows(client: Any, name: str, expected: tuple[str, str] | None) -> None:
    """Wait until a gateway has heard what the other one runs."""
    wait_for(lambda: refusal(client, name) == expected, f"{name} hears {expected}")


def test_functions_of_an_account_share_its_limit_over_all_gateways(
    control_plane: ControlPlane, functions: tuple[str, ...], tmp_path: Path
) -> None:
    holds, other, owns = functions
    clients = [control_plane.client(number) for number in (0, 1)]
    go_on = tmp_path / "go-on"

    def begun() -> int:
        return sum((each.root / "tmp/began").exists() for each in pods(control_plane, holds))

    with ThreadPoolExecutor(POOL) as pool:
        try:
            runs = [pool.submit(invoke, clients[n % 2], holds, str(go_on)) for n in range(POOL)]
            wait_for(lambda: begun() == POOL, "as many run as may")
            for client in clients:
                knows(client, other, REFUSED)
                assert refusal(client, holds) == REFUSED
                assert refusal(client, owns) is None, "what is reserved is there"
        finally:
            go_on.touch()
        assert all(each.result(60) for each in runs)
    for client in clients:
        knows(client, other, None)
