"""Aliases: create, get, update, delete, list. Texts: aws-contract e.

Place: operations of ``dispatch``'s table. An alias written here always names its version; one that
kubectl made may follow the newest (``track``), which an update through the API ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from klambda_core import errors
from klambda_core.arn import is_version
from klambda_core.crd import Alias, Function
from klambda_core.crd.base import Json
from klambda_core.labels import FUNCTION as FUNCTION_LABEL
from klambda_core.names import LATEST, alias_name
from klambda_core.snapshot import owner_reference
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import check_revision, function_of, place_of
from klambda_gateway.api.naming import Target
from klambda_gateway.api.objects import NameBusy, merge_members
from klambda_gateway.api.paging import page, with_marker
from klambda_gateway.api.provisioned import check_versions
from klambda_gateway.api.views import alias_configuration, alias_version


async def create_alias(services: Services, call: Call) -> Reply:
    """CreateAlias: 201."""
    given, target = call.input, call.target()
    function = await function_of(services, call, target)
    arn = target.qualified(given["Name"])
    weights = given.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    await _check_versions(services, function, target, given["FunctionVersion"], weights)
    if await services.objects.alias(function, given["Name"]) is not None:
        raise _exists(arn)
    spec: Json = {
        "functionRef": function.name,
        "name": given["Name"],
        "functionVersion": given["FunctionVersion"],
        "description": given.get("Description", ""),
    }
    if weights:
        spec["routingConfig"] = {"additionalVersionWeights": weights}
    metadata = {
        "name": alias_name(function.name, given["Name"]),
        "labels": {FUNCTION_LABEL: function.name},
        "ownerReferences": [owner_reference(function)],
    }
    try:
        alias = await services.objects.create(
            Alias, function.namespace, {"metadata": metadata, "spec": spec}
        )
    except NameBusy:
        raise _exists(arn) from None
    return Reply(status=201, document=_shown(alias, function, call))


async def get_alias(services: Services, call: Call) -> Reply:
    """GetAlias."""
    function, alias, target = await _found(services, call)
    if alias is None:
        raise errors.alias_not_found(target.qualified(call.input["Name"]))
    return Reply(document=_shown(alias, function, call))


async def update_alias(services: Services, call: Call) -> Reply:
    """UpdateAlias: members given replace members stored."""
    given = call.input
    function, alias, target = await _found(services, call)
    missing = errors.not_found(f"Alias not found: {target.qualified(given['Name'])}")
    if alias is None:
        raise missing
    check_revision(alias, given.get("RevisionId"))
    version = given.get("FunctionVersion", alias_version(alias))
    weights = _weights_after(alias, given)
    await _check_versions(services, function, target, version, weights)
    if alias.spec.provisioned_concurrent_executions is not None and _leads_elsewhere(given):
        await check_versions(services, function, {version, *weights})

    def decide(current: Alias) -> Json:
        check_revision(current, given.get("RevisionId"))
        return {"spec": _changes(current, given)}

    alias = await services.objects.change(alias, decide, gone=missing)
    return Reply(document=_shown(alias, function, call))


async def delete_alias(services: Services, call: Call) -> Reply:
    """DeleteAlias: 204, also when there is none."""
    _, alias, _ = await _found(services, call)
    if alias is not None:
        await services.objects.delete(alias)
    return Reply(status=204)


async def list_aliases(services: Services, call: Call) -> Reply:
    """ListAliases: by name, those of one version when asked."""
    function = await function_of(services, call, call.target())
    aliases = await services.objects.aliases(function)
    wanted = call.input.get("FunctionVersion")
    if wanted is not None:
        aliases = [alias for alias in aliases if alias_version(alias) == wanted]
    shown, marker = page(aliases, call, lambda alias: alias.spec.name)
    documents = [_shown(alias, function, call) for alias in shown]
    return Reply(document=with_marker({"Aliases": documents}, marker))


async def _found(services: Services, call: Call) -> tuple[Function, Alias | None, Target]:
    target = call.target()
    function = await function_of(services, call, target)
    return function, await services.objects.alias(function, call.input["Name"]), target


def _shown(alias: Alias, function: Function, call: Call) -> Json:
    return alias_configuration(alias, function.aws_name, place_of(call))


def _exists(arn: str) -> errors.LambdaError:
    return errors.conflict(f"Alias already exists: {arn}")


def _leads_elsewhere(given: Mapping[str, object]) -> bool:
    return "FunctionVersion" in given or "RoutingConfig" in given


def _weights_after(alias: Alias, given: Mapping[str, object]) -> Mapping[str, float]:
    routing = given.get("RoutingConfig")
    if isinstance(routing, Mapping):
        weights: Mapping[str, float] = routing.get("AdditionalVersionWeights", {})
        return weights
    stored = alias.spec.routing_config
    return (stored.additional_version_weights or {}) if stored is not None else {}


def _changes(alias: Alias, given: Mapping[str, object]) -> Json:
    changes: Json = {}
    if "FunctionVersion" in given:
        changes["functionVersion"] = given["FunctionVersion"]
        if alias.spec.track is not None:
            changes["track"] = None
    if "Description" in given:
        changes["description"] = given["Description"]
    if "RoutingConfig" in given:
        weights = dict(_weights_after(alias, given))
        stored = alias.spec.routing_config
        old = stored.to_json() if stored is not None else None
        new = {"additionalVersionWeights": weights} if weights else None
        changes["routingConfig"] = merge_members(old, new)
    return changes


async def _check_versions(
    services: Services,
    function: Function,
    target: Target,
    version: str,
    weights: Mapping[str, float],
) -> None:
    """The versions an alias names exist and go together."""
    if len(weights) > 1:
        raise errors.invalid_parameter(
            "Number of items in AdditionalVersionWeights cannot be greater than 1"
        )
    if weights and version == LATEST:
        raise errors.invalid_parameter(
            "$LATEST is not supported for an alias pointing to more than 1 version"
        )
    if version in weights:
        raise errors.invalid_parameter(
            f"Invalid function version {version}. Function version {version} is already included "
            "in routing configuration."
        )
    for number in (version, *weights):
        if number == LATEST:
            continue
        known = is_version(number) and await services.objects.version(function, int(number))
        if not known:
            raise errors.function_not_found(target.qualified(number))
