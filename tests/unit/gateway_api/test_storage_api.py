"""How much code an account keeps. Sources: quotas page, botocore's model."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from klambda_gateway.api.dispatch import Dispatcher
from klambda_gateway.api.storage import REMEMBERED, Storage
from tests.unit.gateway_api.fakes import ROLE, World, make_zip
from tests.unit.gateway_api.test_operations_api import refusal, touch

SIZE = len(make_zip())
FULL = (400, "CodeStorageExceededException", "Code storage limit exceeded.")


class Clock:
    """The time, at rest until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def clock(world: World) -> Clock:
    """Three packages fit."""
    clock = Clock()
    services = dataclasses.replace(world.services, storage=Storage(3 * SIZE), now=clock)
    world.services = services
    world.dispatcher = Dispatcher(services)
    return clock


def create(client: Any, name: str) -> None:
    client.create_function(
        FunctionName=name, Runtime="python3.13", Handler="a.b", Role=ROLE,
        Code={"ZipFile": make_zip()},
    )  # fmt: skip


def test_functions_versions_and_layers_count(
    world: World, client: Any, clock: Clock, function: str
) -> None:
    client.publish_version(FunctionName="area")
    client.publish_version(FunctionName="area")  # nothing new, nothing more
    client.publish_layer_version(LayerName="l", Content={"ZipFile": make_zip()})
    settings = client.get_account_settings()
    assert settings["AccountLimit"]["TotalCodeSize"] == 3 * SIZE
    assert settings["AccountUsage"]["TotalCodeSize"] == 3 * SIZE
    kept = dict(world.blobs.blobs)
    code = {"FunctionName": "area", "ZipFile": make_zip("x = 2\n")}
    for call, members in (
        (client.update_function_code, code),
        (client.publish_layer_version, {"LayerName": "l", "Content": {"ZipFile": make_zip()}}),
        (lambda name: create(client, name), {"name": "other"}),
    ):
        assert refusal(world, call, **members) == FULL
        assert world.error()["Type"] == "User"
    assert world.blobs.blobs == kept, "nothing is stored for nothing"
    touch(world, client, 9)
    assert refusal(world, client.publish_version, FunctionName="area") == FULL
    client.delete_layer_version(LayerName="l", VersionNumber=1)
    assert client.publish_version(FunctionName="area")["Version"] == "2"


def test_what_others_took_in_is_seen_after_a_while(
    world: World, client: Any, clock: Clock, function: str
) -> None:
    create(client, "counted")
    other = another_gateway(world).client()
    for name in ("a", "b"):
        create(other, name)
    clock.time += REMEMBERED - timedelta(seconds=1)
    create(client, "late")
    clock.time += timedelta(seconds=1)
    assert refusal(world, lambda: create(client, "later")) == FULL


def another_gateway(world: World) -> World:
    """Over the same objects, without a limit."""
    other = World()
    other.dispatcher = Dispatcher(dataclasses.replace(world.services, storage=Storage()))
    return other
