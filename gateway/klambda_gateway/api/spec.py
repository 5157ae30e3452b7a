"""Members of CreateFunction and UpdateFunctionConfiguration as members of a Function's spec.

Place: between the request and the object. Invariants: pure; only members that the request gives
appear; a member that the request clears becomes null, which in a merge patch removes it. The
reverse direction is ``views``. Not here: whether values are allowed (``checks``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from klambda_core.crd.base import Json

_DIRECT = {
    "Runtime": "runtime",
    "Handler": "handler",
    "Role": "role",
    "Description": "description",
    "Timeout": "timeout",
    "MemorySize": "memorySize",
    "PackageType": "packageType",
    "Architectures": "architectures",
    "Tags": "tags",
    "CodeSigningConfigArn": "codeSigningConfig",
}


def spec_members(given: Mapping[str, Any]) -> Json:
    """The spec's members that a request sets or (null) clears."""
    members: Json = {spec: given[name] for name, spec in _DIRECT.items() if name in given}
    for name, (spec, convert) in _CONVERTED.items():
        if name in given:
            members[spec] = convert(given[name])
    return members


def without_nulls(members: Json) -> Json:
    """For creation: what is cleared is simply absent."""
    return {name: value for name, value in members.items() if value is not None}


def _environment(given: Mapping[str, Any]) -> Json:
    return {"variables": dict(given.get("Variables", {}))}


def _vpc(given: Mapping[str, Any]) -> Json:
    config: Json = {
        "subnetIds": list(given.get("SubnetIds", [])),
        "securityGroupIds": list(given.get("SecurityGroupIds", [])),
    }
    if "Ipv6AllowedForDualStack" in given:
        config["ipv6AllowedForDualStack"] = given["Ipv6AllowedForDualStack"]
    return config


def _dead_letter(given: Mapping[str, Any]) -> Json | None:
    return {"targetArn": given["TargetArn"]} if given.get("TargetArn") else None


def _file_systems(given: list[Mapping[str, Any]]) -> list[Json] | None:
    return [{"arn": g["Arn"], "localMountPath": g["LocalMountPath"]} for g in given] or None


def _image(given: Mapping[str, Any]) -> Json | None:
    names = {
        "EntryPoint": "entryPoint",
        "Command": "command",
        "WorkingDirectory": "workingDirectory",
    }
    return {spec: given[name] for name, spec in names.items() if given.get(name)} or None


_LOGGING = {
    "LogFormat": "logFormat",
    "ApplicationLogLevel": "applicationLogLevel",
    "SystemLogLevel": "systemLogLevel",
    "LogGroup": "logGroup",
}
_LEVELS = {"applicationLogLevel": "INFO", "systemLogLevel": "INFO"}


def logging_config(given: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> Json:
    """Members given over members stored; JSON comes with levels, Text has none."""
    named = {spec: given[name] for name, spec in _LOGGING.items() if name in given}
    if named.get("logFormat") == "JSON":
        named = {**_LEVELS, **named}
    config = {"logFormat": "Text", **(stored or {}), **named}
    kept = config["logFormat"] == "JSON"
    return {name: value for name, value in config.items() if kept or name not in _LEVELS}


_CONVERTED: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "Environment": ("environment", _environment),
    "VpcConfig": ("vpcConfig", _vpc),
    "DeadLetterConfig": ("deadLetterConfig", _dead_letter),
    "KMSKeyArn": ("kmsKeyArn", lambda given: given or None),
    "TracingConfig": ("tracingConfig", lambda given: {"mode": given.get("Mode", "PassThrough")}),
    "Layers": ("layers", lambda given: list(given) or None),
    "FileSystemConfigs": ("fileSystemConfigs", _file_systems),
    "ImageConfig": ("imageConfig", _image),
    "EphemeralStorage": ("ephemeralStorage", lambda given: {"size": given["Size"]}),
    "SnapStart": ("snapStart", lambda given: {"applyOn": given.get("ApplyOn", "None")}),
    "LoggingConfig": ("loggingConfig", logging_config),
}
