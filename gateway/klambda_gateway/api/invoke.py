"""Invoke over HTTP: headers in, headers out. Texts and headers: aws-contract b.

Place: the operation that everything else exists for; it checks what a request alone can tell and
hands over to the data plane (``invoke.model.Invoker``). Not here: whether the function can run, and
whether the payload is JSON (the data plane looks at it once, or the instance does).
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode

from klambda_core import errors, limits
from klambda_core.errors import LambdaError
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.naming import Target
from klambda_gateway.bulk import whole
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_gateway.invoke.timing import ASKED, TOLD

CLIENT_CONTEXT_MAX = 3583
"""Bytes of base64 (API reference, Invoke)."""
_NOT_REMAPPED = {"x-amzn-Remapped-Content-Length": "0"}
"""Stands in the answers of RequestResponse and Event (recorded answers quoted in public code)."""


async def invoke(services: Services, call: Call) -> Reply:
    """Invoke: RequestResponse, Event and DryRun."""
    given, target = call.input, call.target()
    kind = given.get("InvocationType", "RequestResponse")
    payload: bytes = given.get("Payload", b"")
    limit = limits.PAYLOAD_ASYNC_MAX if kind == "Event" else limits.PAYLOAD_SYNC_MAX
    if len(payload) > limit:
        raise errors.payload_too_large(len(payload), kind, limit)
    if kind == "Event":
        return await _accepted(services, call, target, payload)
    if kind == "DryRun":
        await services.invoker.resolve(call.namespace, target.name, target.qualifier, target.arn)
        return Reply(status=204)
    request = request_of(services, call)
    answer = await services.invoker.invoke(request)
    return Reply(body=whole(answer.payload), headers=_headers(answer, request.trace_id or ""))


def request_of(services: Services, call: Call) -> InvokeRequest:
    """The invocation that a call asks for. Raises InvalidRequestContent."""
    given, target = call.input, call.target()
    return InvokeRequest(
        namespace=call.namespace,
        function_name=target.name,
        qualifier=target.qualifier,
        invoked_arn=target.arn,
        payload=given.get("Payload", b""),
        request_id=call.request_id,
        log_tail=given.get("LogType") == "Tail",
        timing=ASKED in call.headers,
        client_context=client_context(given.get("ClientContext")),
        trace_id=call.headers.get("x-amzn-trace-id") or new_trace(services),
    )


async def invoke_async(services: Services, call: Call) -> Reply:
    """InvokeAsync, the old way of Event: no qualifier, 256 KB (aws-contract b.3)."""
    payload: bytes = call.input.get("InvokeArgs", b"")
    if len(payload) > limits.PAYLOAD_INVOKE_ASYNC_MAX:
        limit = limits.PAYLOAD_INVOKE_ASYNC_MAX
        raise errors.payload_too_large(len(payload), "Event", limit)
    return await _accepted(services, call, call.target(), payload)


async def _accepted(services: Services, call: Call, target: Target, payload: bytes) -> Reply:
    """202, once the event is on the disk; the function will see this request's id."""
    trace = call.headers.get("x-amzn-trace-id") or new_trace(services)
    await services.events.accept(
        namespace=call.namespace,
        name=target.name,
        qualifier=target.qualifier,
        arn=target.arn,
        payload=payload,
        event_id=call.request_id,
        trace=trace,
    )
    return Reply(status=202, headers={"X-Amzn-Trace-Id": trace, **_NOT_REMAPPED})


def client_context(encoded: str | None) -> str | None:
    """The decoded client context, JSON text. Raises InvalidRequestContent (texts O)."""
    if not encoded:
        return None
    if len(encoded) > CLIENT_CONTEXT_MAX:
        raise _bad_context(f"must be no more than {CLIENT_CONTEXT_MAX} bytes")
    try:
        text = b64decode(encoded, validate=True).decode()
        document = json.loads(text)
    except (binascii.Error, ValueError, RecursionError):
        raise _bad_context("must be a valid Base64-encoded JSON object") from None
    if not isinstance(document, dict):
        raise _bad_context("must be a valid Base64-encoded JSON object")
    # On one line: it becomes a header of the Runtime API.
    return json.dumps(document, separators=(",", ":"))


def _bad_context(why: str) -> LambdaError:
    return LambdaError(errors.INVALID_REQUEST_CONTENT, f"Client context {why}.")


def new_trace(services: Services) -> str:
    """A trace for a request that brought none (X-Ray developer guide, "Tracing header")."""
    digits = services.new_id().replace("-", "")
    epoch = int(services.now().timestamp())
    return f"Root=1-{epoch:08x}-{digits[:24]};Parent={digits[-16:]};Sampled=0"


def _headers(answer: InvokeAnswer, trace: str) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        "X-Amz-Executed-Version": answer.executed_version,
        "X-Amzn-Trace-Id": trace,
        **_NOT_REMAPPED,
    }
    if answer.function_error is not None:
        headers["X-Amz-Function-Error"] = answer.function_error
    if answer.log_tail is not None:
        headers["X-Amz-Log-Result"] = b64encode(answer.log_tail).decode()
    if answer.timing is not None:
        headers[TOLD] = answer.timing
    return headers
