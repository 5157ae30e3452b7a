"""`/healthz`, `/readyz` and `/metrics` of a program, on a port of its own.

A check is a plain function that returns None when all is well and otherwise one sentence that says
what is wrong; it must answer at once, from memory. Liveness (`/healthz`) may only fail for what a
restart cures; an API server that is away belongs into readiness at most. A loop that is stuck
answers nothing at all, which the kubelet's time limit turns into a failure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from klambda_obs.metrics import CONTENT_TYPE, Metrics

Check = Callable[[], str | None]


class HealthServer:
    """The small server. `async with HealthServer(...)` runs it; `port` 0 picks a free one."""

    def __init__(
        self,
        *,
        port: int,
        metrics: Metrics,
        live: Mapping[str, Check] | None = None,
        ready: Mapping[str, Check] | None = None,
        host: str | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._app = web.Application()
        add_routes(self._app, metrics=metrics, live=live or {}, ready=ready or {})
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port in use, once started."""
        if self._runner is None or not self._runner.addresses:
            return self._port
        port: int = self._runner.addresses[0][1]
        return port

    async def start(self) -> None:
        """Listen."""
        runner = web.AppRunner(self._app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, self._host, self._port).start()
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def add_routes(
    app: web.Application,
    *,
    metrics: Metrics,
    live: Mapping[str, Check],
    ready: Mapping[str, Check],
) -> None:
    """Add the three routes to an application that has others (the store's)."""

    async def healthz(_: web.Request) -> web.Response:
        return _report(live)

    async def readyz(_: web.Request) -> web.Response:
        return _report(ready)

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposition)


def _report(checks: Mapping[str, Check]) -> web.Response:
    failures = {name: failure for name, check in checks.items() if (failure := check()) is not None}
    body = {"ok": not failures} | ({"failures": failures} if failures else {})
    return web.Response(
        status=503 if failures else 200, text=json.dumps(body), content_type="application/json"
    )
