"""Reserved concurrency and account settings. Texts: aws-contract f.

Place: operations of ``dispatch``'s table. Enforcement belongs to the data plane; here it is stored.
"""

from __future__ import annotations

from klambda_core import errors, limits
from klambda_core.code import CodeRef, resolved_code
from klambda_core.crd import Function
from klambda_core.crd.base import Json
from klambda_core.errors import LambdaError
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import function_of
from klambda_gateway.api.naming import Target


async def put_function_concurrency(services: Services, call: Call) -> Reply:
    """PutFunctionConcurrency; 0 stops the function."""
    target = _unqualified(call)
    wanted: int = call.input["ReservedConcurrentExecutions"]
    function = await function_of(services, call, target)
    others = [
        f.spec.reserved_concurrent_executions or 0
        for f in await services.objects.functions(call.namespace)
        if f.uid != function.uid
    ]
    if services.concurrent_executions - sum(others) - wanted < limits.UNRESERVED_MIN:
        raise LambdaError(
            errors.INVALID_PARAMETER_VALUE,
            "Specified ReservedConcurrentExecutions for function decreases account's "
            "UnreservedConcurrentExecution below its minimum value of "
            f"[{limits.UNRESERVED_MIN}].",
            typed=False,
        )
    await _store(services, function, wanted, target)
    return Reply(document={"ReservedConcurrentExecutions": wanted})


async def get_function_concurrency(services: Services, call: Call) -> Reply:
    """GetFunctionConcurrency; ``{}`` when nothing is reserved."""
    function = await function_of(services, call, call.target())
    reserved = function.spec.reserved_concurrent_executions
    return Reply(document={} if reserved is None else {"ReservedConcurrentExecutions": reserved})


async def delete_function_concurrency(services: Services, call: Call) -> Reply:
    """DeleteFunctionConcurrency: 204, also when nothing was reserved."""
    target = _unqualified(call)
    await _store(services, await function_of(services, call, target), None, target)
    return Reply(status=204)


async def get_account_settings(services: Services, call: Call) -> Reply:
    """GetAccountSettings: limits and use."""
    functions = await services.objects.functions(call.namespace)
    reserved = sum(f.spec.reserved_concurrent_executions or 0 for f in functions)
    codes = [resolved_code(function) for function in functions]
    blobs = {code.sha256: code.size for code in codes if isinstance(code, CodeRef)}
    for version in await services.objects.all_versions(call.namespace):
        code = version.spec.snapshot.code
        if code is not None:
            blobs[code.sha256] = code.size
    limit: Json = {
        "TotalCodeSize": limits.CODE_STORAGE_MAX,
        "CodeSizeUnzipped": limits.UNZIPPED_MAX,
        "CodeSizeZipped": limits.ZIP_DIRECT_MAX,
        "ConcurrentExecutions": services.concurrent_executions,
        "UnreservedConcurrentExecutions": services.concurrent_executions - reserved,
    }
    usage = {"TotalCodeSize": sum(blobs.values()), "FunctionCount": len(functions)}
    return Reply(document={"AccountLimit": limit, "AccountUsage": usage})


def _unqualified(call: Call) -> Target:
    target = call.target()
    if target.qualifier is not None:
        raise errors.invalid_parameter(
            "This operation is permitted on Lambda functions only. Aliases and versions do not "
            "support this operation. Please specify either a function name or an unqualified "
            "function ARN."
        )
    return target


async def _store(
    services: Services, function: Function, reserved: int | None, target: Target
) -> None:
    await services.objects.change(
        function,
        lambda _: {"spec": {"reservedConcurrentExecutions": reserved}},
        gone=errors.function_not_found(target.arn),
    )
