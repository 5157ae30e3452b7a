"""The queue of a function's asynchronous events: ours, beyond Lambda's API (docs/operations.md).

    GET  /klambda/v1/async-queues/<function>           how long it is, and whether it is paused
    PUT  /klambda/v1/async-queues/<function>           {"Paused": true}, {"Paused": false}
    POST /klambda/v1/async-queues/<function>/redrive   run again what failed, tell what was not told

Place: ``dispatch`` comes here before it routes. Invariants: a pause is a setting of the function
(``spec.asyncPaused``), which kubectl may change as well; whoever may configure a function's events
may pause them, whoever may invoke it may run again what failed. Not here: what a pause means
(``events.policy``, ``events.credit``), which events failed (the store).
"""

from __future__ import annotations

import json
from typing import Any, Final

from klambda_core import errors
from klambda_core.crd import Function
from klambda_gateway.api.call import Reply, Services
from klambda_gateway.api.naming import Target, target_of
from klambda_gateway.auth.caller import Caller

PREFIX: Final = b"/klambda/v1/async-queues/"
REDRIVE: Final = "redrive"
BODY_MAX: Final = 1024
ACTIONS: Final = {
    ("GET", ""): "lambda:GetFunctionEventInvokeConfig",
    ("PUT", ""): "lambda:PutFunctionEventInvokeConfig",
    ("POST", REDRIVE): "lambda:InvokeFunction",
}
"""What each needs, by method and what follows the function's name."""


def is_ours(path: bytes) -> bool:
    """Whether a request's path leads here."""
    return path.startswith(PREFIX)


async def answer(
    services: Services, caller: Caller, method: str, path: bytes, body: bytes
) -> Reply:
    """Show, pause or redrive a queue. Raises LambdaError 400, 403, 404, 503."""
    name, _, verb = path.removeprefix(PREFIX).decode("ascii", "replace").partition("/")
    action = ACTIONS.get((method, verb))
    if action is None:
        raise errors.LambdaError(errors.UNKNOWN_OPERATION, f"{method} is not served here.")
    target = target_of(name, None, region=services.region, account=caller.account)
    await services.authorizer.check(caller, action, target.arn)
    function = await services.objects.function(caller.namespace, target.name)
    if function is None:
        raise errors.function_not_found(target.arn)
    if verb == REDRIVE:
        return Reply(document={"Redriven": await services.events.redrive(function.uid)})
    if method == "PUT":
        function = await _paused(services, function, target, _wanted(body))
    return Reply(document=await _shown(services, function, target))


def _wanted(body: bytes) -> bool:
    """Whether it shall be paused. Raises LambdaError 400."""
    try:
        document = json.loads(body) if len(body) <= BODY_MAX else None
    except (ValueError, RecursionError):
        document = None
    wanted = document.get("Paused") if isinstance(document, dict) else None
    if not isinstance(wanted, bool):
        raise errors.invalid_parameter('The body must be {"Paused": true} or {"Paused": false}.')
    return wanted


async def _paused(services: Services, function: Function, target: Target, wanted: bool) -> Function:
    return await services.objects.change(
        function,
        lambda _: {"spec": {"asyncPaused": wanted or None}},
        gone=errors.function_not_found(target.arn),
    )


async def _shown(services: Services, function: Function, target: Target) -> dict[str, Any]:
    queue = await services.events.queue(function.uid)
    return {
        "FunctionArn": target.arn,
        "Paused": bool(function.spec.async_paused),
        "Depth": 0 if queue is None else queue.depth,
        "OldestEventAgeInSeconds": 0 if queue is None else int(queue.oldest_age),
    }
