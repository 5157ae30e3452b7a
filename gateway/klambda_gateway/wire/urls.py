"""Function URLs over ASGI: in front of the API, below any framework.

    uvicorn ─► Lingering ─► UrlFront ─┬─► urls.door     (Host or path is a function URL's)
                                      └─► the Lambda API (everything else, unchanged)

Place: ``app`` puts it around the API. Invariants: a body is read up to 6 MB and no further kept;
when the client hangs up, its invocation's wait ends; a stream that breaks cuts the connection, so
that no client takes half an answer for a whole one. Not here: any rule of function URLs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from klambda_core import limits
from klambda_gateway.urls.door import UrlAnswer, UrlDoor, Visit
from klambda_gateway.urls.request import UrlRequest
from klambda_gateway.urls.stream import Body, CutShort
from klambda_gateway.wire.lingering import Asgi, Message, Receive, Send

DISCARDED_MAX: Final = 4 * limits.PAYLOAD_SYNC_MAX
"""A longer body is cut off: an answer in the middle of an upload reaches few clients."""

T = TypeVar("T")


class HungUp(Exception):
    """The client is gone."""


class UrlFront:
    """ASGI middleware: answers requests to function URLs, passes all others on."""

    def __init__(self, app: Asgi, door: UrlDoor) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        visit = self._visit(scope) if scope["type"] == "http" else None
        if visit is None:
            await self._app(scope, receive, send)
            return
        try:
            body = await _body(receive)
            request = None if body is None else _request(scope, visit, body)
            answer = await _unless_gone(self._door.answer(visit, request), receive)
            await _send(answer, receive, send)
        except HungUp:
            return

    def _visit(self, scope: Message) -> Visit | None:
        host = next((value for name, value in scope["headers"] if name == b"host"), None)
        return self._door.find(host, _path(scope))


def _path(scope: Message) -> bytes:
    path: bytes = scope["raw_path"].partition(b"?")[0]
    return path


def _request(scope: Message, visit: Visit, body: bytes) -> UrlRequest:
    return UrlRequest(
        method=scope["method"],
        path=visit.path,
        query=scope["query_string"],
        headers=scope["headers"],
        body=body,
        peer=(scope.get("client") or ("",))[0],
        scheme=scope.get("scheme", "http"),
        protocol=f"HTTP/{scope['http_version']}",
        signed_path=_path(scope),
    )


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is too large for an event. Raises HungUp."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more and size <= DISCARDED_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        piece = message.get("body", b"")
        size += len(piece)
        if size > limits.PAYLOAD_SYNC_MAX:
            pieces.clear()
        else:
            pieces.append(piece)
        more = message.get("more_body", False)
    return None if size > limits.PAYLOAD_SYNC_MAX else b"".join(pieces)


async def _unless_gone(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """Do it, or give up when the client hangs up. Raises HungUp."""
    doing, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((doing, gone), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise HungUp
    finally:
        doing.cancel()
        gone.cancel()
        await asyncio.gather(doing, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(answer: UrlAnswer, receive: Receive, send: Send) -> None:
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)}
    )
    if answer.stream is None:
        await send({"type": "http.response.body", "body": answer.body})
        return
    try:
        await _unless_gone(_pour(answer.stream, send), receive)
    except CutShort:
        return  # without the last message uvicorn closes the connection
    finally:
        answer.stream.close()


async def _pour(stream: Body, send: Send) -> None:
    async for piece in stream:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
