"""UpdateFunctionConfiguration: members given replace members stored, one by one.

Place: an operation of ``dispatch``'s table. Invariants: only changed members are written; what
kubectl alone can set (``environment.valueFrom``) survives; answers always say InProgress, as AWS's
do even when nothing changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klambda_core import errors
from klambda_core.code import CodeRef, resolved_code
from klambda_core.crd import Function
from klambda_core.crd.base import Json
from klambda_gateway.api import checks
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.function_layers import check_size, remembered, resolved
from klambda_gateway.api.lookup import (
    check_changeable,
    check_latest,
    check_pod,
    check_revision,
    check_role,
    function_of,
    place_of,
)
from klambda_gateway.api.objects import merge_members
from klambda_gateway.api.spec import logging_config, spec_members
from klambda_gateway.api.views import IN_PROGRESS, function_configuration


async def update_function_configuration(services: Services, call: Call) -> Reply:
    """UpdateFunctionConfiguration: 200, LastUpdateStatus InProgress."""
    given, target = call.input, call.target()
    check_latest(target)
    function = await function_of(services, call, target)
    await check_pod(services, call, function)
    check_role(services, call, function.aws_name)
    checks.configuration(given, runtimes=services.runtimes)
    checks.members(given, function.spec.package_type)
    layers = await resolved(services, call, given, function)

    def decide(current: Function) -> Json:
        check_revision(current, given.get("RevisionId"))
        check_changeable(current, target.function_arn)
        spec = current.spec.to_json()
        checks.together(given, spec)
        if layers:
            code = resolved_code(current)
            check_size(code if isinstance(code, CodeRef) else None, layers)
        return {"spec": changes(spec, given)}

    function = await services.objects.change(
        function, decide, gone=errors.function_not_found(target.arn), configuration=True
    )
    function = await remembered(services, function, layers)
    return Reply(document=function_configuration(function, place_of(call)) | IN_PROGRESS)


def changes(spec: Mapping[str, Any], given: Mapping[str, Any]) -> Json:
    """The merge patch of the spec: changed members only."""
    patch: Json = {}
    for name, value in spec_members(given).items():
        old, new = spec.get(name), value
        if name == "environment" and isinstance(old, dict) and "valueFrom" in old:
            new = {**value, "valueFrom": old["valueFrom"]}
        if name == "loggingConfig":
            new = logging_config(given["LoggingConfig"], old)
        if new != old:
            patch[name] = merge_members(old, new)
    return patch
