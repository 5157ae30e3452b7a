"""Objects as Lambda's responses.

Place: last step of the operations that answer with a function, version or alias. Invariants: pure;
absent members are absent, never null; the ARN carries a qualifier exactly when the request did;
lists leave State, LastUpdateStatus and RuntimeVersionConfig out (aws-contract a.4). The reverse
direction is ``spec``. Not here: reading objects, HTTP.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from klambda_core import arn
from klambda_core.code import CodeRef, Unresolved, resolved_code
from klambda_core.crd import Alias, Blob, Configuration, Function, Image, Version
from klambda_core.crd.base import Json, KubeObject, Model
from klambda_core.names import LATEST
from klambda_core.state import (
    CREATING_CODE,
    CREATING_TEXT,
    Lifecycle,
    function_state,
    last_modified,
    revision_id,
    version_state,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where ARNs are made for."""

    region: str
    account: str

    def function_arn(self, name: str, qualifier: str | None = None) -> str:
        """A function's ARN."""
        return arn.function_arn(self.region, self.account, name, qualifier)


IN_PROGRESS: Json = {
    "LastUpdateStatus": "InProgress",
    "LastUpdateStatusReason": CREATING_TEXT,
    "LastUpdateStatusReasonCode": CREATING_CODE,
}
"""What the answer of every update says, whatever it changed (D: function states)."""


def code_sha256(ref: CodeRef | Blob | Image | None) -> str | None:
    """CodeSha256: base64 of the zip's digest; of an image its digest in hex."""
    if ref is None or isinstance(ref, Image):
        return None if ref is None else ref.digest
    return base64.b64encode(bytes.fromhex(ref.sha256)).decode()


def function_configuration(
    function: Function, place: Place, *, qualifier: str | None = None, state: bool = True
) -> Json:
    """FunctionConfiguration of ``$LATEST``; ``qualifier``: as asked for."""
    code = resolved_code(function)
    ref = None if isinstance(code, Unresolved) else code
    name = function.aws_name
    document = _identity(function, place.function_arn(name, qualifier), name, LATEST, ref)
    document |= _configuration(function.spec, name, place)
    if function.spec.layers:
        sizes = {layer.arn: layer.size for layer in function.status.layers or []}
        document["Layers"] = [
            {"Arn": layer, "CodeSize": sizes.get(layer, 0)} for layer in function.spec.layers
        ]
    if state:
        document |= _state(function_state(function)) | _runtime_version(function.spec, place)
    return document


def version_configuration(
    version: Version, place: Place, *, qualifier: str | None = None, state: bool = True
) -> Json:
    """FunctionConfiguration of a published version; ``qualifier``: an alias as asked for."""
    snapshot, number = version.spec.snapshot, str(version.spec.version)
    name = snapshot.function_name
    version_arn = place.function_arn(name, qualifier or number)
    document = _identity(version, version_arn, name, number, snapshot.image or snapshot.code)
    document |= _configuration(snapshot, name, place)
    document["Description"] = version.spec.description
    if snapshot.snap_start.apply_on == "PublishedVersions":
        document["SnapStart"]["OptimizationStatus"] = "On"
    if snapshot.layers:
        document["Layers"] = [
            {"Arn": layer.arn, "CodeSize": layer.size} for layer in snapshot.layers
        ]
    if state:
        document |= _state(version_state(version)) | _runtime_version(snapshot, place)
    return document


def alias_configuration(alias: Alias, function_name: str, place: Place) -> Json:
    """AliasConfiguration."""
    document: Json = {
        "AliasArn": place.function_arn(function_name, alias.spec.name),
        "Name": alias.spec.name,
        "FunctionVersion": alias_version(alias),
        "Description": alias.spec.description,
    }
    routing = alias.spec.routing_config
    if routing is not None and routing.additional_version_weights:
        document["RoutingConfig"] = {
            "AdditionalVersionWeights": dict(routing.additional_version_weights)
        }
    document["RevisionId"] = revision_id(alias)
    return document


def alias_version(alias: Alias) -> str:
    """The version an alias names, or follows; of a pair the heavier is the alias's own."""
    if alias.spec.function_version is not None:
        return alias.spec.function_version
    targets = alias.status.versions or []
    return targets[0].version if targets else LATEST


def _identity(
    item: KubeObject,
    item_arn: str,
    name: str,
    version: str,
    code: CodeRef | Blob | Image | None,
) -> Json:
    document: Json = {
        "FunctionName": name,
        "FunctionArn": item_arn,
        "CodeSize": 0 if code is None or isinstance(code, Image) else code.size,
        "LastModified": last_modified(item),
        "Version": version,
        "RevisionId": revision_id(item),
    }
    digest = code_sha256(code)
    return document if digest is None else document | {"CodeSha256": digest}


def _configuration(spec: Configuration, name: str, place: Place) -> Json:
    document: Json = {
        "Role": spec.role or arn.default_role(place.account),
        "Description": spec.description,
        "Timeout": spec.timeout,
        "MemorySize": spec.memory_size,
        "PackageType": spec.package_type,
        "Architectures": list(spec.architectures),
        "TracingConfig": {"Mode": spec.tracing_config.mode},
        "EphemeralStorage": {"Size": spec.ephemeral_storage.size},
        "SnapStart": {"ApplyOn": spec.snap_start.apply_on, "OptimizationStatus": "Off"},
        "LoggingConfig": _logging(spec, name),
    }
    optional = {
        "Runtime": spec.runtime,
        "Handler": spec.handler,
        "KMSKeyArn": spec.kms_key_arn,
        "Environment": _environment(spec),
        "VpcConfig": _vpc(spec),
        "DeadLetterConfig": _pascal(spec.dead_letter_config),
        "FileSystemConfigs": [_pascal(each) for each in spec.file_system_configs or []] or None,
        "ImageConfigResponse": (
            None if spec.image_config is None else {"ImageConfig": _pascal(spec.image_config)}
        ),
    }
    return document | {key: value for key, value in optional.items() if value is not None}


def _environment(spec: Configuration) -> Json | None:
    given = spec.environment
    if given is None or given.variables is None:
        return None
    return {"Variables": dict(given.variables)}


def _vpc(spec: Configuration) -> Json | None:
    config = spec.vpc_config
    if config is None:
        return None
    subnets, groups = config.subnet_ids or [], config.security_group_ids or []
    # There is no VPC: its id is derived, stable, and says so by its zeros.
    digest = hashlib.sha256("\n".join(sorted(subnets)).encode()).hexdigest()[:9]
    return {
        "SubnetIds": list(subnets),
        "SecurityGroupIds": list(groups),
        "VpcId": f"vpc-00000000{digest}" if subnets else "",
        "Ipv6AllowedForDualStack": bool(config.ipv6_allowed_for_dual_stack),
    }


def _logging(spec: Configuration, name: str) -> Json:
    config = spec.logging_config
    document: Json = {"LogFormat": config.log_format}
    if config.log_format == "JSON":
        document["ApplicationLogLevel"] = config.application_log_level or "INFO"
        document["SystemLogLevel"] = config.system_log_level or "INFO"
    document["LogGroup"] = config.log_group or f"/aws/lambda/{name}"
    return document


def _runtime_version(spec: Configuration, place: Place) -> Json:
    if spec.runtime is None or spec.package_type != "Zip":
        return {}
    digest = hashlib.sha256(spec.runtime.encode()).hexdigest()
    return {"RuntimeVersionConfig": {"RuntimeVersionArn": arn.runtime_arn(place.region, digest)}}


def _state(lifecycle: Lifecycle) -> Json:
    members = {
        "State": lifecycle.state,
        "StateReason": lifecycle.state_reason,
        "StateReasonCode": lifecycle.state_reason_code,
        "LastUpdateStatus": lifecycle.last_update_status,
        "LastUpdateStatusReason": lifecycle.last_update_status_reason,
        "LastUpdateStatusReasonCode": lifecycle.last_update_status_reason_code,
    }
    return {key: value for key, value in members.items() if value is not None}


def _pascal(model: Model | None) -> Json | None:
    """A small model with its members in Pascal case, which is all that differs."""
    return None if model is None else pascal_members(model.to_json())


def pascal_members(members: Mapping[str, Any]) -> Json:
    """``{"targetArn": x}`` as ``{"TargetArn": x}``, one level deep."""
    return {key[:1].upper() + key[1:]: value for key, value in members.items()}
