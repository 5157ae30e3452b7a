"""InvokeWithResponseStream: the function's answer as event-stream messages (aws-contract b.2).

Place: beside ``invoke``, whose request it shares. What goes wrong before the answer begins keeps
its HTTP status; afterwards the status is out, and ``InvokeComplete`` tells. Not here: the encoding
(``eventstream``), flow control (``instances.streaming``).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator

from klambda_core import errors, limits
from klambda_gateway.api import eventstream
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.invoke import request_of
from klambda_gateway.instances.streamed import Ending
from klambda_gateway.invoke.model import InvokeStream


async def invoke_with_response_stream(services: Services, call: Call) -> Reply:
    """InvokeWithResponseStream: RequestResponse and DryRun."""
    given, target = call.input, call.target()
    payload: bytes = given.get("Payload", b"")
    limit = limits.PAYLOAD_SYNC_MAX
    if len(payload) > limit:
        raise errors.payload_too_large(len(payload), "RequestResponse", limit)
    if given.get("InvocationType") == "DryRun":
        await services.invoker.resolve(call.namespace, target.name, target.qualifier, target.arn)
        return Reply(status=204)
    request = request_of(services, call)
    stream = await services.invoker.stream(request)
    headers = {
        "Content-Type": eventstream.CONTENT_TYPE,
        "X-Amz-Executed-Version": stream.executed_version,
        "X-Amzn-Trace-Id": request.trace_id or "",
    }
    return Reply(headers=headers, stream=EventStreamBody(stream))


class EventStreamBody:
    """An answer, message by message."""

    def __init__(self, stream: InvokeStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the messages."""
        async for piece in self._stream.pieces():
            yield eventstream.payload_chunk(piece)
        yield _complete(self._stream.ending)

    def close(self) -> None:
        """Say that the client reads no more."""
        self._stream.close()


def _complete(ending: Ending) -> bytes:
    tail = ending.log_tail
    return eventstream.invoke_complete(
        error_code=ending.function_error,
        error_details=ending.details,
        log_result=None if tail is None else b64encode(tail).decode(),
    )
