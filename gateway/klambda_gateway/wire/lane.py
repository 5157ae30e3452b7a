"""The fast lane for plain invocations: from a request's parts to an invocation, without ASGI.

    POST /2015-03-31/functions/{name}/invocations[?Qualifier=…], one body of known length, signed in
    its headers, to be answered when the function has ─► authenticate ─► authorise ─► invoke

Place: first of ``lanes``: ``wire.protocol`` asks ``look`` as soon as a head is read and ``begin``
when the body is; whatever either declines, FastAPI answers, from the same bytes. The lane decides
nothing by itself: names are read by the API's router and model, signatures by the gate, rights by
the authorizer, and the invocation runs in the same service. Invariants: nothing here waits; a
request that the API would refuse before invoking is declined, so that every such refusal is the
API's own; an answer is, byte for byte but for its ids, what the API would send (differential tests
hold both to it).
Not here: connections (``protocol``), the story of an invocation (``invoke.service``).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from klambda_core import limits
from klambda_core.errors import LambdaError
from klambda_gateway.api.call import Services
from klambda_gateway.api.dispatch import refused
from klambda_gateway.api.invoke import client_context, new_trace
from klambda_gateway.api.naming import target_of
from klambda_gateway.api.reading import Parts, query_members, read
from klambda_gateway.api.router import Router
from klambda_gateway.api.validation import check
from klambda_gateway.auth.claim import UNSIGNED, Signable
from klambda_gateway.bulk import Body
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_gateway.invoke.story import Story
from klambda_gateway.invoke.timing import ASKED
from klambda_gateway.wire.plain import (
    CONNECTION,
    HEADERS_MAX,
    Answered,
    Asked,
    Headers,
    Plain,
    Respond,
    Starts,
    length_of,
    names_host,
)

ACTION: Final = "lambda:InvokeFunction"
PREFIX: Final = b"/2015-03-31/functions/"
KNOWN_MAX: Final = 16_384
"""URLs whose meaning is remembered."""

_PLAIN: Final = re.compile(
    rb"/2015-03-31/functions/[A-Za-z0-9_.:$%-]{1,600}/invocations"
    rb"(?:\?Qualifier=[A-Za-z0-9_.$%-]{1,400})?"
)
_UNUSUAL: Final = frozenset({
    b"expect",
    b"origin",
    b"transfer-encoding",
    b"upgrade",
    b"x-amz-tenant-id",
    b"x-amz-durable-execution-name",
    ASKED.encode(),
})  # fmt: skip
_SYNCHRONOUS: Final = (None, b"RequestResponse")
_LOG_TYPES: Final = (None, b"None", b"Tail")


class Lane:
    """Recognises plain invocations and starts them."""

    def __init__(
        self,
        services: Services,
        starts: Starts,
        *,
        is_url: Callable[[bytes], bool] = lambda _: False,
        count: Callable[[], None] = lambda: None,
    ) -> None:
        """``is_url``: whether a Host is a function URL's, where every path is the function's.

        ``count`` is told of each invocation that the lane takes.
        """
        self._services = services
        self._is_url = is_url
        self._count = count
        self._starts = starts
        self._router = Router()
        self._known: dict[bytes, Asked | None] = {}

    def look(self, url: bytes, headers: Headers) -> Plain | None:
        """Return what a POST's head asks for, if it is plain. Header names are lower case."""
        asked = self._asked(url) if url.startswith(PREFIX) else None
        if asked is None or len(headers) > HEADERS_MAX:
            return None
        fields = dict(headers)
        get = fields.get
        length = length_of(fields, limits.PAYLOAD_SYNC_MAX)
        if (
            length is None
            or b"content-length" not in fields
            or len(fields) != len(headers)
            or not _UNUSUAL.isdisjoint(fields)
            or b"authorization" not in fields
            or get(b"x-amz-invocation-type") not in _SYNCHRONOUS
            or get(b"x-amz-log-type") not in _LOG_TYPES
            or get(b"connection") not in CONNECTION
            or not names_host(fields)
            or self._is_url(fields[b"host"])
        ):
            return None
        unsigned = get(b"x-amz-content-sha256") == UNSIGNED.encode()
        return Plain(
            method=b"POST", path=asked.path, query=asked.query, headers=headers, fields=fields,
            length=length, hashed=not unsigned, asked=asked,
        )  # fmt: skip

    def _asked(self, url: bytes) -> Asked | None:
        """Read a URL as the API does; what it would refuse is not plain."""
        try:
            return self._known[url]
        except KeyError:
            pass
        asked = _read(self._router, url) if _PLAIN.fullmatch(url) else None
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[url] = asked
        return asked

    def begin(
        self, plain: Plain, asked: Asked, body: Body, digest: str, respond: Respond
    ) -> Story | None:
        """See ``FastLane``; the digest is wanted unless the body does not enter the signature."""
        services, get = self._services, plain.fields.get
        try:
            caller = services.gate.identify_hashed(
                Signable("POST", asked.path, asked.query, plain.headers, plain.fields), digest
            )
            if caller.service != "lambda":
                return None
            target = target_of(
                asked.name, asked.qualifier, region=services.region, account=caller.account
            )
            if not services.authorizer.known(caller, ACTION, target.arn):
                return None
            context = get(b"x-amz-client-context")
            decoded = None if context is None else client_context(context.decode("latin-1"))
        except LambdaError:
            return None
        trace = get(b"x-amzn-trace-id", b"").decode("latin-1") or new_trace(services)
        request_id = services.new_id()
        request = InvokeRequest(
            namespace=caller.namespace,
            function_name=target.name,
            qualifier=target.qualifier,
            invoked_arn=target.arn,
            payload=body,
            request_id=request_id,
            log_tail=get(b"x-amz-log-type") == b"Tail",
            client_context=decoded,
            trace_id=trace,
        )
        self._count()
        return self._starts.start(request, lambda result: respond(rendered(result, request)))


def rendered(result: InvokeAnswer | LambdaError, request: InvokeRequest) -> Answered:
    """Return an answer as the API renders it."""
    if isinstance(result, LambdaError):
        raw = refused(result, request.request_id)
        lines = [f"{name.lower()}: {value}\r\n" for name, value in raw.headers.items()]
        return _answered(raw.status, "".join(lines), raw.body, request)
    headers = (
        f"x-amzn-requestid: {request.request_id}\r\n"
        "content-type: application/json\r\n"
        f"x-amz-executed-version: {result.executed_version}\r\n"
        f"x-amzn-trace-id: {request.trace_id}\r\n"
        "x-amzn-remapped-content-length: 0\r\n"
    )
    if result.function_error is not None:
        headers += f"x-amz-function-error: {result.function_error}\r\n"
    if result.log_tail is not None:
        headers += f"x-amz-log-result: {b64encode(result.log_tail).decode()}\r\n"
    return _answered(200, headers, result.payload, request)


def _answered(status: int, headers: str, body: Body, request: InvokeRequest) -> Answered:
    text = f"{headers}content-length: {len(body)}\r\n"
    return Answered(
        status=status, headers=text.encode("latin-1"), body=body, request_id=request.request_id
    )


def _read(router: Router, url: bytes) -> Asked | None:
    path, _, query = url.partition(b"?")
    try:
        route = router.match("POST", path, query_members(query))
        parts = Parts(uri=route.parameters, query=query, headers={}, body=b"")
        given = read(route.operation, parts)
        if route.operation.name != "Invoke" or route.operation.input is None:
            return None
        check(route.operation.input, given)
    except LambdaError:
        return None
    return Asked(
        path=path, query=query, name=given["FunctionName"], qualifier=given.get("Qualifier")
    )
