"""The API as a FastAPI application: HTTP in and out, nothing else.

Place: ``klambda_gateway.app`` mounts or serves what ``build_app`` returns. One catch-all route
hands the raw request to ``dispatch`` (paths must not be decoded or collapsed before routing), one
serves code by link. Invariants: bodies are bounded; when an invoking client hangs up, its
invocation's wait ends. Not here: any rule of Lambda's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.api import browsers
from klambda_gateway.api.call import Services, Streamed
from klambda_gateway.api.dispatch import Dispatcher, RawAnswer, RawRequest
from klambda_gateway.api.intake import Intake
from klambda_gateway.api.links import PREFIX
from klambda_gateway.auth.claim import Signable
from klambda_gateway.blobs import BlobMissing, StoreError
from klambda_gateway.wire.hangup import HungUp, unless_gone

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
INVOKING = (b"/invocations", b"/response-streaming-invocations")
"""Ends of the paths on which waiting ends when the client hangs up."""


def build_app(services: Services, *, cors_origins: Sequence[str] = ()) -> FastAPI:
    """The application. Its lifespan starts nothing: the caller runs the collaborators."""
    app = FastAPI(title="Klambda", openapi_url=None, docs_url=None, redoc_url=None)
    dispatcher, intake = Dispatcher(services), Intake()

    async def code(request: Request) -> Response:
        return await _serve_code(services, dispatcher, request)

    async def lambda_api(request: Request) -> Response:
        return await _serve(dispatcher, intake, request)

    app.add_route(PREFIX + "{rest:path}", code, methods=["GET", "HEAD"])
    app.add_route("/{rest:path}", lambda_api, methods=METHODS)
    app.router.redirect_slashes = False
    browsers.admit(app, cors_origins)
    return app


async def _serve(dispatcher: Dispatcher, intake: Intake, request: Request) -> Response:
    signable = _signable(request)
    try:
        async with intake.body(request.stream(), signable) as body:
            raw = RawRequest(
                signable=signable,
                body=body.data,
                base_url=f"{request.url.scheme}://{request.headers.get('host', 'localhost')}",
                sha256=body.sha256,
                strings=body.strings,
            )
            return await _answered(dispatcher, raw, request)
    except LambdaError as error:
        return _response(dispatcher.refuse(error))
    except ClientDisconnect:
        return Response(status_code=499)


async def _answered(dispatcher: Dispatcher, raw: RawRequest, request: Request) -> Response:
    if not raw.signable.path.rstrip(b"/").endswith(INVOKING):
        return _response(await dispatcher.answer(raw))
    try:
        return _response(await unless_gone(dispatcher.answer(raw), request.receive))
    except HungUp:
        return Response(status_code=499)


def _signable(request: Request) -> Signable:
    scope = request.scope
    return Signable(
        method=request.method,
        path=scope["raw_path"].partition(b"?")[0],
        query=scope["query_string"],
        headers=scope["headers"],
    )


class _Stream(StreamingResponse):
    """A response that lets go of its source, however it ends."""

    def __init__(self, answer: RawAnswer, source: Streamed) -> None:
        super().__init__(source, status_code=answer.status, headers=dict(answer.headers))
        self._source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._source.close()


def _response(answer: RawAnswer) -> Response:
    if answer.stream is not None:
        return _Stream(answer, answer.stream)
    return Response(content=answer.body, status_code=answer.status, headers=dict(answer.headers))


async def _serve_code(services: Services, dispatcher: Dispatcher, request: Request) -> Response:
    """The zip behind a link of GetFunction."""
    opened = services.links.open(
        request.method, request.url.path, dict(parse_qsl(request.url.query))
    )
    if opened is None:
        return _response(
            dispatcher.refuse(
                LambdaError(errors.ACCESS_DENIED, "The link is wrong or has expired.")
            )
        )
    namespace, sha256 = opened
    try:
        size = await services.blobs.size(namespace, sha256)
    except StoreError:
        return _response(dispatcher.refuse(errors.unavailable("The store is not available now.")))
    if size is None:
        return _response(dispatcher.refuse(errors.resource_not_found()))
    headers = {"Content-Length": str(size), "Content-Type": "application/zip"}
    if request.method == "HEAD":
        return Response(headers=headers)
    return StreamingResponse(_pieces(services, namespace, sha256), headers=headers)


async def _pieces(services: Services, namespace: str, sha256: str) -> AsyncIterator[bytes]:
    try:
        async for piece in services.blobs.get_stream(namespace, sha256):
            yield piece
    except BlobMissing:  # swept between the look and the fetch: the short body tells the client
        return
