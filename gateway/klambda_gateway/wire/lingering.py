"""Before the end: every answer ends its connection, so that clients move to other gateways.

Place: ``wire.server`` switches it on; it wraps the ASGI application, and the fast lane reads it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Message, Receive, Send], Awaitable[None]]


class Lingering:
    """ASGI middleware: while ``on``, answers end their connections."""

    def __init__(self, app: Asgi) -> None:
        self._app = app
        self.on = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass on."""
        if not self.on:
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, closing)
