"""Tags of functions, event source mappings and code signing configs. Texts: aws-contract h.

Place: operations of ``dispatch``'s table; the resource is named by its ARN. Other resources carry
no tags and read as missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from klambda_core import errors
from klambda_core.arn import Malformed, parse_function
from klambda_core.crd import CodeSigningConfig, EventSourceMapping, Function
from klambda_core.crd.base import Json
from klambda_core.errors import LambdaError
from klambda_gateway.api import checks
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.event_sources import mapping_of
from klambda_gateway.api.naming import target_of
from klambda_gateway.api.signing import config_of

Taggable = Function | EventSourceMapping | CodeSigningConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tagged:
    item: Taggable
    missing: LambdaError


async def list_tags(services: Services, call: Call) -> Reply:
    """ListTags."""
    tagged = await _tagged(services, call)
    return Reply(document={"Tags": dict(tagged.item.spec.tags or {})})


async def tag_resource(services: Services, call: Call) -> Reply:
    """TagResource: 204; values given replace values stored, key by key."""
    given = call.input["Tags"]
    if not given:
        raise errors.invalid_parameter("An error occurred and the request cannot be processed.")

    def decide(current: Taggable) -> Json:
        checks.tags({**(current.spec.tags or {}), **given})
        return {"spec": {"tags": given}}

    tagged = await _tagged(services, call)
    await services.objects.change(tagged.item, decide, gone=tagged.missing)
    return Reply(status=204)


async def untag_resource(services: Services, call: Call) -> Reply:
    """UntagResource: 204; unknown keys do not matter."""
    keys = call.input["TagKeys"]

    def decide(current: Taggable) -> Json:
        gone = [key for key in keys if key in (current.spec.tags or {})]
        return {"spec": {"tags": dict.fromkeys(gone)}} if gone else {}

    tagged = await _tagged(services, call)
    await services.objects.change(tagged.item, decide, gone=tagged.missing)
    return Reply(status=204)


async def _tagged(services: Services, call: Call) -> _Tagged:
    arn: str = call.input["Resource"]
    missing = errors.resource_not_found()
    if ":event-source-mapping:" in arn:
        uuid = arn.rpartition(":")[2]
        return _Tagged(item=await mapping_of(services, call, uuid), missing=missing)
    if ":code-signing-config:" in arn:
        config = await config_of(services, call, arn)
        if config is None:
            raise missing
        return _Tagged(item=config, missing=missing)
    if ":function:" not in arn or isinstance(parse_function(arn), Malformed):
        raise missing
    return await _function(services, call, arn)


async def _function(services: Services, call: Call, arn: str) -> _Tagged:
    target = target_of(arn, None, region=call.region, account=call.account)
    if target.qualifier is not None:
        raise errors.invalid_parameter(
            "Tags on function aliases and versions are not supported. Please specify a function "
            "ARN."
        )
    function = await services.objects.function(call.namespace, target.name)
    missing = errors.function_not_found(target.arn)
    if function is None:
        raise missing
    return _Tagged(item=function, missing=missing)
