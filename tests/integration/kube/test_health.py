"""The health port of a program."""

from __future__ import annotations

import aiohttp

from klambda_obs.health import HealthServer
from klambda_obs.metrics import Metrics


async def test_checks_decide_and_say_why() -> None:
    trouble: dict[str, str | None] = {"watch": None, "queue": "oldest key waits 90 s"}
    metrics = Metrics("test")
    metrics.counter("things", "Things.").inc()
    server = HealthServer(
        port=0,
        host="127.0.0.1",
        metrics=metrics,
        live={"watch": lambda: trouble["watch"]},
        ready={name: (lambda name=name: trouble[name]) for name in trouble},  # type: ignore[misc]
    )
    assert server.port == 0
    async with server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client:
        async with client.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True})
        async with client.get("/readyz") as answer:
            assert answer.status == 503
            assert await answer.json() == {
                "ok": False,
                "failures": {"queue": "oldest key waits 90 s"},
            }
        trouble["queue"] = None
        async with client.get("/readyz") as answer:
            assert answer.status == 200
        async with client.get("/metrics") as answer:
            assert "klambda_test_things_total 1.0" in await answer.text()
    assert server.port == 0
    await server.stop()
