"""The HTTP server around the ASGI application: uvicorn, with a shutdown that loses no request.

    SIGTERM ─► not ready ─► still accepting, each answer says Connection: close ─► stop listening
            ─► running requests finish ─► end

Place: ``process`` runs it. Invariants: signals are ours, not uvicorn's; while lingering every
answer ends its connection, so that clients with keep-alive move to other gateways.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from klambda_gateway.wire.access import AccessLog, AccessLogged
from klambda_gateway.wire.lanes import NoLane
from klambda_gateway.wire.lingering import Asgi, Lingering
from klambda_gateway.wire.patience import SWEEP_S, Patient
from klambda_gateway.wire.plain import FastLane
from klambda_gateway.wire.protocol import two_lanes

KEEP_ALIVE_S: Final = 75
"""Longer than load balancers keep idle connections (60 s): they must be the ones to close."""
BACKLOG: Final = 2048
SWEEP_TICKS: Final = int(SWEEP_S * 10)


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers."""

    def __init__(
        self,
        app: Asgi,
        *,
        port: int,
        grace_seconds: float,
        lane: FastLane | None = None,
        access: AccessLog | None = None,
    ) -> None:
        """``lane``: answers plain requests; without it, everything goes through ``app``."""
        self.lingering = Lingering(app)
        self._access = access
        served: Asgi = self.lingering if access is None else AccessLogged(self.lingering, access)
        self._listener = _listen(port)
        config = uvicorn.Config(
            served,
            http=two_lanes(lane or NoLane(), self.lingering, access),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(grace_seconds),
        )
        super().__init__(config)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._listener.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the program."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; now and then give up clients who keep us waiting."""
        if counter % SWEEP_TICKS == 0:
            self._sweep()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what runs. A client whose body does not come holds up the end no longer."""
        sweeping = asyncio.create_task(self._keep_sweeping())
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()

    async def _keep_sweeping(self) -> None:
        while True:  # uvicorn's ticks have ended
            await asyncio.sleep(SWEEP_TICKS / 10)
            self._sweep()

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Patient):
                connection.sweep(now)

    async def run_until(self, stop: asyncio.Event, linger_seconds: float) -> None:
        """Serve; after ``stop`` linger, finish what runs, and return."""
        serving = asyncio.create_task(self.serve(sockets=[self._listener]))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                self.lingering.on = True
                await asyncio.sleep(linger_seconds)
            self.should_exit = True
            await serving
        finally:
            stopping.cancel()
            if self._access is not None:
                self._access.flush()


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # IPv6 switched off in this network namespace
            return socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True
            )
    return socket.create_server(("", port), backlog=BACKLOG)
