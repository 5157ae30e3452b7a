"""Which members go with which source, and which filter patterns are patterns."""

from __future__ import annotations

from typing import Any

import pytest

from klambda_core.event_sources import (
    TRAITS,
    Source,
    problem_of,
    source_key,
    source_of,
    valid_pattern,
)

ARNS = {
    Source.SQS: "arn:aws:sqs:us-east-1:123456789012:q",
    Source.SQS_FIFO: "arn:aws:sqs:us-east-1:123456789012:q.fifo",
    Source.KINESIS: "arn:aws:kinesis:us-east-1:123456789012:stream/s",
    Source.DYNAMODB: "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-01-01T00:00:00",
    Source.MSK: "arn:aws:kafka:us-east-1:123456789012:cluster/c/1-2",
    Source.MQ: "arn:aws:mq:us-east-1:123456789012:broker:b:b-1",
    Source.DOCUMENT_DB: "arn:aws:rds:us-east-1:123456789012:cluster:c",
}


@pytest.mark.parametrize(("source", "arn"), ARNS.items())
def test_kinds(source: Source, arn: str) -> None:
    assert source_of({"eventSourceArn": arn}) is source
    assert set(TRAITS[source].defaults) <= TRAITS[source].members


def test_other_sources() -> None:
    kafka = {"selfManagedEventSource": {"endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["b:1", "a:1"]}}}
    assert source_of(kafka) is Source.SELF_MANAGED_KAFKA
    assert source_key(kafka | {"topics": ["t"]}) == "\na:1\nb:1\nt"
    assert source_of({"eventSourceArn": "arn:aws:s3:::b"}) is None
    assert source_of({"eventSourceArn": "arn:x"}) is None
    assert problem_of({}) == "Unrecognized event source."
    assert problem_of({"eventSourceArn": "arn:aws:s3:::b"}) == (
        "Unrecognized event source. Unsupported source arn : arn:aws:s3:::b"
    )  # recorded in aws-controllers-k8s/community#2250


def spec(source: Source, **members: Any) -> dict[str, Any]:
    start = {"startingPosition": "LATEST"} if TRAITS[source].needs_start else {}
    return {"functionName": "f", "eventSourceArn": ARNS[source], **start, **members}


NULL = (
    "1 validation error detected: Value null at '{}' failed to satisfy constraint: "
    "Member must not be null."
)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (spec(Source.SQS), None),
        (spec(Source.SQS, batchSize=10), None),
        # aws-contract h.1; recorded in aws/chalice#1778
        (spec(Source.SQS, batchSize=11),
         ("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater "
         "than 10")),
        (spec(Source.SQS, batchSize=10000, maximumBatchingWindowInSeconds=1), None),
        # recorded in motdotla/node-lambda#466
        (spec(Source.SQS, startingPosition="LATEST"),
         "StartingPosition is not valid for SQS event sources."),
        # recorded in aws/aws-lambda-dotnet#1758
        (spec(Source.SQS_FIFO, maximumBatchingWindowInSeconds=5),
         "Batching window is not supported for FIFO queues"),
        (spec(Source.SQS_FIFO, batchSize=11),
         "Batch size must be less than or equal to 10 for FIFO queues."),
        # recorded in pulumi/pulumi-aws#1418 and aws/aws-cdk#19917
        (spec(Source.SQS, parallelizationFactor=2),
         "Unsupported 'parallelizationFactor' parameter for given event source mapping type."),
        (spec(Source.MQ, queues=["q"], destinationConfig={}),
         "Unsupported 'destinationConfig' parameter for given event source mapping type."),
        (spec(Source.KINESIS, scalingConfig={"maximumConcurrency": 2}),
         "Unsupported 'scalingConfig' parameter for given event source mapping type."),
        (spec(Source.KINESIS), None),
        (spec(Source.KINESIS, startingPosition=None), NULL.format("startingPosition")),
        (spec(Source.KINESIS, startingPosition="AT_TIMESTAMP"),
         "Need to specify a timestamp"),
        (spec(Source.KINESIS, startingPosition="AT_TIMESTAMP",
              startingPositionTimestamp="2026-01-01T00:00:00.000Z"), None),
        (spec(Source.KINESIS, startingPositionTimestamp="2026-01-01T00:00:00.000Z"),
         "StartingPositionTimestamp is only valid with StartingPosition AT_TIMESTAMP."),
        (spec(Source.DYNAMODB, startingPosition="AT_TIMESTAMP"),
         f"Unsupported starting position for arn type: {ARNS[Source.DYNAMODB]}"),
        (spec(Source.DYNAMODB, maximumRecordAgeInSeconds=59),
         ("1 validation error detected: Value '59' at 'maximumRecordAgeInSeconds' failed to "
         "satisfy constraint: Member must have value greater than or equal to 60")),
        (spec(Source.DYNAMODB, maximumRecordAgeInSeconds=-1), None),
        (spec(Source.MSK, topics=["t"]), None),
        # API reference: the topic and the broker's queue must be named; the words are ours
        (spec(Source.MSK), NULL.format("topics")),
        (spec(Source.MQ), NULL.format("queues")),
        (spec(Source.MQ, queues=["q"]), None),
        (spec(Source.DOCUMENT_DB, documentDbEventSourceConfig={"databaseName": "d"}), None),
        (spec(Source.MSK, topics=["t"],
              provisionedPollerConfig={"minimumPollers": 3, "maximumPollers": 2}),
         "MinimumPollers must be less than or equal to MaximumPollers."),
        (spec(Source.SQS, filterCriteria={"filters": [{"pattern": "{"}]}),
         "Invalid filter pattern definition."),
        (spec(Source.SQS, filterCriteria={"filters": [{"pattern": '{"body": ["a"]}'}] * 6}),
         "The number of filters must not exceed 5."),
        (spec(Source.SQS, filterCriteria={"filters": [{"pattern": '{"body": ["a"]}'}] * 5}), None),
    ],
)  # fmt: skip
def test_problems(given: dict[str, Any], problem: str | None) -> None:
    present = {name: value for name, value in given.items() if value is not None}
    assert problem_of(present) == problem


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"body": {"a": [1, "x", null, true]}}', True),
        ('{"body": {"a": [{"prefix": "x"}]}}', True),
        ('{"body": {"a": [{"anything-but": ["x"]}], "b": [{"exists": false}]}}', True),
        ('{"$or": [{"a": [1]}, {"b": [{"numeric": [">", 0]}]}]}', True),
        ('{"$or": []}', False),
        ('{"$or": [1]}', False),
        ('{"body": "x"}', False),
        ('{"body": []}', False),
        ('{"body": {}}', False),
        ('{"body": [[1]]}', False),
        ('{"body": [{"like": "x"}]}', False),
        ('{"body": [{"prefix": "x", "suffix": "y"}]}', False),
        ("{}", False),
        ("[]", False),
        ("x", False),
        ("[" * 100_000, False),
        (None, False),
    ],
)
def test_patterns(text: str | None, valid: bool) -> None:
    assert valid_pattern(text) is valid
