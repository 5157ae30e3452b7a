"""Fixtures of the API's tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.gateway_api.fakes import ROLE, World, make_zip


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Any:
    return world.client()


@pytest.fixture
def function(world: World, client: Any) -> str:
    """A function that is Active."""
    client.create_function(
        FunctionName="area",
        Runtime="python3.13",
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"ZipFile": make_zip()},
    )
    world.kube.settle()
    return "area"
