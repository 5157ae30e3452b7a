"""EventSourceMapping: which source's records a function shall get, and in what batches.

Members are those of Lambda's API in camelCase. Which of them go with which kind of source is a rule
of the API door (``klambda_core.event_sources``), reported, not rejected, on the kubectl door.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from klambda_core.crd.access import DestinationConfig
from klambda_core.crd.base import (
    LIST_ATOMIC,
    LIST_SET,
    Column,
    Definition,
    KubeObject,
    Model,
    cel,
    rule,
)
from klambda_core.crd.status import Conditions
from klambda_core.crd.tags import Tags
from klambda_core.kinds import EVENT_SOURCE_MAPPING
from klambda_core.limits import FUNCTION_NAME_MAX, FUNCTION_NAME_PATTERN

Text = Annotated[str, Field(min_length=1, max_length=10000)]
Uri = Annotated[str, Field(min_length=1, max_length=200)]


class Filter(Model):
    """One pattern; a record passes when any pattern matches."""

    pattern: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="A pattern in EventBridge's syntax, JSON text."
    )


class FilterCriteria(Model):
    """Which records reach the function."""

    filters: list[Filter] | None = Field(
        None, max_length=10, description="Patterns, or-ed.", json_schema_extra=LIST_ATOMIC
    )


class MappingMetricsConfig(Model):
    """Which metrics the mapping reports."""

    metrics: list[Literal["EventCount", "ErrorCount", "KafkaMetrics"]] | None = Field(
        None, max_length=3, description="Groups of metrics.", json_schema_extra=LIST_SET
    )


class MappingLoggingConfig(Model):
    """How much the mapping logs."""

    system_log_level: Literal["DEBUG", "INFO", "WARN"] | None = Field(
        None, description="The least level."
    )


class ScalingConfig(Model):
    """Bounds of a queue's pollers."""

    maximum_concurrency: int | None = Field(
        None, ge=2, le=1000, description="Most invocations at once."
    )


class ProvisionedPollerConfig(Model):
    """Pollers that are kept."""

    minimum_pollers: int | None = Field(None, ge=1, le=200, description="Least pollers.")
    maximum_pollers: int | None = Field(None, ge=1, le=10000, description="Most pollers.")
    poller_group_name: Annotated[str, Field(max_length=128)] | None = Field(
        None, description="Mappings of one group share pollers."
    )


class SourceAccessConfiguration(Model):
    """How the source is reached."""

    type: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="For example BASIC_AUTH or VPC_SUBNET."
    )
    uri: Uri | None = Field(None, description="The secret, subnet, group or host.")


class SelfManagedEventSource(Model):
    """A Kafka that is not AWS's."""

    endpoints: (
        dict[
            str,
            Annotated[
                list[Annotated[str, Field(max_length=300)]],
                Field(max_length=10, json_schema_extra=LIST_ATOMIC),
            ],
        ]
        | None
    ) = Field(
        None,
        max_length=2,
        description="KAFKA_BOOTSTRAP_SERVERS: host:port of the brokers.",
        json_schema_extra=cel(
            rule(
                "self.all(k, k == 'KAFKA_BOOTSTRAP_SERVERS')",
                "selfManagedEventSource.endpoints: the key is KAFKA_BOOTSTRAP_SERVERS",
            )
        ),
    )


class SchemaRegistryAccessConfig(Model):
    """How the schema registry is reached."""

    type: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="For example BASIC_AUTH."
    )
    uri: Annotated[str, Field(max_length=10000)] | None = Field(None, description="The secret.")


class SchemaValidationConfig(Model):
    """Which part of a record is validated."""

    attribute: Literal["KEY", "VALUE"] | None = Field(None, description="KEY or VALUE.")


class SchemaRegistryConfig(Model):
    """A schema registry."""

    schema_registry_uri: Annotated[str, Field(min_length=1, max_length=10000)] | None = Field(
        None, description="Its address or ARN."
    )
    event_record_format: Literal["JSON", "SOURCE"] | None = Field(
        None, description="How records reach the function."
    )
    access_configs: list[SchemaRegistryAccessConfig] | None = Field(
        None, max_length=16, description="Credentials.", json_schema_extra=LIST_ATOMIC
    )
    schema_validation_configs: list[SchemaValidationConfig] | None = Field(
        None, max_length=2, description="What is validated.", json_schema_extra=LIST_ATOMIC
    )


class ManagedKafkaConfig(Model):
    """Settings of an Amazon MSK source."""

    consumer_group_id: Uri | None = Field(None, description="The consumer group.")
    schema_registry_config: SchemaRegistryConfig | None = Field(
        None, description="The schema registry."
    )


class SelfManagedKafkaConfig(ManagedKafkaConfig):
    """Settings of a Kafka that is not AWS's."""

    consumption_mode: Literal["Stream", "Queue"] | None = Field(
        None, description="How records are consumed."
    )


class DocumentDbConfig(Model):
    """Settings of a DocumentDB source."""

    database_name: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        None, description="The database."
    )
    collection_name: Annotated[str, Field(min_length=1, max_length=57)] | None = Field(
        None, description="The collection."
    )
    full_document: Literal["UpdateLookup", "Default"] | None = Field(
        None, description="Whether updates carry the whole document."
    )


class EventSourceMappingSpec(Model):
    """Source, function, and how batches are made."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            rule(
                "has(self.eventSourceArn) != has(self.selfManagedEventSource)",
                "give one of eventSourceArn and selfManagedEventSource",
            ),
            rule(
                "has(self.eventSourceArn) == has(oldSelf.eventSourceArn) && "
                "(!has(self.eventSourceArn) || self.eventSourceArn == oldSelf.eventSourceArn)",
                "eventSourceArn cannot change: delete and create the mapping",
            ),
        )
    )

    function_name: str = Field(
        min_length=1,
        max_length=FUNCTION_NAME_MAX,
        pattern=FUNCTION_NAME_PATTERN,
        description="The function's name in Lambda's API.",
    )
    qualifier: (
        Annotated[str, Field(max_length=128, pattern=r"^(\$LATEST|[a-zA-Z0-9-_]+)$")] | None
    ) = Field(None, description="A version's number or an alias; absent: $LATEST.")
    event_source_arn: (
        Annotated[str, Field(max_length=2048, pattern=r"^arn:aws[a-zA-Z0-9-]*:.+$")] | None
    ) = Field(None, description="ARN of the queue, stream, topic or broker.")
    enabled: bool = Field(True, description="False pauses the mapping.")
    batch_size: int | None = Field(None, ge=1, le=10000, description="Most records of a batch.")
    filter_criteria: FilterCriteria | None = Field(None, description="Which records count.")
    kms_key_arn: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="KMS key, kept for compatibility."
    )
    metrics_config: MappingMetricsConfig | None = Field(None, description="Metrics.")
    logging_config: MappingLoggingConfig | None = Field(None, description="Logs.")
    scaling_config: ScalingConfig | None = Field(None, description="Bounds of the pollers.")
    maximum_batching_window_in_seconds: int | None = Field(
        None, ge=0, le=300, description="How long a batch may be gathered."
    )
    parallelization_factor: int | None = Field(
        None, ge=1, le=10, description="Batches of one shard at once."
    )
    starting_position: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"] | None = Field(
        None, description="Where in a stream to begin."
    )
    starting_position_timestamp: str | None = Field(
        None,
        description="With AT_TIMESTAMP.",
        max_length=64,
        json_schema_extra={"format": "date-time"},
    )
    destination_config: DestinationConfig | None = Field(
        None, description="Where records go that failed."
    )
    maximum_record_age_in_seconds: int | None = Field(
        None, ge=-1, le=604800, description="Older records are given up; -1: never."
    )
    bisect_batch_on_function_error: bool | None = Field(
        None, description="Whether a failed batch is split in two."
    )
    maximum_retry_attempts: int | None = Field(
        None, ge=-1, le=10000, description="Retries of a failed batch; -1: for ever."
    )
    tags: Tags | None = Field(None, description="Lambda's tags.")
    tumbling_window_in_seconds: int | None = Field(
        None, ge=0, le=900, description="Length of a window with state."
    )
    topics: list[Annotated[str, Field(min_length=1, max_length=249)]] | None = Field(
        None, max_length=1, description="The Kafka topic.", json_schema_extra=LIST_ATOMIC
    )
    queues: list[Annotated[str, Field(min_length=1, max_length=1000)]] | None = Field(
        None, max_length=1, description="The broker's queue.", json_schema_extra=LIST_ATOMIC
    )
    source_access_configurations: list[SourceAccessConfiguration] | None = Field(
        None, max_length=23, description="How to reach it.", json_schema_extra=LIST_ATOMIC
    )
    self_managed_event_source: SelfManagedEventSource | None = Field(
        None, description="A Kafka that is not AWS's."
    )
    function_response_types: list[Literal["ReportBatchItemFailures"]] | None = Field(
        None, max_length=1, description="Partial failures.", json_schema_extra=LIST_ATOMIC
    )
    amazon_managed_kafka_event_source_config: ManagedKafkaConfig | None = Field(
        None, description="Settings of an Amazon MSK source."
    )
    self_managed_kafka_event_source_config: SelfManagedKafkaConfig | None = Field(
        None, description="Settings of a Kafka that is not AWS's."
    )
    document_db_event_source_config: DocumentDbConfig | None = Field(
        None, description="Settings of a DocumentDB source."
    )
    provisioned_poller_config: ProvisionedPollerConfig | None = Field(
        None, description="Pollers that are kept."
    )


class EventSourceMappingStatus(Model):
    """What became of the mapping; nobody polls yet."""

    conditions: Conditions = Field(default_factory=list)


class EventSourceMapping(KubeObject):
    """A source whose records a function gets."""

    DEFINITION: ClassVar[Definition] = Definition(
        kind=EVENT_SOURCE_MAPPING,
        singular="eventsourcemapping",
        short_names=("esm",),
        columns=(
            Column(name="Function", path=".spec.functionName", description="In Lambda's API"),
            Column(name="Source", path=".spec.eventSourceArn"),
            Column(name="Enabled", path=".spec.enabled", type="boolean"),
            Column(name="Qualifier", path=".spec.qualifier", priority=1),
            Column(name="Batch", path=".spec.batchSize", type="integer", priority=1),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
        selectable=(".spec.functionName",),
    )

    spec: EventSourceMappingSpec
    status: EventSourceMappingStatus = Field(default_factory=EventSourceMappingStatus)
