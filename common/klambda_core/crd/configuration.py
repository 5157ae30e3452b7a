"""A function's configuration: what Lambda calls FunctionConfiguration and a version freezes.

Shared by `Function.spec` and `Version.spec.snapshot`. Defaults and ranges are Lambda's
(aws-contract a.4) and stand in the schema, so that `kubectl get -o yaml` shows them. Not here: what
Lambda keeps beside a function (`access`, concurrency, tags), which a version does not freeze.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from klambda_core.crd.base import LIST_ATOMIC, LIST_SET, MAP_ATOMIC, Json, Model, cel, rule
from klambda_core.limits import (
    DESCRIPTION_MAX,
    EPHEMERAL_STORAGE_MAX,
    EPHEMERAL_STORAGE_MIN,
    HANDLER_MAX,
    MEMORY_DEFAULT,
    MEMORY_MAX,
    MEMORY_MIN,
    RESERVED_ENVIRONMENT,
    TIMEOUT_DEFAULT,
    TIMEOUT_MAX,
)

Line = Annotated[str, Field(max_length=1024)]
Level = Literal["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
_NAME = r"^[a-zA-Z][a-zA-Z0-9_]+$"
_ENVIRONMENT_MAX = 512


def _names_rule(where: str) -> Json:
    reserved = ", ".join(f"'{name}'" for name in RESERVED_ENVIRONMENT)
    return cel(
        rule(
            f"self.all(k, k.matches('{_NAME}'))",
            f"{where}: a name is a letter followed by letters, digits or underscores",
        ),
        rule(
            f"self.all(k, !(k in [{reserved}]))",
            f"{where}: reserved names such as AWS_REGION or _HANDLER cannot be set",
        ),
    )


class KeySelector(Model):
    """One key of a Secret or ConfigMap in the function's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        description="The object's name."
    )
    key: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="The key in it.")
    optional: bool | None = Field(None, description="Start even when it does not exist.")


class ValueSource(Model):
    """Where a variable's value comes from."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                "environment.valueFrom: give one of secretKeyRef and configMapKeyRef",
            )
        )
    )

    secret_key_ref: KeySelector | None = Field(None, description="A key of a Secret.")
    config_map_key_ref: KeySelector | None = Field(None, description="A key of a ConfigMap.")


class Environment(Model):
    """Environment variables."""

    variables: dict[str, Annotated[str, Field(max_length=4096)]] | None = Field(
        None,
        max_length=_ENVIRONMENT_MAX,
        description="Name to value, at most 4 KiB in all.",
        json_schema_extra=MAP_ATOMIC | _names_rule("environment.variables"),
    )
    value_from: dict[str, ValueSource] | None = Field(
        None,
        max_length=64,
        description="Variables read from Secrets and ConfigMaps at start; costs cold start.",
        json_schema_extra=_names_rule("environment.valueFrom"),
    )


class EphemeralStorage(Model):
    """The size of /tmp."""

    size: int = Field(
        512, ge=EPHEMERAL_STORAGE_MIN, le=EPHEMERAL_STORAGE_MAX, description="MB of /tmp."
    )


class TracingConfig(Model):
    """X-Ray tracing."""

    mode: Literal["PassThrough", "Active"] = Field(
        "PassThrough", description="Active samples requests."
    )


class VpcConfig(Model):
    """Kept and shown for compatibility; the cluster's network is what functions get."""

    subnet_ids: list[Line] | None = Field(
        None, max_length=16, description="Subnets.", json_schema_extra=LIST_SET
    )
    security_group_ids: list[Line] | None = Field(
        None, max_length=5, description="Security groups.", json_schema_extra=LIST_SET
    )
    ipv6_allowed_for_dual_stack: bool | None = Field(
        None, description="IPv6 on dual-stack subnets."
    )


class DeadLetterConfig(Model):
    """Where events go that could not be processed."""

    target_arn: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="ARN of a queue or topic."
    )


class FileSystemConfig(Model):
    """A file system mount, kept for compatibility."""

    arn: Annotated[str, Field(max_length=200)] = Field(description="ARN of the access point.")
    local_mount_path: Annotated[str, Field(max_length=160, pattern=r"^/mnt/[a-zA-Z0-9-_.]+$")] = (
        Field(description="Path under /mnt/.")
    )


class SnapStart(Model):
    """SnapStart's setting, kept for compatibility."""

    apply_on: Literal["None", "PublishedVersions"] = Field(
        "None", description="When snapshots are made."
    )


class LoggingConfig(Model):
    """Format, levels and group of the logs."""

    log_format: Literal["Text", "JSON"] = Field(
        "Text", description="JSON makes every line a JSON object."
    )
    application_log_level: Level | None = Field(
        None, description="With JSON: the least level of the function's lines."
    )
    system_log_level: Literal["DEBUG", "INFO", "WARN"] | None = Field(
        None, description="With JSON: the least level of the platform's lines."
    )
    log_group: (
        Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[\.\-_/#A-Za-z0-9]+$")] | None
    ) = Field(None, description="The log group; /aws/lambda/<function name> when absent.")


class ImageConfig(Model):
    """Overrides of an image's own start (packageType Image)."""

    entry_point: list[Line] | None = Field(
        None, max_length=1500, description="Replaces ENTRYPOINT.", json_schema_extra=LIST_ATOMIC
    )
    command: list[Line] | None = Field(
        None, max_length=1500, description="Replaces CMD.", json_schema_extra=LIST_ATOMIC
    )
    working_directory: Line | None = Field(None, description="Replaces WORKDIR.")


class Configuration(Model):
    """The configuration that makes an instance what it is."""

    runtime: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="A runtime of this installation, such as python3.13 or nodejs22.x."
    )
    handler: (
        Annotated[str, Field(min_length=1, max_length=HANDLER_MAX, pattern=r"^[^\s]+$")] | None
    ) = Field(None, description="What the runtime calls, such as lambda_function.lambda_handler.")
    role: (
        Annotated[
            str,
            Field(
                max_length=512,
                pattern=r"^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$",
            ),
        ]
        | None
    ) = Field(
        None,
        description="Execution role; absent reads arn:aws:iam::<account>:role/klambda-default.",
    )
    description: Annotated[str, Field(max_length=DESCRIPTION_MAX)] = Field(
        "", description="Free text."
    )
    timeout: int = Field(
        TIMEOUT_DEFAULT, ge=1, le=TIMEOUT_MAX, description="Seconds until an invocation is stopped."
    )
    memory_size: int = Field(
        MEMORY_DEFAULT,
        ge=MEMORY_MIN,
        le=MEMORY_MAX,
        description="MB of memory; CPU grows with it (1 vCPU at 1769).",
    )
    package_type: Literal["Zip", "Image"] = Field(
        "Zip",
        description="Zip, or Image for a container image; never changes.",
        json_schema_extra=cel(
            rule("self == oldSelf", "packageType cannot change: delete and create the function")
        ),
    )
    architectures: list[Literal["x86_64", "arm64"]] = Field(
        ["x86_64"],
        min_length=1,
        max_length=1,
        description="The instruction set.",
        json_schema_extra=LIST_ATOMIC,
    )
    environment: Environment | None = Field(None, description="Environment variables.")
    ephemeral_storage: EphemeralStorage = Field(EphemeralStorage(), description="The size of /tmp.")
    tracing_config: TracingConfig = Field(TracingConfig(), description="X-Ray tracing.")
    vpc_config: VpcConfig | None = Field(None, description="VPC members, kept for compatibility.")
    dead_letter_config: DeadLetterConfig | None = Field(
        None, description="Target of events that failed."
    )
    file_system_configs: list[FileSystemConfig] | None = Field(
        None,
        max_length=1,
        description="File systems, kept for compatibility.",
        json_schema_extra=LIST_ATOMIC,
    )
    kms_key_arn: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="KMS key, kept for compatibility."
    )
    snap_start: SnapStart = Field(SnapStart(), description="SnapStart, kept for compatibility.")
    logging_config: LoggingConfig = Field(
        LoggingConfig(), description="Format, levels and group of the logs."
    )
    image_config: ImageConfig | None = Field(None, description="Overrides of the image's start.")
