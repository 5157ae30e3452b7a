"""Each request of either lane gets its line, and nothing secret is in it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from klambda_gateway.wire.access import AccessLog
from tests.integration.gateway_dataplane.lanes import ID, LAST, doors, exchange, request
from tests.integration.gateway_dataplane.rig import until


async def test_both_lanes_write_the_same_line() -> None:
    written: list[str] = []
    access = AccessLog(written.append, now=lambda: 1_000_000.0)
    async with doors(access=access) as opened:
        raw = request(b"[1]", query="Qualifier=live") + request(b"{") + LAST
        for server in (opened.fast, opened.slow):
            await exchange(server.port, raw)
        await until(lambda: sum(text.count("\n") for text in written) == 6)
    lines = [json.loads(line) for line in "".join(written).splitlines()]
    fast, slow = lines[:3], lines[3:]
    # The second stood behind the first on its connection: not plain.
    assert [each.pop("lane") for each in fast] == ["fast", "api", "api"]
    assert [each.pop("lane") for each in slow] == ["api", "api", "api"]
    for each in lines:
        assert each.pop("milliseconds") >= 0
    assert fast == slow
    common = {"client": "127.0.0.1", "event": "access", "level": "info", "requestId": ID}
    first: dict[str, Any] = {
        "time": "1970-01-12T13:46:40.000+00:00",
        "logger": "klambda.gateway.access",
        "method": "POST",
        "path": "/2015-03-31/functions/area/invocations",
        "status": 200,
        "received": 3,
        "sent": 3,
    }
    assert fast[0] == common | first
    assert [each["status"] for each in fast] == [200, 400, 403]
    assert "Qualifier" not in "".join(written)


async def test_what_is_held_is_written_at_the_end() -> None:
    written: list[str] = []
    async with doors(access=AccessLog(written.append)) as opened:
        await exchange(opened.fast.port, LAST)
    await asyncio.sleep(0)
    assert len("".join(written).splitlines()) == 1
