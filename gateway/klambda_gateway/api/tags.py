"""Tags of functions. Texts: aws-contract h.

Place: operations of ``dispatch``'s table; the resource is named by its ARN. Other taggable
resources do not exist here yet and read as missing.
"""

from __future__ import annotations

from klambda_core import errors
from klambda_core.arn import Malformed, parse_function
from klambda_core.crd import Function
from klambda_core.crd.base import Json
from klambda_gateway.api import checks
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.naming import Target, target_of


async def list_tags(services: Services, call: Call) -> Reply:
    """ListTags."""
    function, _ = await _tagged(services, call)
    return Reply(document={"Tags": dict(function.spec.tags or {})})


async def tag_resource(services: Services, call: Call) -> Reply:
    """TagResource: 204; values given replace values stored, key by key."""
    given = call.input["Tags"]
    if not given:
        raise errors.invalid_parameter("An error occurred and the request cannot be processed.")
    function, target = await _tagged(services, call)

    def decide(current: Function) -> Json:
        checks.tags({**(current.spec.tags or {}), **given})
        return {"spec": {"tags": given}}

    await services.objects.change(function, decide, gone=errors.function_not_found(target.arn))
    return Reply(status=204)


async def untag_resource(services: Services, call: Call) -> Reply:
    """UntagResource: 204; unknown keys do not matter."""
    keys = call.input["TagKeys"]
    function, target = await _tagged(services, call)

    def decide(current: Function) -> Json:
        gone = [key for key in keys if key in (current.spec.tags or {})]
        return {"spec": {"tags": dict.fromkeys(gone)}} if gone else {}

    await services.objects.change(function, decide, gone=errors.function_not_found(target.arn))
    return Reply(status=204)


async def _tagged(services: Services, call: Call) -> tuple[Function, Target]:
    arn: str = call.input["Resource"]
    if ":function:" not in arn or isinstance(parse_function(arn), Malformed):
        raise errors.resource_not_found()
    target = target_of(arn, None, region=call.region, account=call.account)
    if target.qualifier is not None:
        raise errors.invalid_parameter(
            "Tags on function aliases and versions are not supported. Please specify a function "
            "ARN."
        )
    function = await services.objects.function(call.namespace, target.name)
    if function is None:
        raise errors.function_not_found(target.arn)
    return function, target
