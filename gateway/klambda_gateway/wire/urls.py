"""Function URLs over ASGI: in front of the API, below any framework.

    uvicorn ─► Lingering ─► UrlFront ─┬─► urls.door     (Host or path is a function URL's)
                                      └─► the Lambda API (everything else, unchanged)

Place: ``app`` puts it around the API. Invariants: when the client hangs up, its invocation's wait
ends; a stream that breaks cuts the connection, so that no client takes half an answer for a whole
one. Not here: any rule of function URLs (``urls``), how much of a body is kept (``room``).
"""

from __future__ import annotations

import contextlib

from klambda_gateway.urls.door import UrlDoor, Visit
from klambda_gateway.urls.passage import UrlAnswer
from klambda_gateway.urls.refusals import Refused
from klambda_gateway.urls.request import UrlRequest
from klambda_gateway.urls.stream import Body, CutShort
from klambda_gateway.wire.hangup import HungUp, unless_gone
from klambda_gateway.wire.lingering import Asgi, Message, Receive, Send
from klambda_gateway.wire.room import Room


class UrlFront:
    """ASGI middleware: answers requests to function URLs, passes all others on."""

    def __init__(self, app: Asgi, door: UrlDoor, room: Room | None = None) -> None:
        self._app = app
        self._door = door
        self._room = room or Room()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer or pass on."""
        visit = self._visit(scope) if scope["type"] == "http" else None
        if visit is None:
            await self._app(scope, receive, send)
            return
        with contextlib.suppress(HungUp):
            async with self._room.body(receive) as body:
                unread = body if isinstance(body, Refused) else None
                request = _request(scope, visit, b"" if isinstance(body, Refused) else body)
                answer = await unless_gone(self._door.answer(visit, request, unread), receive)
            await _send(answer, receive, send)

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


async def _send(answer: UrlAnswer, receive: Receive, send: Send) -> None:
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": list(answer.headers)}
    )
    if answer.stream is None:
        await send({"type": "http.response.body", "body": answer.body})
        return
    try:
        await unless_gone(_pour(answer.stream, send), receive)
    except CutShort:
        return  # without the last message uvicorn closes the connection
    finally:
        answer.stream.close()


async def _pour(stream: Body, send: Send) -> None:
    async for piece in stream:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
