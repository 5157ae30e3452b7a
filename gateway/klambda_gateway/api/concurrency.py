"""Reserved concurrency and account settings. Texts: aws-contract f.

Place: operations of ``dispatch``'s table. Enforcement belongs to the data plane; here it is stored.
"""

from __future__ import annotations

from klambda_core import errors, limits
from klambda_core.concurrency import Pool, Qualified, pool_of
from klambda_core.crd import Function
from klambda_core.crd.base import Json
from klambda_gateway.api.allotment import allotted
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import function_of
from klambda_gateway.api.naming import Target
from klambda_gateway.api.storage import used


async def put_function_concurrency(services: Services, call: Call) -> Reply:
    """PutFunctionConcurrency; 0 stops the function."""
    target = _unqualified(call)
    wanted: int = call.input["ReservedConcurrentExecutions"]
    function = await function_of(services, call, target)
    before = function.spec.reserved_concurrent_executions

    await allotted(
        services.allotting,
        uid=function.uid,
        look=lambda: account_pool(services, call),
        judge=lambda pool: _check(pool, function, wanted),
        write=lambda: _store(services, function, wanted, target),
        take_back=lambda written: _restore(services, written, wanted, before, target),
        pause=services.pause,
    )
    return Reply(document={"ReservedConcurrentExecutions": wanted})


def _check(pool: Pool, function: Function, wanted: int) -> None:
    """A reservation leaves enough for others and covers what is provisioned. Raises 400."""
    if pool.unreserved(apart_from=function.uid) - wanted < limits.UNRESERVED_MIN:
        raise errors.over_quota(
            "Specified ReservedConcurrentExecutions for function decreases account's "
            "UnreservedConcurrentExecution below its minimum value of "
            f"[{limits.UNRESERVED_MIN}]."
        )
    provisioned = pool.provisioned.get(function.uid, 0)
    if wanted < provisioned:
        # The blanks are AWS's.
        raise errors.over_quota(
            f" ReservedConcurrentExecutions  {wanted} should not be lower than function's total "
            f"provisioned concurrency [{provisioned}]."
        )


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
    """GetAccountSettings: limits and use; every version has its own code, and layers count."""
    functions = await services.objects.functions(call.namespace)
    versions = await services.objects.all_versions(call.namespace)
    aliases = await services.objects.all_aliases(call.namespace)
    layers = await services.objects.layer_versions(call.namespace)
    size = used(functions, versions, layers)
    total = services.concurrent_executions(call.namespace)
    pool = pool_of(total, functions, [*versions, *aliases])
    limit: Json = {
        "TotalCodeSize": services.storage.limit,
        "CodeSizeUnzipped": limits.UNZIPPED_MAX,
        "CodeSizeZipped": limits.ZIP_DIRECT_MAX,
        "ConcurrentExecutions": total,
        "UnreservedConcurrentExecutions": max(0, pool.unreserved()),
    }
    usage = {"TotalCodeSize": size, "FunctionCount": len(functions)}
    return Reply(document={"AccountLimit": limit, "AccountUsage": usage})


async def account_pool(services: Services, call: Call, *, apart_from: str = "") -> Pool:
    """Who has a share of the account's concurrency; one version or alias may be left out."""
    qualified: list[Qualified] = [
        *await services.objects.all_versions(call.namespace),
        *await services.objects.all_aliases(call.namespace),
    ]
    return pool_of(
        services.concurrent_executions(call.namespace),
        await services.objects.functions(call.namespace),
        [each for each in qualified if each.uid != apart_from],
    )


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
) -> Function:
    return await services.objects.change(
        function,
        lambda _: {"spec": {"reservedConcurrentExecutions": reserved}},
        gone=errors.function_not_found(target.arn),
    )


async def _restore(
    services: Services, function: Function, wanted: int, before: int | None, target: Target
) -> None:
    """Take a reservation back, unless somebody has changed it since."""

    def decide(current: Function) -> Json:
        mine = current.spec.reserved_concurrent_executions == wanted
        return {"spec": {"reservedConcurrentExecutions": before}} if mine else {"spec": {}}

    gone = errors.function_not_found(target.arn)
    await services.objects.change(function, decide, gone=gone)
