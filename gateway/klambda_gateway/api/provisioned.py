"""Provisioned concurrency: put, get, delete, list. Texts: aws-contract f.

Theory. The number lives on the Version or Alias that the qualifier names; how far it is stands in
that object's status, written by whoever keeps the instances, and is never guessed here: without
such a word the answer is IN_PROGRESS. Place: operations of ``dispatch``'s table. Not here: keeping
instances, the arithmetic of the pool (``klambda_core.concurrency``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from klambda_core import errors, limits
from klambda_core.clock import kube_to_lambda, lambda_timestamp
from klambda_core.concurrency import Pool, Qualified, provisioned_of
from klambda_core.crd import Alias, Function, Version
from klambda_core.crd.base import Json
from klambda_core.labels import PROVISIONED_MODIFIED
from klambda_core.names import LATEST
from klambda_gateway.api.allotment import allotted
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.concurrency import account_pool
from klambda_gateway.api.lookup import Lack, function_of, holder_of
from klambda_gateway.api.naming import Target
from klambda_gateway.api.paging import page, with_marker
from klambda_gateway.api.views import alias_version


async def put_provisioned_concurrency_config(services: Services, call: Call) -> Reply:
    """PutProvisionedConcurrencyConfig: 202, IN_PROGRESS until all are initialised."""
    target, wanted = call.target(), call.input["ProvisionedConcurrentExecutions"]
    if target.is_latest:
        raise errors.unpublished()
    function = await function_of(services, call, target)
    item = await _qualified(services, call, target)
    await check_provisionable(services, function, item)
    before = item.spec.provisioned_concurrent_executions

    changed = await allotted(
        services.allotting,
        uid=function.uid,
        look=lambda: account_pool(services, call, apart_from=item.uid),
        judge=lambda pool: _check_room(pool, function, wanted),
        write=lambda: _store(services, item, wanted, target),
        take_back=lambda written: _restore(services, written, wanted, before, target),
        pause=services.pause,
    )
    document = _document(changed)
    zeros = dict.fromkeys(("Allocated", "Available"), 0)
    document |= {f"{word}ProvisionedConcurrentExecutions": n for word, n in zeros.items()}
    return Reply(status=202, document=document | {"Status": "IN_PROGRESS"})


async def get_provisioned_concurrency_config(services: Services, call: Call) -> Reply:
    """GetProvisionedConcurrencyConfig."""
    item = await _qualified(services, call, _published(call))
    if item.spec.provisioned_concurrent_executions is None:
        raise errors.no_provisioned_concurrency()
    return Reply(document=_document(item))


async def delete_provisioned_concurrency_config(services: Services, call: Call) -> Reply:
    """DeleteProvisionedConcurrencyConfig: 204, also when there is none."""
    target = _published(call)
    item = await _qualified(services, call, target)
    if item.spec.provisioned_concurrent_executions is not None:
        await _store(services, item, None, target)
    return Reply(status=204)


async def list_provisioned_concurrency_configs(services: Services, call: Call) -> Reply:
    """ListProvisionedConcurrencyConfigs: of the function's versions and aliases."""
    target = call.target()
    function = await function_of(services, call, target)
    items: list[tuple[str, Qualified]] = [
        *((str(v.spec.version), v) for v in await services.objects.versions(function)),
        *((a.spec.name, a) for a in await services.objects.aliases(function)),
    ]
    rows = [
        (qualifier, {"FunctionArn": target.qualified(qualifier)} | _document(item))
        for qualifier, item in sorted(items, key=lambda row: row[0])
        if item.spec.provisioned_concurrent_executions is not None
    ]
    shown, marker = page(rows, call, lambda row: row[0])
    documents = [row[1] for row in shown]
    return Reply(document=with_marker({"ProvisionedConcurrencyConfigs": documents}, marker))


def _published(call: Call) -> Target:
    target = call.target()
    if target.is_latest:
        raise errors.invalid_parameter(
            "The function resource provided must be an alias or a published version."
        )
    return target


async def _qualified(services: Services, call: Call, target: Target) -> Qualified:
    found = await holder_of(services, call, target)
    match found:
        case Lack.ALIAS:
            raise errors.alias_not_found(target.arn)
        case Version() | Alias():
            return found
        case _:
            raise errors.function_not_found(target.arn)


async def check_provisionable(services: Services, function: Function, item: Qualified) -> None:
    """Published, without SnapStart, and provisioned by a version or its aliases, not by both.

    An alias that is provisioned can get a second version later, as canaries do.
    """
    if isinstance(item, Alias):
        if len(_pointed(item)) > 1:
            raise errors.weighted()
        await check_versions(services, function, _pointed(item))
        return
    _check_snap_start(item)
    for alias in await services.objects.aliases(function):
        provisioned = alias.spec.provisioned_concurrent_executions is not None
        if provisioned and str(item.spec.version) in _pointed(alias):
            raise errors.conflict("Version is pointed by a Provisioned Concurrency alias")


async def check_versions(services: Services, function: Function, numbers: Collection[str]) -> None:
    """Whether an alias of these versions can have provisioned concurrency. Raises 400, 409."""
    if LATEST in numbers:
        raise errors.unpublished()
    for version in await services.objects.versions(function):
        if str(version.spec.version) not in numbers:
            continue
        _check_snap_start(version)
        if version.spec.provisioned_concurrent_executions is not None:
            raise errors.conflict(
                "Alias can't be used for Provisioned Concurrency configuration on an already "
                "Provisioned version"
            )


def _check_snap_start(version: Version) -> None:
    if version.spec.snapshot.snap_start.apply_on == "PublishedVersions":
        raise errors.snap_start_excludes("Provisioned concurrency")


def _pointed(alias: Alias) -> set[str]:
    routing = alias.spec.routing_config
    weights = (routing.additional_version_weights or {}) if routing is not None else {}
    return {alias_version(alias), *weights}


def _check_room(pool: Pool, function: Function, wanted: int) -> None:
    """``pool``: without what the item has now."""
    total = pool.provisioned.get(function.uid, 0) + wanted
    reserved = pool.reserved.get(function.uid)
    if reserved is not None:
        if total > reserved:
            raise errors.over_quota(
                "Requested Provisioned Concurrency should not be greater than the "
                "reservedConcurrentExecution for function"
            )
        return
    left = pool.unreserved(apart_from=function.uid)
    if total > left:
        raise errors.over_quota(
            "Specified ConcurrentExecutions for function is greater than account's unreserved "
            f"concurrency [{left}]."
        )
    if left - total < limits.UNRESERVED_MIN:
        raise errors.over_quota(
            "Specified ConcurrentExecutions for function decreases account's "
            f"UnreservedConcurrentExecution below its minimum value of [{limits.UNRESERVED_MIN}]."
        )


async def _store(
    services: Services, item: Qualified, wanted: int | None, target: Target
) -> Qualified:
    patch: Json = {
        "metadata": {"annotations": {PROVISIONED_MODIFIED: lambda_timestamp(services.now())}},
        "spec": {"provisionedConcurrentExecutions": wanted},
    }
    return await _change(services, item, lambda _: patch, target)


async def _restore(
    services: Services, item: Qualified, wanted: int, before: int | None, target: Target
) -> None:
    """Take a number back, unless somebody has changed it since."""

    def decide(current: Qualified) -> Json:
        mine = current.spec.provisioned_concurrent_executions == wanted
        return {"spec": {"provisionedConcurrentExecutions": before}} if mine else {"spec": {}}

    await _change(services, item, decide, target)


async def _change(
    services: Services, item: Qualified, decide: Callable[[Qualified], Json], target: Target
) -> Qualified:
    gone = errors.function_not_found(target.arn)
    if isinstance(item, Alias):
        return await services.objects.change(item, decide, gone=gone)
    return await services.objects.change(item, decide, gone=gone)


def _document(item: Qualified) -> Json:
    found = provisioned_of(item)
    if found is None:  # removed meanwhile
        raise errors.no_provisioned_concurrency()
    written = item.metadata.annotations.get(PROVISIONED_MODIFIED)
    document: Json = {
        "RequestedProvisionedConcurrentExecutions": found.requested,
        "AvailableProvisionedConcurrentExecutions": found.available,
        "AllocatedProvisionedConcurrentExecutions": found.allocated,
        "Status": found.status,
        "LastModified": written or kube_to_lambda(item.metadata.creation_timestamp) or "",
    }
    return document if found.reason is None else document | {"StatusReason": found.reason}
