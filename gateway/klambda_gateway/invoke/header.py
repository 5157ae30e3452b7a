"""The header of frame ``invoke``: what an instance is told of a request.

Place: ``invoke.service`` sends it with the event. It is put together by hand, for it is made for
every request; docs/runtime-contract.md §1 is the specification. Invariant: JSON, whatever the
caller's words hold.
"""

from __future__ import annotations

import secrets
import time
from json.encoder import encode_basestring_ascii as quoted
from typing import Final

from klambda_gateway.instances.streamed import WINDOW
from klambda_gateway.invoke.model import InvokeRequest
from klambda_gateway.invoke.payload import Event

BUFFERED: Final = '"mode":"buffered"'
STREAMING: Final = f'"mode":"streaming","window":{WINDOW}'


def invoke_header(
    request: InvokeRequest, event: Event, attempt: str, remaining_s: float, mode: str = BUFFERED
) -> bytes:
    """Return the header of ``invoke`` (contract §1) as JSON."""
    text = (
        f'{{"attempt":"{attempt}","requestId":{quoted(request.request_id)},'
        f'"functionArn":{quoted(request.invoked_arn)},'
        f'"logTail":{"true" if request.log_tail else "false"},{mode},'
        f'"remaining":{max(0, int(remaining_s * 1000))},"size":{len(event.payload)},'
        f'"validated":{"true" if event.validated else "false"},'
        f'"traceId":{quoted(request.trace_id or new_trace_id())}'
    )
    if request.client_context is not None:
        text += f',"clientContext":{quoted(request.client_context)}'
    return (text + "}").encode()


def new_trace_id() -> str:
    """Return a trace header for a request that came without one, as Lambda makes it (X-Ray)."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Sampled=0"
