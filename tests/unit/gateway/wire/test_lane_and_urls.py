"""On a function URL's host every path is the function's, also one that looks like Invoke's."""

from __future__ import annotations

from typing import cast

from klambda_gateway.wire.lane import Lane
from klambda_gateway.wire.plain import Starts
from tests.unit.gateway.urls.rig import NONE, World, host_of
from tests.unit.gateway_api import fakes

URL = b"/2015-03-31/functions/area/invocations"


async def test_the_lane_leaves_hosts_of_urls_alone() -> None:
    world = World()
    host = host_of(world.function(url=NONE))
    lane = Lane(fakes.World().services, cast("Starts", None), is_url=world.door.is_url)

    def looked_at(name: str) -> bool:
        fields = ((b"host", name.encode()), (b"content-length", b"2"), (b"authorization", b"x"))
        return lane.look(URL, fields) is not None

    assert looked_at("127.0.0.1:8080")
    assert not looked_at(host)
    assert not looked_at(host.upper())
    got = await world.get(host, URL.decode(), method="POST", body=[b"{}"])
    assert (got.status, world.invoker.event["rawPath"]) == (200, URL.decode())
