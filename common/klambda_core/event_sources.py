"""Event source mappings: kinds of sources, what goes with each, defaults, patterns of filters.

Pure. A source's kind is the service of its ARN; which members are allowed and what absent ones mean
depends on it (aws-contract h.1). Not here: requests, polling.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from klambda_core.limits import FILTERS_MAX

Json = dict[str, Any]


class Source(Enum):
    """What records come from."""

    SQS = "sqs"
    SQS_FIFO = "sqs.fifo"
    KINESIS = "kinesis"
    DYNAMODB = "dynamodb"
    MSK = "kafka"
    SELF_MANAGED_KAFKA = "self-managed-kafka"
    MQ = "mq"
    DOCUMENT_DB = "rds"

    @property
    def is_queue(self) -> bool:
        """Amazon SQS of either kind."""
        return self in (Source.SQS, Source.SQS_FIFO)


_ARN_PARTS = 6
_ALWAYS = frozenset(
    (
        *("functionName", "qualifier", "eventSourceArn", "enabled", "batchSize", "filterCriteria"),
        *("kmsKeyArn", "metricsConfig", "loggingConfig", "tags"),
    )
)
_FAILURES = frozenset(
    (
        *("destinationConfig", "maximumRecordAgeInSeconds", "bisectBatchOnFunctionError"),
        *("maximumRetryAttempts", "functionResponseTypes"),
    )
)
_START = frozenset({"startingPosition", "startingPositionTimestamp"})
_WINDOW = "maximumBatchingWindowInSeconds"
_QUEUE = frozenset({_WINDOW, "scalingConfig", "functionResponseTypes", "provisionedPollerConfig"})
_STREAM = frozenset({_WINDOW, "parallelizationFactor", "tumblingWindowInSeconds"})
_KAFKA = frozenset({_WINDOW, "topics", "sourceAccessConfigurations", "provisionedPollerConfig"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What goes with a kind of source."""

    members: frozenset[str]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    batch_max: int = 10_000
    needs_start: bool = False
    reason: str = "USER_INITIATED"
    """StateTransitionReason."""


_STREAM_DEFAULTS: Mapping[str, Any] = {
    "batchSize": 100,
    _WINDOW: 0,
    "parallelizationFactor": 1,
    "destinationConfig": {"onFailure": {}},
    "maximumRecordAgeInSeconds": -1,
    "bisectBatchOnFunctionError": False,
    "maximumRetryAttempts": -1,
    "tumblingWindowInSeconds": 0,
    "functionResponseTypes": [],
}
_QUEUE_DEFAULTS: Mapping[str, Any] = {"batchSize": 10, _WINDOW: 0, "functionResponseTypes": []}
_BATCH_OF_100: Mapping[str, Any] = {"batchSize": 100}
_STREAM_TRAITS = Traits(
    members=_ALWAYS | _FAILURES | _START | _STREAM,
    defaults=_STREAM_DEFAULTS,
    needs_start=True,
    reason="User action",
)

TRAITS: Mapping[Source, Traits] = {
    Source.SQS: Traits(members=_ALWAYS | _QUEUE, defaults=_QUEUE_DEFAULTS),
    Source.SQS_FIFO: Traits(members=_ALWAYS | _QUEUE, defaults=_QUEUE_DEFAULTS, batch_max=10),
    Source.KINESIS: _STREAM_TRAITS,
    Source.DYNAMODB: _STREAM_TRAITS,
    Source.MSK: Traits(
        members=_ALWAYS | _FAILURES | _START | _KAFKA | {"amazonManagedKafkaEventSourceConfig"},
        defaults=_BATCH_OF_100,
        needs_start=True,
    ),
    Source.SELF_MANAGED_KAFKA: Traits(
        members=_ALWAYS
        | _FAILURES
        | _START
        | _KAFKA
        | {"selfManagedKafkaEventSourceConfig", "selfManagedEventSource"},
        defaults=_BATCH_OF_100,
        needs_start=True,
    ),
    Source.MQ: Traits(
        members=_ALWAYS | {_WINDOW, "queues", "sourceAccessConfigurations"},
        defaults=_BATCH_OF_100,
    ),
    Source.DOCUMENT_DB: Traits(
        members=_ALWAYS
        | _START
        | {_WINDOW, "sourceAccessConfigurations", "documentDbEventSourceConfig"},
        defaults=_BATCH_OF_100,
        needs_start=True,
    ),
}


def source_of(spec: Mapping[str, Any]) -> Source | None:
    """The kind of a mapping's source; None when no such kind is known."""
    arn = spec.get("eventSourceArn")
    if arn is None:
        return Source.SELF_MANAGED_KAFKA if spec.get("selfManagedEventSource") else None
    parts = arn.split(":", _ARN_PARTS - 1)
    if len(parts) < _ARN_PARTS:
        return None
    service, resource = parts[2], parts[5]
    if service == "sqs" and resource.endswith(".fifo"):
        return Source.SQS_FIFO
    return next((source for source in Source if source.value == service), None)


def source_key(spec: Mapping[str, Any]) -> str:
    """What tells two mappings of one function apart: the source, and its topic or queue."""
    endpoints = (spec.get("selfManagedEventSource") or {}).get("endpoints") or {}
    brokers = sorted(each for listed in endpoints.values() for each in listed)
    parts = [spec.get("eventSourceArn") or "", *brokers]
    return "\n".join([*parts, *(spec.get("topics") or []), *(spec.get("queues") or [])])


def problem_of(spec: Mapping[str, Any]) -> str | None:
    """What is wrong with a mapping as a whole, in Lambda's words; None: nothing."""
    source = source_of(spec)
    if source is None:
        arn = spec.get("eventSourceArn")
        if arn is None:
            return "Unrecognized event source."
        # Recorded in aws-controllers-k8s/community#2250.
        return f"Unrecognized event source. Unsupported source arn : {arn}"
    traits = TRAITS[source]
    return (
        _misplaced(spec, source, traits)
        or _start(spec, source, traits)
        or _missing(spec, traits)
        or _batch(spec, source, traits)
        or _ages(spec)
        or _filters(spec)
    )


def _misplaced(spec: Mapping[str, Any], source: Source, traits: Traits) -> str | None:
    if source.is_queue and "startingPosition" in spec:
        return "StartingPosition is not valid for SQS event sources."
    if (spec.get("destinationConfig") or {}).get("onSuccess", {}).get("destination"):
        return "Unsupported DestinationConfig parameter for given event source mapping type."
    strangers = [name for name in spec if name not in traits.members]
    if strangers:
        return f"Unsupported '{strangers[0]}' parameter for given event source mapping type."
    return None


def _missing(spec: Mapping[str, Any], traits: Traits) -> str | None:
    """A topic or a queue (API reference: the name of the Kafka topic, of the broker's queue)."""
    for name in ("topics", "queues"):
        if name in traits.members and not spec.get(name):
            return _null(name)
    return None


def _null(name: str) -> str:
    """In the words of a starting position that is not given (L)."""
    return (
        f"1 validation error detected: Value null at '{name}' failed to satisfy constraint: Member "
        "must not be null."
    )


def _start(spec: Mapping[str, Any], source: Source, traits: Traits) -> str | None:
    position = spec.get("startingPosition")
    if not traits.needs_start:
        return None
    if position is None:
        return _null("startingPosition")
    if position == "AT_TIMESTAMP":
        if source is Source.DYNAMODB:
            return f"Unsupported starting position for arn type: {spec['eventSourceArn']}"
        if "startingPositionTimestamp" not in spec:
            return "Need to specify a timestamp"  # awsdocs/aws-cloudformation-user-guide#334
    elif "startingPositionTimestamp" in spec:
        return "StartingPositionTimestamp is only valid with StartingPosition AT_TIMESTAMP."
    return None


def _batch(spec: Mapping[str, Any], source: Source, traits: Traits) -> str | None:
    size, window = spec.get("batchSize", 0), spec.get(_WINDOW, 0)
    if source is Source.SQS_FIFO and window:
        return "Batching window is not supported for FIFO queues"
    if size > traits.batch_max:
        return f"Batch size must be less than or equal to {traits.batch_max} for FIFO queues."
    if source is Source.SQS and size > 10 and not window:
        return (
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is "
            "greater than 10"
        )
    return None


def _ages(spec: Mapping[str, Any]) -> str | None:
    age = spec.get("maximumRecordAgeInSeconds", -1)
    if 0 <= age < 60:
        return (
            f"1 validation error detected: Value '{age}' at 'maximumRecordAgeInSeconds' failed to "
            "satisfy constraint: Member must have value greater than or equal to 60"
        )
    pollers = spec.get("provisionedPollerConfig") or {}
    if pollers.get("minimumPollers", 1) > pollers.get("maximumPollers", 10_000):
        return "MinimumPollers must be less than or equal to MaximumPollers."
    return None


def _filters(spec: Mapping[str, Any]) -> str | None:
    filters = (spec.get("filterCriteria") or {}).get("filters") or []
    if len(filters) > FILTERS_MAX:
        return f"The number of filters must not exceed {FILTERS_MAX}."
    if all(valid_pattern(each.get("pattern")) for each in filters):
        return None
    return "Invalid filter pattern definition."


_OPERATORS = frozenset(
    ("prefix", "suffix", "equals-ignore-case", "anything-but", "numeric", "exists", "wildcard",
     "cidr")
)  # fmt: skip


def valid_pattern(text: str | None) -> bool:
    """Whether a text is a pattern in EventBridge's syntax (D: event patterns)."""
    try:
        pattern = json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    return isinstance(pattern, dict) and bool(pattern) and _valid_object(pattern)


def _valid_object(pattern: Json) -> bool:
    for key, value in pattern.items():
        if key == "$or":
            alternatives = value if isinstance(value, list) else []
            if not alternatives or not all(
                isinstance(each, dict) and _valid_object(each) for each in alternatives
            ):
                return False
        elif isinstance(value, dict):
            if not value or not _valid_object(value):
                return False
        elif not isinstance(value, list) or not value or not all(map(_valid_rule, value)):
            return False
    return True


def _valid_rule(rule: Any) -> bool:
    if isinstance(rule, dict):
        return len(rule) == 1 and next(iter(rule)) in _OPERATORS
    return not isinstance(rule, list)
