"""Finding what a request's target means, and whether it may be changed now.

Place: shared first steps of the operations. Errors: Lambda's 404s, 409s and 412 (aws-contract a.3,
a.4). Not here: making or changing anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from klambda_core import errors
from klambda_core.arn import function_arn
from klambda_core.code import NO_CODE, Unresolved, resolved_code
from klambda_core.crd import Alias, Function, Version
from klambda_core.crd.base import KubeObject
from klambda_core.layers import resolved_layers
from klambda_core.names import LATEST
from klambda_core.state import function_state, revision_id
from klambda_gateway.api.call import Call, Services
from klambda_gateway.api.naming import Target
from klambda_gateway.api.views import Place, alias_version
from klambda_gateway.auth.rights import USE_POD
from klambda_gateway.auth.sessions import assumable


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A function; and the version and alias that a qualifier led to. No version: $LATEST."""

    function: Function
    version: Version | None = None
    alias: Alias | None = None


Holder = Function | Version | Alias
"""What carries a setting of its own per qualifier: policy, event invoke config and the like."""


class Lack(Enum):
    """What of a target does not exist."""

    FUNCTION = auto()
    VERSION = auto()
    ALIAS = auto()


def place_of(call: Call) -> Place:
    """Where the ARNs of this call's answers are made for."""
    return Place(region=call.region, account=call.account)


async def function_of(services: Services, call: Call, target: Target) -> Function:
    """The function itself, whatever the qualifier. Raises 404 naming the ARN as asked for."""
    found = await services.objects.function(call.namespace, target.name)
    if found is None:
        raise errors.function_not_found(target.arn)
    return found


def check_latest(target: Target) -> None:
    """Raise 400 when a version or alias is to be changed, which only $LATEST can be."""
    if not target.is_latest:
        raise errors.only_latest()


async def find(services: Services, call: Call, target: Target) -> Found:
    """Follow the qualifier. Raises 404 naming the ARN as asked for."""
    function = await function_of(services, call, target)
    alias: Alias | None = None
    number = target.version
    if target.alias is not None:
        alias = await services.objects.alias(function, target.alias)
        if alias is None:
            raise errors.function_not_found(target.arn)
        pointed = alias_version(alias)
        if pointed == LATEST:
            return Found(function=function, alias=alias)
        number = int(pointed)
    if number is None:
        return Found(function=function)
    version = await services.objects.version(function, number)
    if version is None:
        raise errors.function_not_found(target.arn)
    return Found(function=function, version=version, alias=alias)


async def holder_of(services: Services, call: Call, target: Target) -> Holder | Lack:
    """The object whose setting a qualifier means; each operation words a lack in its own way."""
    function = await services.objects.function(call.namespace, target.name)
    if function is None:
        return Lack.FUNCTION
    if target.alias is not None:
        return await services.objects.alias(function, target.alias) or Lack.ALIAS
    if target.version is not None:
        return await services.objects.version(function, target.version) or Lack.VERSION
    return function


def check_role(services: Services, call: Call, function: str) -> None:
    """Raise 400 when the role of a request is one that does not list this function."""
    role = call.input.get("Role")
    if role is not None and not assumable(services.roles, call.namespace, role, function):
        raise errors.role_not_assumable()


async def check_pod(services: Services, call: Call, function: Function) -> None:
    """Raise 403 when what is to be changed runs with pod settings that the caller may not use."""
    environment = function.spec.environment
    if function.spec.pod is None and not (environment and environment.value_from):
        return
    arn = function_arn(call.region, call.account, function.aws_name)
    await services.authorizer.check(call.caller, USE_POD, arn)


def check_changeable(function: Function, arn: str) -> None:
    """Raise 409 while a creation or an update has not settled."""
    code = resolved_code(function)
    if isinstance(code, Unresolved) and (code.reason == NO_CODE or code.final):
        return  # It waits for just such a change.
    layers = resolved_layers(function)
    if isinstance(layers, Unresolved) and layers.final:
        return
    lifecycle = function_state(function)
    if lifecycle.state == "Pending":
        raise errors.wrong_state("Pending")
    if lifecycle.last_update_status == "InProgress":
        raise errors.update_in_progress(arn)


def check_revision(item: KubeObject, given: str | None) -> None:
    """Raise 412 when the caller has seen another revision."""
    if given is not None and given != revision_id(item):
        raise errors.revision_mismatch()
