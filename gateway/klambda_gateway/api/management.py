"""Runtime management and recursion configs: two small settings beside a function.

Place: operations of ``dispatch``'s table. Runtime management belongs to ``$LATEST`` or a version,
the recursion config to the function. Texts: botocore's model and the API reference. Both are kept
and shown; runtime images are those of the installation, whatever the mode says (docs/limits.md).
"""

from __future__ import annotations

from klambda_core import errors
from klambda_core.crd import Function, Version
from klambda_core.crd.base import Json
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import function_of, holder_of
from klambda_gateway.api.naming import Target
from klambda_gateway.api.objects import merge_members


async def get_runtime_management_config(services: Services, call: Call) -> Reply:
    """GetRuntimeManagementConfig: Auto when nothing was set."""
    target = call.target()
    return Reply(document=_shown(await _managed(services, call, target), target))


async def put_runtime_management_config(services: Services, call: Call) -> Reply:
    """PutRuntimeManagementConfig; Manual needs a runtime version's ARN."""
    given, target = call.input, call.target()
    mode, arn = given["UpdateRuntimeOn"], given.get("RuntimeVersionArn")
    if mode == "Manual" and arn is None:
        raise errors.invalid_parameter(
            "A RuntimeVersionArn must be provided when UpdateRuntimeOn is Manual."
        )
    if mode != "Manual" and arn is not None:
        raise errors.invalid_parameter(
            f"RuntimeVersionArn can not be provided when UpdateRuntimeOn is {mode}."
        )
    item = await _managed(services, call, target)
    config: Json = {"updateRuntimeOn": mode}
    if arn is not None:
        config["runtimeVersionArn"] = arn

    def decide(current: Function | Version) -> Json:
        old = current.spec.runtime_management
        return {
            "spec": {"runtimeManagement": merge_members(old and old.to_json(), config)},
        }

    gone = errors.function_not_found(target.arn)
    changed: Function | Version
    if isinstance(item, Function):
        changed = await services.objects.change(item, decide, gone=gone)
    else:
        changed = await services.objects.change(item, decide, gone=gone)
    return Reply(document=_shown(changed, target))


async def get_function_recursion_config(services: Services, call: Call) -> Reply:
    """GetFunctionRecursionConfig: Terminate when nothing was set."""
    function = await function_of(services, call, call.target())
    return Reply(document={"RecursiveLoop": function.spec.recursive_loop or "Terminate"})


async def put_function_recursion_config(services: Services, call: Call) -> Reply:
    """PutFunctionRecursionConfig."""
    target, wanted = call.target(), call.input["RecursiveLoop"]
    function = await function_of(services, call, target)
    await services.objects.change(
        function,
        lambda _: {"spec": {"recursiveLoop": wanted}},
        gone=errors.function_not_found(target.arn),
    )
    return Reply(document={"RecursiveLoop": wanted})


async def _managed(services: Services, call: Call, target: Target) -> Function | Version:
    """An alias has no runtime of its own."""
    found = await holder_of(services, call, target)
    if isinstance(found, Function | Version):
        return found
    raise errors.function_not_found(target.arn)


def _shown(item: Function | Version, target: Target) -> Json:
    config = item.spec.runtime_management
    document: Json = {"UpdateRuntimeOn": "Auto", "FunctionArn": target.arn}
    if config is not None:
        document["UpdateRuntimeOn"] = config.update_runtime_on
        if config.runtime_version_arn is not None:
            document["RuntimeVersionArn"] = config.runtime_version_arn
    return document
