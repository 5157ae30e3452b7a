"""What became of a request whose instance is gone: an error of the platform, or of the function.

Place: ``invoke.service`` asks when a call broke off. A container that was killed for its memory is
the function's own failure, as on Lambda, and the kubelet tells it about a second later.
Invariant: a request that was accepted is never sent again, whatever is found.
"""

from __future__ import annotations

import asyncio
from typing import Final

from klambda_core import errors
from klambda_gateway.bulk import whole
from klambda_gateway.instances.call import Call
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.streamed import Ending
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_gateway.routing.resolve import Target
from klambda_obs import logs

PATIENCE_S: Final = 2.0
STEP_S: Final = 0.1

_log = logs.get("klambda.gateway.invoke")


async def fate(
    request: InvokeRequest, target: Target, call: Call, *, patience: float = PATIENCE_S
) -> InvokeAnswer | errors.LambdaError:
    """Return what the caller is told."""
    _log.warning(
        "instance-lost-in-run",
        request_id=request.request_id,
        deployment=target.deployment.name,
        accepted=call.accepted,
    )
    if not (call.accepted and await _killed_for_memory(call.record, patience)):
        return errors.service("The execution environment was lost while it ran the request.")
    text = f"RequestId: {request.request_id} Error: Runtime exited with error: signal: killed"
    return InvokeAnswer(
        payload=f'{{"errorType":"Runtime.ExitError","errorMessage":"{text}"}}'.encode(),
        executed_version=target.executed_version,
        function_error="Unhandled",
    )


async def fate_of_stream(
    request: InvokeRequest, target: Target, call: Call, *, patience: float = PATIENCE_S
) -> Ending:
    """Return how a streamed answer ends whose head is out already."""
    found = await fate(request, target, call, patience=patience)
    if isinstance(found, InvokeAnswer):
        return Ending(function_error="Unhandled", details=whole(found.payload).decode())
    text = f"RequestId: {request.request_id} Error: {found.message}"
    details = f'{{"errorType":"Sandbox.Failure","errorMessage":"{text}"}}'
    return Ending(function_error="Unhandled", details=details)


async def _killed_for_memory(record: Record, patience: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while record.pod is None or record.pod.terminated is None:
        if loop.time() >= deadline or record.pod_gone:
            return False
        await asyncio.sleep(STEP_S)
    return record.pod.terminated == "OOMKilled"
