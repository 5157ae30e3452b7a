"""One API request from bytes to bytes: authenticate, route, read, validate, authorise, do, render.

Place: under ``app`` (ASGI) and every other way in. Invariants: every answer carries
``x-amzn-RequestId``; every error is JSON of the right type; no exception gets out: what nobody
foresaw is logged with its request id and answered as ServiceException. Not here: any operation.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from klambda_core import errors, limits
from klambda_core.errors import LambdaError
from klambda_gateway.api import async_invocations, async_queues, mapping_rights, sts
from klambda_gateway.api.call import Call, Handler, Reply, Services, Streamed
from klambda_gateway.api.extraction import LargeString
from klambda_gateway.api.objects import NameBusy
from klambda_gateway.api.operations import HANDLERS
from klambda_gateway.api.reading import Parts, query_members, read
from klambda_gateway.api.resource import resource_of
from klambda_gateway.api.router import Route, Router
from klambda_gateway.api.validation import check
from klambda_gateway.auth.bearer import is_bearer
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.claim import Signable
from klambda_gateway.auth.gate import wrong_service
from klambda_gateway.auth.rights import action_of
from klambda_gateway.blobs import StoreError
from klambda_kube.errors import (
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NotFound,
    Throttled,
    Unreachable,
)
from klambda_obs import logs

_log = logs.get("klambda.gateway.api")
JSON = "application/json"
BODY_MAX: Mapping[str, int] = {"UpdateFunctionConfiguration": limits.CONFIGURATION_REQUEST_MAX}
"""Bytes of the body, of operations that take less than an upload."""
HASHED_INLINE = 1024 * 1024
"""Bodies up to this size are hashed on the loop: 1 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """A request as it arrived, body complete."""

    signable: Signable
    body: bytes
    base_url: str
    sha256: str | None = None
    """Of the body as it arrived, when ``body`` is not that (``intake``)."""
    strings: Mapping[str, LargeString] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """What goes back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    stream: Streamed | None = None
    """In the place of ``body``."""


class Dispatcher:
    """Answers requests of the API."""

    def __init__(
        self,
        services: Services,
        *,
        router: Router | None = None,
        handlers: Mapping[str, Handler] = HANDLERS,
    ) -> None:
        self._services = services
        self._router = router or Router()
        self._handlers = handlers

    async def answer(self, request: RawRequest) -> RawAnswer:
        """Answer; never raises but on cancellation."""
        request_id = self._services.new_id()
        try:
            return _rendered(await self._reply(request, request_id), request_id)
        except LambdaError as error:
            if sts.concerns(request.signable):
                return _rendered(sts.refused(error, request_id), request_id)
            return refused(error, request_id)
        except (KubeError, StoreError) as error:
            _log.warning("backend-failed", requestId=request_id, error=str(error))
            return refused(translated(error), request_id)
        except Exception:  # noqa: BLE001 - whatever it is, clients get JSON and we get a log line
            _log.exception("request-failed", requestId=request_id)
            return refused(errors.service(), request_id)

    def refuse(self, error: LambdaError) -> RawAnswer:
        """Answer a request that could not even be read."""
        return refused(error, self._services.new_id())

    async def _reply(self, request: RawRequest, request_id: str) -> Reply:
        signable = request.signable
        caller, request = await self._authenticated(request)
        if caller.service == "sts":
            return sts.answer(caller, signable, request.body, request_id)
        if caller.service != "lambda":
            raise wrong_service()
        if async_invocations.is_ours(signable.path):
            return await async_invocations.answer(
                self._services, caller, signable.method, signable.path
            )
        if async_queues.is_ours(signable.path):
            return await async_queues.answer(
                self._services, caller, signable.method, signable.path, request.body
            )
        route = self._router.match(signable.method, signable.path, query_members(signable.query))
        return await self._operate(request, request_id, caller, route)

    async def _authenticated(self, request: RawRequest) -> tuple[Caller, RawRequest]:
        """Who asks, and the request with the body that they meant."""
        gate, bearer = self._services.gate, self._services.bearer
        if bearer is not None and is_bearer(request.signable):
            return await bearer.identify(request.signable), request
        if request.sha256 is not None:
            return gate.identify_hashed(request.signable, request.sha256), request
        if len(request.body) <= HASHED_INLINE:
            caller, body = gate.authenticate(request.signable, request.body)
        else:
            # Hashing 50 MB takes 0.2 s, and lets the interpreter go: not on the loop.
            caller, body = await asyncio.to_thread(
                gate.authenticate, request.signable, request.body
            )
        return caller, request if body is request.body else replace(request, body=body)

    async def _operate(
        self, request: RawRequest, request_id: str, caller: Caller, route: Route
    ) -> Reply:
        operation = route.operation
        handler = self._handlers.get(operation.name)
        if handler is None:
            raise errors.unsupported(operation.name)
        most = BODY_MAX.get(operation.name)
        if most is not None and len(request.body) > most:
            raise errors.request_too_big(most, operation.name)
        headers = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in request.signable.headers
        }
        given = read(
            operation,
            Parts(
                uri=route.parameters,
                query=request.signable.query,
                headers=headers,
                body=request.body,
                strings=request.strings,
            ),
        )
        if operation.input is not None:
            check(operation.input, given)
        call = Call(
            operation=operation,
            input=given,
            caller=caller,
            region=self._services.region,
            request_id=request_id,
            headers=headers,
            base_url=request.base_url,
            owner=self._services.grants.owner(operation.name, caller, given),
        )
        await self._authorised(call)
        return await handler(self._services, call)

    async def _authorised(self, call: Call) -> None:
        """Ask RBAC and, where they may let somebody in, resource policies. Raises 403, 503."""
        services, operation = self._services, call.operation.name
        action = action_of(operation)
        if call.owner is not None:
            services.grants.check_abroad(call.caller, call.owner, call.target())
            await services.authorizer.check(call.caller, action, "*")
            return
        mapping = mapping_rights.mapping_asked(call)
        if mapping is not None:
            await mapping_rights.check(services, call, mapping)
            return
        try:
            await services.authorizer.check(call.caller, action, resource_of(call))
        except LambdaError as error:
            granted = error.error is errors.ACCESS_DENIED and "FunctionName" in call.input
            if not granted or not services.grants.at_home(operation, call.caller, call.target()):
                raise


def _rendered(reply: Reply, request_id: str) -> RawAnswer:
    headers = {"x-amzn-RequestId": request_id}
    body = reply.body
    if reply.document is not None:
        body = json.dumps(reply.document, ensure_ascii=False, separators=(",", ":")).encode()
    if body or reply.status == 200:
        headers["Content-Type"] = JSON
    return RawAnswer(
        status=reply.status,
        headers=headers | dict(reply.headers),
        body=body,
        stream=reply.stream,
    )


def refused(error: LambdaError, request_id: str) -> RawAnswer:
    """An error as an answer."""
    headers = {"x-amzn-RequestId": request_id} | error.headers()
    return RawAnswer(status=error.status, headers=headers, body=error.body())


def translated(error: KubeError | StoreError) -> LambdaError:
    """What the client is told when Kubernetes or the store did not do as asked."""
    match error:
        case Invalid():
            sentences = "; ".join(f"{cause.field}: {cause.message}" for cause in error.causes)
            return errors.invalid_parameter(sentences or error.message)
        case NameBusy() | Conflict():
            return errors.concurrent_update()
        case NotFound():
            return errors.not_found(error.message)
        case Forbidden():
            return LambdaError(errors.ACCESS_DENIED, error.message)
        case Throttled():
            return errors.throttled(errors.REASON_CALLER, retry_after=1)
        case Unreachable() | StoreError():
            return errors.unavailable("The service is not available now. Please try again.")
        case ApiError():
            return errors.service(error.message)
        case _:
            return errors.service()
