"""Event source mappings by boto3. Sources: aws-contract h.1, botocore's model, API reference."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from klambda_core.crd import EventSourceMapping
from klambda_core.crd.base import Model
from klambda_core.kinds import EVENT_SOURCE_MAPPING
from klambda_gateway.api.members import spec_name, to_api, to_spec
from klambda_gateway.api.model import MODEL
from tests.unit.gateway_api.fakes import ACCOUNT, REGION, World
from tests.unit.gateway_api.test_operations_api import refusal

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:area"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what differs each time, checked by the way."""
    answer = dict(answer)
    del answer["ResponseMetadata"]
    mapping = answer.pop("UUID")
    assert str(uuid.UUID(mapping)) == mapping
    assert isinstance(answer.pop("LastModified"), datetime)
    assert answer.pop("EventSourceMappingArn") == (
        f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{mapping}"
    )
    return answer


def test_the_life_of_a_queues_mapping(world: World, client: Any, function: str) -> None:
    made = client.create_event_source_mapping(FunctionName="area", EventSourceArn=QUEUE)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    name = {"UUID": made["UUID"]}
    assert b'"LastModified":1' in world.last.body if world.last else False
    assert shown(made) == {
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "EventSourceArn": QUEUE,
        "FunctionArn": ARN,
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
        "FunctionResponseTypes": [],
    }
    assert client.get_event_source_mapping(**name)["State"] == "Enabled"
    for members, state, settled in (
        ({"Enabled": False}, "Disabling", "Disabled"),
        ({"BatchSize": 5}, "Updating", "Disabled"),
        ({"Enabled": True}, "Enabling", "Enabled"),
    ):
        changed = client.update_event_source_mapping(**name, **members)
        assert (changed["ResponseMetadata"]["HTTPStatusCode"], changed["State"]) == (202, state)
        found = client.get_event_source_mapping(**name)
        assert (found["State"], found["BatchSize"]) == (settled, changed["BatchSize"])
    gone = client.delete_event_source_mapping(**name)
    assert (gone["ResponseMetadata"]["HTTPStatusCode"], gone["State"]) == (202, "Deleting")
    for call in (
        client.get_event_source_mapping,
        client.update_event_source_mapping,
        client.delete_event_source_mapping,
    ):
        assert refusal(world, call, **name) == (
            404, "ResourceNotFoundException", "The resource you requested does not exist.",
        )  # fmt: skip


def test_a_streams_mapping_shows_all_defaults(client: Any, function: str) -> None:
    made = client.create_event_source_mapping(
        FunctionName="area", EventSourceArn=STREAM, StartingPosition="TRIM_HORIZON"
    )
    assert shown(made) == {
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "EventSourceArn": STREAM,
        "FunctionArn": ARN,
        "LastProcessingResult": "No records processed",
        "State": "Creating",
        "StateTransitionReason": "User action",
        "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
    }


def test_kafka_gets_a_consumer_group(client: Any, function: str) -> None:
    servers = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:9092", "b:9092"]}}
    made = client.create_event_source_mapping(
        FunctionName="area", SelfManagedEventSource=servers, Topics=["t1"],
        StartingPosition="LATEST",
        SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:x"}],
    )  # fmt: skip
    config = made["SelfManagedKafkaEventSourceConfig"]
    assert config == {"ConsumerGroupId": made["UUID"]}
    assert made["SelfManagedEventSource"] == servers
    assert made["SourceAccessConfigurations"][0]["URI"] == "arn:aws:secretsmanager:x"
    other = client.create_event_source_mapping(
        FunctionName="area", SelfManagedEventSource=servers, Topics=["t2"],
        StartingPosition="LATEST",
        SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "mine"},
    )  # fmt: skip
    assert other["SelfManagedKafkaEventSourceConfig"] == {"ConsumerGroupId": "mine"}


def test_a_moment_to_start_at(client: Any, function: str) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    made = client.create_event_source_mapping(
        FunctionName="area", EventSourceArn=STREAM, StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=moment,
    )  # fmt: skip
    assert made["StartingPositionTimestamp"] == moment


@pytest.mark.parametrize(
    ("members", "status", "code", "text"),
    [
        ({"FunctionName": "nope", "EventSourceArn": QUEUE}, 400, "InvalidParameterValueException",
         "Function does not exist"),
        ({"FunctionName": "area:live", "EventSourceArn": QUEUE}, 400,
         "InvalidParameterValueException", "Function does not exist"),
        ({}, 400, "InvalidParameterValueException", "Unrecognized event source."),
        ({"EventSourceArn": STREAM}, 400, "InvalidParameterValueException",
         ("1 validation error detected: Value null at 'startingPosition' failed to satisfy "
         "constraint: Member must not be null.")),
        ({"EventSourceArn": QUEUE, "FilterCriteria": {"Filters": [{"Pattern": "x"}]}}, 400,
         "InvalidParameterValueException", "Invalid filter pattern definition."),
        ({"EventSourceArn": QUEUE, "BatchSize": 0}, 400, "ValidationException",
         ("1 validation error detected: Value '0' at 'batchSize' failed to satisfy constraint: "
         "Member must have value greater than or equal to 1")),
        ({"EventSourceArn": QUEUE, "StartingPosition": "invalid"}, 400, "ValidationException",
         ("1 validation error detected: Value 'invalid' at 'startingPosition' failed to satisfy "
         "constraint: Member must satisfy enum value set: [TRIM_HORIZON, LATEST, AT_TIMESTAMP]")),
    ],
)  # fmt: skip
def test_refusals(
    world: World, client: Any, function: str, members: Any, status: int, code: str, text: str
) -> None:
    given = {"FunctionName": "area", **members}
    assert refusal(world, client.create_event_source_mapping, **given) == (status, code, text)
    assert world.kube.all(EVENT_SOURCE_MAPPING) == []


def test_uuids_have_36_characters(world: World, client: Any) -> None:
    found = refusal(world, client.get_event_source_mapping, UUID="short")
    assert found[1] == "ValidationException"
    assert "'uuid'" in found[2] or "'uUID'" in found[2]


def test_equal_mappings(world: World, client: Any, function: str) -> None:
    """The blanks within the quotation marks are AWS's (azul#3399, sst#5975)."""
    first = client.create_event_source_mapping(FunctionName="area", EventSourceArn=QUEUE)
    again = refusal(
        world, client.create_event_source_mapping, FunctionName=ARN, EventSourceArn=QUEUE
    )
    assert again == (
        409, "ResourceConflictException",
        (f'An event source mapping with SQS arn (" {QUEUE} ") and function (" area ") already '
        f"exists. Please update or delete the existing mapping with UUID {first['UUID']}"),
    )  # fmt: skip
    assert world.error()["Type"] == "User"
    given = {"FunctionName": "area", "EventSourceArn": STREAM, "StartingPosition": "LATEST"}
    stream = client.create_event_source_mapping(**given)
    assert refusal(world, client.create_event_source_mapping, **given)[2] == (
        f'The event source arn (" {STREAM} ") and function (" area ") provided mapping already '
        f"exists. Please update or delete the existing mapping with UUID {stream['UUID']}"
    )


def test_it_outlives_its_function(world: World, client: Any, function: str) -> None:
    made = client.create_event_source_mapping(FunctionName="area", EventSourceArn=QUEUE)
    client.delete_function(FunctionName="area")
    assert client.get_event_source_mapping(UUID=made["UUID"])["FunctionArn"] == ARN
    listed = client.list_event_source_mappings(FunctionName="area")["EventSourceMappings"]
    assert len(listed) == 1
    client.delete_event_source_mapping(UUID=made["UUID"])
    assert refusal(world, client.list_event_source_mappings, FunctionName="area")[0] == 404


def test_qualifiers_lists_and_moves(world: World, client: Any, function: str) -> None:
    client.publish_version(FunctionName="area")
    client.create_alias(FunctionName="area", Name="live", FunctionVersion="1")
    made = client.create_event_source_mapping(FunctionName="area:live", EventSourceArn=QUEUE)
    assert made["FunctionArn"] == ARN + ":live"
    queues = [QUEUE + str(n) for n in range(5)]
    for queue in queues:
        client.create_event_source_mapping(FunctionName="area", EventSourceArn=queue)
    pages = client.get_paginator("list_event_source_mappings").paginate(
        FunctionName="area", PaginationConfig={"PageSize": 2}
    )
    assert len([row for page in pages for row in page["EventSourceMappings"]]) == 6
    by_source = client.list_event_source_mappings(EventSourceArn=queues[0])
    assert [row["EventSourceArn"] for row in by_source["EventSourceMappings"]] == queues[:1]
    by_alias = client.list_event_source_mappings(FunctionName=ARN + ":live")
    assert [row["UUID"] for row in by_alias["EventSourceMappings"]] == [made["UUID"]]
    moved = client.update_event_source_mapping(UUID=made["UUID"], FunctionName="area")
    assert moved["FunctionArn"] == ARN


def test_what_an_update_clears(world: World, client: Any, function: str) -> None:
    made = client.create_event_source_mapping(
        FunctionName="area", EventSourceArn=QUEUE, ScalingConfig={"MaximumConcurrency": 5},
        FilterCriteria={"Filters": [{"Pattern": '{"body": ["a"]}'}]}, KMSKeyArn="arn:aws:kms:x",
    )  # fmt: skip
    assert made["KMSKeyArn"] == "arn:aws:kms:x"
    changed = client.update_event_source_mapping(
        UUID=made["UUID"], ScalingConfig={}, FilterCriteria={}, KMSKeyArn=""
    )
    assert not {"ScalingConfig", "FilterCriteria", "KMSKeyArn"} & set(changed)
    bad = refusal(world, client.update_event_source_mapping, UUID=made["UUID"], BatchSize=50)
    assert bad[2].startswith("Maximum batch window in seconds must be greater than 0")


def test_tags(world: World, client: Any, function: str) -> None:
    made = client.create_event_source_mapping(
        FunctionName="area", EventSourceArn=QUEUE, Tags={"a": "1"}
    )
    assert "Tags" not in made
    name = {"Resource": made["EventSourceMappingArn"]}
    client.tag_resource(**name, Tags={"b": "2"})
    client.untag_resource(**name, TagKeys=["a"])
    assert client.list_tags(**name)["Tags"] == {"b": "2"}
    missing = made["EventSourceMappingArn"][:-36] + str(uuid.UUID(int=0))
    assert refusal(world, client.list_tags, Resource=missing)[0] == 404


# --- the mirror of members ------------------------------------------------------------------------


def names_of(model: type[Model]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_the_spec_has_every_member_of_the_api() -> None:
    members = set(MODEL.shapes["CreateEventSourceMappingRequest"].members)
    spec = names_of(EventSourceMapping.model_fields["spec"].annotation)  # type: ignore[arg-type]
    assert spec == {spec_name(each) for each in members} | {"qualifier"}


@pytest.mark.parametrize(
    ("member", "name"),
    [("KMSKeyArn", "kmsKeyArn"), ("SchemaRegistryURI", "schemaRegistryUri"), ("URI", "uri"),
     ("DocumentDBEventSourceConfig", "documentDbEventSourceConfig"), ("BatchSize", "batchSize")],
)  # fmt: skip
def test_names(member: str, name: str) -> None:
    assert spec_name(member) == name


def test_there_and_back() -> None:
    given = {
        "AmazonManagedKafkaEventSourceConfig": {
            "SchemaRegistryConfig": {
                "SchemaRegistryURI": "https://x",
                "AccessConfigs": [{"Type": "BASIC_AUTH", "URI": "a"}],
            }
        },
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["a:1"]}},
        "StartingPositionTimestamp": 1767323045.5,
    }
    shape = "CreateEventSourceMappingRequest"
    spec = to_spec(shape, given)
    assert spec["startingPositionTimestamp"] == "2026-01-02T03:04:05.500Z"
    assert to_api(shape, spec) == given


def test_a_mapping_is_asked_for_by_its_functions_name(
    world: World, client: Any, function: str
) -> None:
    """Second; what is not there reads like what is another function's (IAM: lambda:FunctionArn)."""
    made = client.create_event_source_mapping(FunctionName="area", EventSourceArn=QUEUE)
    name, arn = {"UUID": made["UUID"]}, made["EventSourceMappingArn"]
    get, update = "lambda:GetEventSourceMapping", "lambda:UpdateEventSourceMapping"
    world.rights.taken = {f"{get} {arn}", f"lambda:ListTags {arn}", f"{update} {arn}"}
    world.rights.asked.clear()
    assert client.get_event_source_mapping(**name)["FunctionArn"] == ARN
    assert world.rights.asked == [(get, arn), (get, ARN)]
    assert client.list_tags(Resource=arn)["Tags"] == {}
    assert world.rights.asked[-2:] == [("lambda:ListTags", arn), (get, ARN)]
    client.update_event_source_mapping(**name, BatchSize=3)

    world.rights.taken |= {f"{get} {ARN}"}
    status, code, message = refusal(world, client.get_event_source_mapping, **name)
    assert (status, code) == (403, "AccessDeniedException")
    world.rights.taken |= {get}
    nothing = str(uuid.UUID(int=4))
    unseen = refusal(world, client.get_event_source_mapping, UUID=nothing)
    assert unseen == (status, code, message.replace(made["UUID"], nothing))


def test_a_mapping_is_given_to_a_function_with_the_right_to_both(
    world: World, client: Any, function: str
) -> None:
    made = client.create_event_source_mapping(FunctionName="area", EventSourceArn=QUEUE)
    update, other = "lambda:UpdateEventSourceMapping", f"{ARN}-2"
    world.rights.taken = {f"{update} {other}"}
    given = {"UUID": made["UUID"], "FunctionName": "area-2"}
    assert refusal(world, client.update_event_source_mapping, **given)[:2] == (
        403, "AccessDeniedException",
    )  # fmt: skip
    world.rights.taken = {f"{update} {made['EventSourceMappingArn']}", f"{update} {ARN}"}
    assert refusal(world, client.update_event_source_mapping, **given)[:2] == (
        403, "AccessDeniedException",
    )  # fmt: skip
