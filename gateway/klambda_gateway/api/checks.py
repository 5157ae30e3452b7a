"""The service's own rules on a function's configuration, beyond shapes.

Place: CreateFunction and the Update operations, before anything is written. Invariants: pure; the
first broken rule raises its LambdaError (texts in ``klambda_core.errors``); the schema's own rules
(CEL) are never weaker, so what passes here is storable. Not here: code (``code.zips``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from klambda_core import errors, limits
from klambda_gateway.api.model import MODEL

_BARE_NAME = re.compile(r"[a-zA-Z0-9-_]+", re.ASCII)
_RUNTIME_ARN = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+::runtime:.+")

RETIRED = frozenset(
    (
        *("nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "nodejs10.x"),
        *("nodejs12.x", "nodejs14.x", "nodejs16.x", "python2.7", "python3.6", "python3.7"),
        *("dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1"),
        *("go1.x", "ruby2.5", "ruby2.7", "java8", "provided"),
    )
)
"""Runtimes that can be neither created nor updated (developer guide, "Deprecated runtimes")."""

_IN_AWS_ORDER = (
    *("nodejs20.x", "python3.14", "provided.al2023", "python3.12", "python3.13", "nodejs24.x"),
    *("nodejs22.x", "java25", "python3.10", "python3.11", "java21", "ruby3.3", "ruby3.4"),
    *("ruby3.2", "python3.8", "python3.9", "java17", "nodejs16.x", "dotnet10", "dotnet8"),
    *("java11", "dotnet6", "nodejs18.x", "provided.al2", "java8.al2"),
)
"""As texts list them (D: recorded in aws-cloudformation/cfn-lint#4427); others follow."""

_ABSENT_HERE = (
    "CapacityProviderConfig",
    "DurableConfig",
    "TenancyConfig",
    "RuntimeConfig",
    "AcceleratorConfig",
    "PublishTo",
)


def function_name(name: str) -> None:
    """A bare name for CreateFunction: at most 64 characters (text L)."""
    if len(name) > limits.FUNCTION_NAME_MAX:
        raise errors.invalid_parameter(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy "
            "constraint: Member must have length less than or equal to "
            f"{limits.FUNCTION_NAME_MAX}"
        )
    if not _BARE_NAME.fullmatch(name):
        raise errors.invalid_parameter(f"Invalid function name: {name}")


def configuration(given: Mapping[str, Any], *, runtimes: Sequence[str]) -> None:
    """The members of a create or update request, each by itself."""
    if given.get("MemorySize", 0) > limits.MEMORY_MAX:
        raise errors.memory_too_big(limits.MEMORY_MAX)
    for name in _ABSENT_HERE:
        if name in given:
            raise errors.invalid_parameter(f"{name} is not supported by this installation.")
    if "Runtime" in given:
        runtime(given["Runtime"], runtimes)
    environment(given.get("Environment", {}).get("Variables", {}))
    dead_letters(given.get("DeadLetterConfig", {}).get("TargetArn"))
    tags(given.get("Tags"))


def runtime(name: str, runtimes: Sequence[str]) -> None:
    """Known, not retired, and one that this installation can run."""
    if name in RETIRED:
        raise errors.retired_runtime(name)
    known = runtimes or tuple(r for r in MODEL.runtimes if r not in RETIRED)
    if name not in known and not _RUNTIME_ARN.fullmatch(name):
        raise errors.unknown_runtime(name, in_aws_order(known))


def in_aws_order(runtimes: Sequence[str]) -> list[str]:
    """Runtimes as AWS's texts list them."""
    first = [name for name in _IN_AWS_ORDER if name in runtimes]
    return first + [name for name in runtimes if name not in _IN_AWS_ORDER]


_SNAP_START = re.compile(r"java(11|17|21|25)|python3\.(1[2-9])|dotnet([89]|10)")
"""Runtimes with SnapStart (D: Java 11, Python 3.12, .NET 8 and later)."""
_BESIDE_SNAP_START = ("SnapStart", "Runtime", "FileSystemConfigs", "EphemeralStorage")


def together(given: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> None:
    """What members of a request mean beside each other and (an update's) beside the spec's."""
    stored = stored or {}
    managed_runtime(given, stored)
    logging(given.get("LoggingConfig", {}), stored.get("loggingConfig", {}))
    network(given.get("VpcConfig", {}))
    file_systems(given, stored)
    snap_start(given, stored)


def managed_runtime(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """A runtime version that somebody pins belongs to its runtime."""
    manual = stored.get("runtimeManagement", {}).get("updateRuntimeOn") == "Manual"
    if manual and given.get("Runtime", stored.get("runtime")) != stored.get("runtime"):
        raise errors.runtime_managed_manually()


def logging(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """Levels are for JSON only."""
    text = given.get("LogFormat", stored.get("logFormat", "Text")) == "Text"
    if text and ("ApplicationLogLevel" in given or "SystemLogLevel" in given):
        raise errors.log_level_needs_json()


def network(given: Mapping[str, Any]) -> None:
    """Subnets and security groups go together."""
    if bool(given.get("SubnetIds")) != bool(given.get("SecurityGroupIds")):
        raise errors.subnets_without_groups()


def file_systems(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """A file system is mounted in a VPC."""
    if "FileSystemConfigs" not in given and "VpcConfig" not in given:
        return
    named = [each["Arn"] for each in given.get("FileSystemConfigs", ())]
    if "FileSystemConfigs" not in given:
        named = [each["arn"] for each in stored.get("fileSystemConfigs", ())]
    inside = bool(given.get("VpcConfig", {}).get("SubnetIds"))
    if "VpcConfig" not in given:
        inside = bool(stored.get("vpcConfig", {}).get("subnetIds"))
    if named and not inside:
        if "FileSystemConfigs" in given:
            raise errors.file_system_needs_vpc(named[0])
        raise errors.vpc_needed_by_file_system(named[0])


def snap_start(given: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """SnapStart is for some runtimes only, and not for all of their functions (D: SnapStart)."""
    asked = given.get("SnapStart", stored.get("snapStart", {}))
    wanted = asked.get("ApplyOn", asked.get("applyOn")) == "PublishedVersions"
    if not wanted or given.keys().isdisjoint(_BESIDE_SNAP_START):
        return
    runtime_name = given.get("Runtime", stored.get("runtime"))
    image = given.get("PackageType", stored.get("packageType")) == "Image"
    if not image and not _SNAP_START.fullmatch(runtime_name or ""):
        raise errors.snap_start_runtime(runtime_name)
    if given.get("FileSystemConfigs", stored.get("fileSystemConfigs")):
        raise errors.snap_start_excludes("A file system")
    storage = given.get("EphemeralStorage", stored.get("ephemeralStorage", {}))
    if storage.get("Size", storage.get("size", 0)) > limits.EPHEMERAL_STORAGE_MIN:
        raise errors.snap_start_excludes(
            f"Ephemeral storage of more than {limits.EPHEMERAL_STORAGE_MIN} MB"
        )


def dead_letters(target: str | None) -> None:
    """They go to a queue in no order, or to a topic."""
    if not target:
        return
    service = target.split(":", 3)[2]
    if service not in ("sqs", "sns"):
        raise errors.no_dead_letter_target()
    if service == "sqs" and target.endswith(".fifo"):
        raise errors.ordered_dead_letters()


def environment(variables: Mapping[str, str]) -> None:
    """At most 4 KB, no reserved names."""
    reserved = [name for name in variables if name in limits.RESERVED_ENVIRONMENT]
    if reserved:
        raise errors.environment_reserved(reserved)
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode()) > limits.ENVIRONMENT_BYTES_MAX:
        raise errors.environment_too_big(measured)


def tags(given: Mapping[str, str] | None) -> None:
    """At most 50, none of AWS's own."""
    if given is None:
        return
    if len(given) > limits.TAGS_MAX:
        raise errors.invalid_parameter("Number of tags exceeds resource tag limit.")
    if any(key.lower().startswith("aws:") for key in given):
        raise errors.invalid_parameter("System tags cannot be added/updated by requester.")


def package(given: Mapping[str, Any]) -> None:
    """What belongs together at creation: package type, runtime and handler, image."""
    package_type = given.get("PackageType", "Zip")
    members(given, package_type)
    if package_type == "Zip" and ("Runtime" not in given or "Handler" not in given):
        raise errors.runtime_and_handler_needed()
    if package_type == "Image" and "CodeSigningConfigArn" in given:
        raise errors.image_without_signing()
    if given.get("DeadLetterConfig", {}).get("TargetArn") == "":
        raise errors.empty_dead_letter_target()  # an update takes the target away with it
    architectures(given)


def members(given: Mapping[str, Any], package_type: str) -> None:
    """Members that the package type does not know."""
    if package_type == "Image" and (given.get("Runtime") or given.get("Handler")):
        raise errors.image_without_runtime()
    if package_type == "Image" and given.get("Layers"):
        raise errors.image_without_layers()
    if package_type == "Zip" and given.get("ImageConfig"):
        raise errors.image_config_for_zip()


def architectures(given: Mapping[str, Any]) -> None:
    """One, and one that exists here (the schema says which)."""
    if len(given.get("Architectures", ["x86_64"])) != 1:
        raise errors.invalid_parameter("Exactly one architecture must be given.")
