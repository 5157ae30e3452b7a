"""UpdateFunctionCode.

Place: an operation of ``dispatch``'s table. Invariants: the object gets the new source and loses
every other one, so that what was uploaded or named is what runs. Not here: what a source must be
(``packages``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klambda_core import errors
from klambda_core.crd import Function
from klambda_core.crd.base import Json
from klambda_gateway.api import checks
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.function_layers import check_size, used
from klambda_gateway.api.lookup import (
    check_changeable,
    check_latest,
    check_pod,
    check_revision,
    function_of,
    place_of,
)
from klambda_gateway.api.objects import merge_members
from klambda_gateway.api.packages import Source, source_of, told
from klambda_gateway.api.signing import check_signature, config_of
from klambda_gateway.api.versions import publish
from klambda_gateway.api.views import (
    IN_PROGRESS,
    code_sha256,
    function_configuration,
    version_configuration,
)


async def update_function_code(services: Services, call: Call) -> Reply:
    """UpdateFunctionCode: 200, LastUpdateStatus InProgress."""
    given, target, place = call.input, call.target(), place_of(call)
    check_latest(target)
    function = await function_of(services, call, target)
    await check_pod(services, call, function)
    checks.architectures(given)
    check_revision(function, given.get("RevisionId"))
    check_changeable(function, target.function_arn)
    if function.spec.code_signing_config is not None:
        config = await config_of(services, call, function.spec.code_signing_config)
        if config is not None:
            check_signature(config, function.aws_name)
    source = await source_of(
        services,
        call,
        given,
        package_type=function.spec.package_type,
        architecture=given.get("Architectures", function.spec.architectures)[0],
        verb="updating",
        store=not given.get("DryRun"),
    )
    if given.get("DryRun"):
        return Reply(document=_would_be(function_configuration(function, place), given, source))
    check_size(source.ref, used(function).values())

    def decide(current: Function) -> Json:
        check_revision(current, given.get("RevisionId"))
        check_changeable(current, target.function_arn)
        return {"spec": _changes(current, given, source)}

    function = await services.objects.change(
        function, decide, gone=errors.function_not_found(target.arn), configuration=True
    )
    function = await told(services, function, source)
    if given.get("Publish"):
        version = await publish(services, function)
        return Reply(document=version_configuration(version, place))
    return Reply(document=function_configuration(function, place) | IN_PROGRESS)


def _changes(function: Function, given: Mapping[str, Any], source: Source) -> Json:
    old = function.spec.code.to_json() if function.spec.code is not None else None
    changes: Json = {"code": merge_members(old, source.code)}
    if "Architectures" in given:
        changes["architectures"] = given["Architectures"]
    return changes


def _would_be(document: Json, given: Mapping[str, Any], source: Source) -> Json:
    """What a dry run answers: the configuration as it would become."""
    size = source.blob.size if source.blob is not None else 0
    sha256 = code_sha256(source.blob or source.image)
    document = document | {"CodeSha256": sha256, "CodeSize": size}
    if "Architectures" in given:
        document["Architectures"] = given["Architectures"]
    return document
