"""While a gateway is on its way out, each answer ends its connection."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from klambda_gateway.wire.lingering import Lingering


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b""})


async def headers(lingering: Lingering) -> list[tuple[bytes, bytes]]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await lingering({"type": "http"}, receive, send)
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    return list(sent[0]["headers"])


async def test_answers_close_only_while_lingering() -> None:
    lingering = Lingering(answer)
    assert await headers(lingering) == [(b"a", b"b")]
    lingering.on = True
    assert await headers(lingering) == [(b"a", b"b"), (b"connection", b"close")]
