"""Functions: create, get, delete, list.

Place: operations of ``dispatch``'s table. What a request says is checked by ``checks``, stored by
``objects``, shown by ``views``. Not here: code (``code``), configuration (``configuration``).
"""

from __future__ import annotations

from typing import Any

from klambda_core import errors
from klambda_core.code import CodeRef, resolved_code
from klambda_core.crd import Blob, Function, Image, Version
from klambda_core.crd.base import Json
from klambda_core.names import LATEST, object_name
from klambda_gateway.api import checks
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.function_layers import check_size, remembered, resolved
from klambda_gateway.api.lookup import Found, check_role, find, function_of, place_of
from klambda_gateway.api.naming import Target
from klambda_gateway.api.objects import NameBusy
from klambda_gateway.api.packages import Source, source_of, told
from klambda_gateway.api.paging import page, with_marker
from klambda_gateway.api.signing import check_exists, check_signature
from klambda_gateway.api.spec import spec_members, without_nulls
from klambda_gateway.api.versions import publish
from klambda_gateway.api.views import alias_version, function_configuration, version_configuration


async def create_function(services: Services, call: Call) -> Reply:
    """CreateFunction: 201, State Pending; with Publish also version 1."""
    given, target = call.input, call.target()
    if ":" not in given["FunctionName"] or target.qualifier is not None:
        checks.function_name(given["FunctionName"])
    checks.function_name(target.name)
    checks.configuration(given, runtimes=services.runtimes)
    checks.package(given)
    checks.together(given)
    check_role(services, call, target.name)
    if await services.objects.function(call.namespace, target.name) is not None:
        raise errors.function_exists(target.name)
    if "CodeSigningConfigArn" in given:
        config = await check_exists(services, call, given["CodeSigningConfigArn"])
        check_signature(config, target.name)
    layers = await resolved(services, call, given)
    source = await source_of(
        services,
        call,
        given["Code"],
        package_type=given.get("PackageType", "Zip"),
        architecture=given.get("Architectures", ["x86_64"])[0],
        verb="creating",
    )
    check_size(source.ref, layers)
    try:
        function = await services.objects.create(
            Function, call.namespace, _manifest(target.name, given, source)
        )
    except NameBusy:
        raise errors.function_exists(target.name) from None
    function = await remembered(services, function, layers)
    function = await told(services, function, source)
    place = place_of(call)
    if given.get("Publish"):
        version = await publish(services, function)
        return Reply(status=201, document=version_configuration(version, place))
    return Reply(status=201, document=function_configuration(function, place))


def _manifest(name: str, given: dict[str, Any], source: Source) -> Json:
    spec = without_nulls(spec_members(given))
    spec["code"] = source.code
    stored_as = object_name(name)
    if stored_as != name:
        spec["functionName"] = name
    return {"metadata": {"name": stored_as}, "spec": spec}


async def get_function(services: Services, call: Call) -> Reply:
    """GetFunction: configuration, a link to the code, tags, reserved concurrency."""
    target = call.target()
    found = await find(services, call, target)
    spec = found.function.spec
    document: Json = {
        "Configuration": _configuration(found, target, call),
        "Code": _code(services, call, found),
    }
    if spec.tags:
        document["Tags"] = dict(spec.tags)
    # "If you specify a function version, only details that are specific to that version are
    # returned" (M), and what is reserved is the function's.
    if target.qualifier is None and spec.reserved_concurrent_executions is not None:
        document["Concurrency"] = {
            "ReservedConcurrentExecutions": spec.reserved_concurrent_executions
        }
    return Reply(document=document)


async def get_function_configuration(services: Services, call: Call) -> Reply:
    """GetFunctionConfiguration: the bare configuration."""
    target = call.target()
    found = await find(services, call, target)
    return Reply(document=_configuration(found, target, call))


def _configuration(found: Found, target: Target, call: Call) -> Json:
    place = place_of(call)
    if found.version is None:
        return function_configuration(found.function, place, qualifier=target.qualifier)
    return version_configuration(found.version, place, qualifier=target.qualifier)


def _code(services: Services, call: Call, found: Found) -> Json:
    snapshot = found.version.spec.snapshot if found.version is not None else None
    code = (snapshot.image or snapshot.code) if snapshot else resolved_code(found.function)
    if (snapshot or found.function.spec).package_type == "Image":
        return _image(found.function, code if isinstance(code, Image) else None)
    sha256 = code.sha256 if isinstance(code, CodeRef | Blob) else None
    document: Json = {"RepositoryType": "S3"}
    if sha256 is not None:
        document["Location"] = services.links.make(call.base_url, call.namespace, sha256)
    return document


def _image(function: Function, image: Image | None) -> Json:
    document: Json = {"RepositoryType": "ECR"}
    if image is not None:
        return document | {"ImageUri": image.uri, "ResolvedImageUri": image.resolved}
    uri = function.spec.code.image_uri if function.spec.code is not None else None
    return document if uri is None else document | {"ImageUri": uri}


async def delete_function(services: Services, call: Call) -> Reply:
    """DeleteFunction: 204; with a qualifier one version."""
    target = call.target()
    if target.qualifier == LATEST:
        raise errors.latest_not_deletable()
    function = await function_of(services, call, target)
    if target.alias is not None:
        raise errors.alias_not_deletable_here()
    if target.version is None:
        await services.objects.delete(function)
        return Reply(status=204)
    version = await services.objects.version(function, target.version)
    if version is not None:
        await _delete_version(services, function, version)
    return Reply(status=204)


async def _delete_version(services: Services, function: Function, version: Version) -> None:
    number = str(version.spec.version)
    users = []
    for alias in await services.objects.aliases(function):
        routing = alias.spec.routing_config
        weights = (routing.additional_version_weights or {}) if routing is not None else {}
        if alias_version(alias) == number or number in weights:
            users.append(alias.spec.name)
    if users:
        raise errors.version_aliased(users)
    await services.objects.delete(version)


async def list_functions(services: Services, call: Call) -> Reply:
    """ListFunctions: by name; with FunctionVersion=ALL every version, qualified."""
    place = place_of(call)
    functions = await services.objects.functions(call.namespace)
    if call.input.get("MasterRegion", "ALL") != "ALL":
        functions = []  # The master region of replicas at the edge, of which there are none.
    if call.input.get("FunctionVersion") != "ALL":
        chosen, marker = page(functions, call, lambda f: f.aws_name)
        documents = [function_configuration(f, place, state=False) for f in chosen]
        return Reply(document=with_marker({"Functions": documents}, marker))
    rows: list[tuple[str, Json]] = []
    names = {f.uid: f for f in functions}
    for f in functions:
        document = function_configuration(f, place, qualifier=LATEST, state=False)
        rows.append((_row_key(f.aws_name, 0), document))
    for version in await services.objects.all_versions(call.namespace):
        owner = names.get(version.controller_uid() or "")
        if owner is not None:
            key = _row_key(owner.aws_name, version.spec.version)
            rows.append((key, version_configuration(version, place, state=False)))
    rows.sort(key=lambda row: row[0])
    shown, marker = page(rows, call, lambda row: row[0])
    return Reply(document=with_marker({"Functions": [row[1] for row in shown]}, marker))


def _row_key(name: str, version: int) -> str:
    return f"{name}\n{version:08d}"
