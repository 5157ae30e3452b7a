"""Layers: publish, get, list, delete their versions. Texts: aws-contract a.3, h.

Theory. Each version is a LayerVersion object. A number is taken by creating the object that bears
it in its name; a deleted version stays as a tombstone while it is the layer's highest, so that its
number is never given out again (the sweeper of the leading gateway clears the others away).
Place: operations of ``dispatch``'s table. Not here: policies (``layer_policy``), what functions do
with layers (``function_layers``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from klambda_core import errors
from klambda_core.arn import LayerTarget, Malformed, layer_arn, parse_layer
from klambda_core.code import CodeRef
from klambda_core.crd import LayerVersion
from klambda_core.crd.base import Json
from klambda_core.layers import Trouble, arn_of, content_of
from klambda_core.names import layer_version_name
from klambda_core.state import last_modified
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.model import MODEL
from klambda_gateway.api.objects import NameBusy
from klambda_gateway.api.packages import uploaded
from klambda_gateway.api.paging import page, with_marker
from klambda_gateway.api.views import code_sha256

PUBLISHERS = 64
"""So often a number may be taken by somebody faster before we give up."""
_NEWEST_FIRST = 10**8


async def publish_layer_version(services: Services, call: Call) -> Reply:
    """PublishLayerVersion: 201 and the version."""
    given, name = call.input, own_name(call)
    _check_runtimes(given.get("CompatibleRuntimes", ()))
    blob = await uploaded(services, call, given["Content"])
    spec: Json = {
        "layerName": name,
        "description": given.get("Description", ""),
        "content": {"blob": blob.to_json()},
    }
    optional = {
        "compatibleRuntimes": given.get("CompatibleRuntimes"),
        "compatibleArchitectures": given.get("CompatibleArchitectures"),
        "licenseInfo": given.get("LicenseInfo"),
    }
    spec |= {key: value for key, value in optional.items() if value}
    layer = await _create(services, call, spec)
    return Reply(status=201, document=_version(services, call, layer))


async def _create(services: Services, call: Call, spec: Json) -> LayerVersion:
    """Make the version under the next free number."""
    name, tried = spec["layerName"], 0
    for _ in range(PUBLISHERS):
        versions = await services.objects.layer_versions(call.namespace, name)
        tried = max([tried, *(each.spec.version for each in versions)]) + 1
        manifest = {
            "metadata": {"name": layer_version_name(name, tried)},
            "spec": spec | {"version": tried},
        }
        try:
            return await services.objects.create(LayerVersion, call.namespace, manifest)
        except NameBusy:
            continue
    raise errors.conflict(f"Too many versions of {name} are being published at once.")


async def get_layer_version(services: Services, call: Call) -> Reply:
    """GetLayerVersion: the version with a link to its content."""
    return Reply(document=_version(services, call, await version_of(services, call)))


async def get_layer_version_by_arn(services: Services, call: Call) -> Reply:
    """GetLayerVersionByArn: the same, named by an ARN."""
    arn = call.input["Arn"]
    return Reply(document=_version(services, call, await _by_arn(services, call, arn)))


async def delete_layer_version(services: Services, call: Call) -> Reply:
    """DeleteLayerVersion: 204, also when there is none; who uses it keeps it."""
    own_name(call)
    _check_number(call)
    layer = await _own(services, call)
    if layer is not None:
        gone = errors.resource_not_found()
        try:
            await services.objects.change(
                layer, lambda _: {"spec": {"deleted": True, "policy": None}}, gone=gone
            )
        except errors.LambdaError as error:
            if error is not gone:
                raise
    return Reply(status=204)


async def list_layer_versions(services: Services, call: Call) -> Reply:
    """ListLayerVersions: newest first; an unknown layer has none."""
    given, name = call.input, own_name(call)
    found = _matching(_living(services, call, await _named(services, call, name)), given)
    shown, marker = page(found, call, lambda layer: f"{_NEWEST_FIRST - layer.spec.version:08d}")
    documents = [_item(call, layer) for layer in shown]
    return Reply(document=with_marker({"LayerVersions": documents}, marker))


async def list_layers(services: Services, call: Call) -> Reply:
    """ListLayers: by name, each with its newest version that matches."""
    everything = await services.objects.layer_versions(call.namespace)
    newest: dict[str, LayerVersion] = {}
    for layer in _matching(_living(services, call, everything), call.input):
        newest.setdefault(layer.spec.layer_name, layer)
    shown, marker = page(sorted(newest.items()), call, lambda pair: pair[0])
    documents = [
        {
            "LayerName": name,
            "LayerArn": layer_arn(call.region, call.account, name),
            "LatestMatchingVersion": _item(call, layer),
        }
        for name, layer in shown
    ]
    return Reply(document=with_marker({"Layers": documents}, marker))


# --- finding --------------------------------------------------------------------------------------


async def version_of(services: Services, call: Call) -> LayerVersion:
    """The version that LayerName and VersionNumber mean, maybe of another account. Raises 404."""
    target = _target(call)
    _check_number(call)
    if target.account in (None, call.account):
        layer = await _own(services, call)
        if layer is None:
            raise errors.resource_not_found()
        return layer
    return await _by_arn(services, call, f"{call.input['LayerName']}:{call.input['VersionNumber']}")


def own_name(call: Call) -> str:
    """The layer's name, when LayerName means one of this account. Raises 403."""
    target = _target(call)
    if target.account not in (None, call.account):
        raise errors.other_account()
    return target.name


def version_arn(call: Call, layer: LayerVersion) -> str:
    """The ARN of a version as this call's account knows it."""
    if layer.namespace != call.namespace:
        return str(call.input.get("Arn") or f"{call.input['LayerName']}:{layer.spec.version}")
    return arn_of(layer, region=call.region, account=call.account)


def _target(call: Call) -> LayerTarget:
    target = parse_layer(call.input["LayerName"])
    if isinstance(target, Malformed) or target.region not in (None, call.region):
        raise errors.resource_not_found()
    return target


def _check_number(call: Call) -> None:
    if call.input["VersionNumber"] < 1:
        raise errors.invalid_parameter("Layer Version Cannot be less than 1")


async def _own(services: Services, call: Call) -> LayerVersion | None:
    name, number = own_name(call), call.input["VersionNumber"]
    living = _living(services, call, await _named(services, call, name))
    return next((layer for layer in living if layer.spec.version == number), None)


async def _by_arn(services: Services, call: Call, arn: str) -> LayerVersion:
    found = await services.shelf.find(call.namespace, arn)
    if isinstance(found, Trouble):
        target = parse_layer(arn)
        if isinstance(target, LayerTarget) and target.account not in (None, call.account):
            raise errors.layer_denied(call.caller.arn, arn)
        raise errors.resource_not_found()
    return found


async def _named(services: Services, call: Call, name: str) -> list[LayerVersion]:
    return await services.objects.layer_versions(call.namespace, name)


def _living(services: Services, call: Call, layers: Sequence[LayerVersion]) -> list[LayerVersion]:
    """The account's own, neither deleted nor mirrors, one per number, newest first."""
    found: dict[tuple[str, int], LayerVersion] = {}
    for layer in layers:  # the oldest object first
        name, number = layer.spec.layer_name, layer.spec.version
        own = services.shelf.arn(layer) == layer_arn(call.region, call.account, name, number)
        if own and not layer.spec.deleted:
            found.setdefault((name, number), layer)
    return sorted(found.values(), key=lambda layer: -layer.spec.version)


def _matching(layers: Sequence[LayerVersion], given: Mapping[str, Any]) -> list[LayerVersion]:
    runtime, architecture = given.get("CompatibleRuntime"), given.get("CompatibleArchitecture")
    if runtime is not None and runtime not in MODEL.runtimes:
        raise errors.validation(
            [_not_a_runtime(f"'{runtime}' at 'compatibleRuntime'", _runtimes())]
        )
    return [
        layer
        for layer in layers
        if runtime in (None, *(layer.spec.compatible_runtimes or ()))
        and architecture in (None, *(layer.spec.compatible_architectures or ()))
    ]


def _check_runtimes(names: Sequence[str]) -> None:
    if all(name in MODEL.runtimes for name in names):
        return
    where = f"'[{', '.join(names)}]' at 'compatibleRuntimes'"
    rules = f"Member must satisfy constraint: [{_runtimes()}, Member must not be null]"
    raise errors.validation([_not_a_runtime(where, rules)])


def _runtimes() -> str:
    return f"Member must satisfy enum value set: [{', '.join(MODEL.runtimes)}]"


def _not_a_runtime(where: str, constraint: str) -> str:
    return f"Value {where} failed to satisfy constraint: {constraint}"


# --- showing --------------------------------------------------------------------------------------


def _version(services: Services, call: Call, layer: LayerVersion) -> Json:
    """GetLayerVersionResponse."""
    content = content_of(layer)
    shown: Json = {"CodeSize": 0}
    if isinstance(content, CodeRef):
        shown = {
            "Location": services.links.make(call.base_url, layer.namespace, content.sha256),
            "CodeSha256": code_sha256(content),
            "CodeSize": content.size,
        }
    arn = version_arn(call, layer)
    return {"Content": shown, "LayerArn": arn.rpartition(":")[0]} | _members(layer, arn)


def _item(call: Call, layer: LayerVersion) -> Json:
    """LayerVersionsListItem."""
    return _members(layer, version_arn(call, layer))


def _members(layer: LayerVersion, arn: str) -> Json:
    spec = layer.spec
    document: Json = {
        "LayerVersionArn": arn,
        "Description": spec.description,
        "CreatedDate": last_modified(layer),
        "Version": spec.version,
    }
    optional = {
        "CompatibleRuntimes": spec.compatible_runtimes,
        "LicenseInfo": spec.license_info,
        "CompatibleArchitectures": spec.compatible_architectures,
    }
    return document | {key: value for key, value in optional.items() if value}
