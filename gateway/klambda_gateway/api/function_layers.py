"""The layers that a create or update request gives a function: looked up, judged, remembered.

Place: CreateFunction and the Update operations. Invariants: what a request names is resolved before
anything is written; afterwards the digests stand in ``status.layers``, so that a layer that is
deleted a moment later is served all the same. Rules and texts: ``klambda_core.layers``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from klambda_core import errors, layers
from klambda_core.code import CodeRef
from klambda_core.crd import Function, ResolvedLayer
from klambda_core.crd.base import Json
from klambda_core.errors import LambdaError
from klambda_core.layers import Trouble
from klambda_gateway.api.call import Call, Services
from klambda_gateway.code.layers import known


async def resolved(
    services: Services, call: Call, given: Mapping[str, Any], function: Function | None = None
) -> list[ResolvedLayer] | None:
    """What the request's Layers are, None when it gives none. Raises 400, 403."""
    if "Layers" not in given:
        return None
    before = used(function) if function is not None else {}
    found = await services.shelf.resolve(call.namespace, given["Layers"], before)
    if isinstance(found, Trouble):
        raise refusal(found, call, given["Layers"])
    return found


def used(function: Function) -> Mapping[str, ResolvedLayer]:
    """The layers that a function has now, by ARN, as far as they are resolved."""
    wanted = function.spec.layers or ()
    return {arn: layer for arn, layer in known(function).items() if arn in wanted}


def check_size(code: CodeRef | None, found: Iterable[ResolvedLayer] | None) -> None:
    """Code and layers together. Raises 400."""
    trouble = layers.check_size(code, list(found or ()))
    if trouble is not None:
        raise errors.invalid_parameter(trouble.message)


async def remembered(
    services: Services, function: Function, found: Sequence[ResolvedLayer] | None
) -> Function:
    """The function with the digests of its layers in its status."""
    if not found or list(found) == function.status.layers:
        return function

    def decide(current: Function) -> Json:
        wanted = set(current.spec.layers or ())
        mine = {layer.arn: layer for layer in found} | dict(known(current))
        kept = [layer.to_json() for arn, layer in mine.items() if arn in wanted]
        return {"status": {"layers": kept}}

    gone = errors.resource_not_found()
    return await services.objects.change(function, decide, gone=gone, subresource="status")


def refusal(trouble: Trouble, call: Call, arns: Sequence[str]) -> LambdaError:
    """A Trouble as Lambda's error."""
    if trouble.reason == layers.DENIED:
        arn = next((arn for arn in arns if arn in trouble.message), "*")
        return errors.layer_denied(call.caller.arn, arn)
    return errors.invalid_parameter(trouble.message)
