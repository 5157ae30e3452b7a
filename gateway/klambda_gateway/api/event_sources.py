"""Event source mappings: create, get, update, delete, list. Texts: aws-contract h.1.

Theory. A mapping is an object of its own that outlives its function; its UUID is the object's uid,
its name is made from function and source, so that of two equal mappings Kubernetes takes one. The
spec holds what was given; defaults of the source's kind are added when it is shown. Place:
operations of ``dispatch``'s table. Nothing polls yet: ``Enabled`` says what the user wants, and
``No records processed`` is true (docs/limits.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klambda_core import arn, errors
from klambda_core.clock import parse_timestamp
from klambda_core.crd import EventSourceMapping
from klambda_core.crd.base import Json
from klambda_core.event_sources import TRAITS, Source, problem_of, source_key, source_of
from klambda_core.names import LATEST, event_source_name
from klambda_core.state import last_modified
from klambda_gateway.api import checks
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import Lack, holder_of
from klambda_gateway.api.members import to_api, to_spec
from klambda_gateway.api.naming import Target, target_of
from klambda_gateway.api.objects import NameBusy, merge_members
from klambda_gateway.api.paging import page, with_marker

_REQUEST = "CreateEventSourceMappingRequest"
_PAGE = 100
_NOTHING_YET = "No records processed"


async def create_event_source_mapping(services: Services, call: Call) -> Reply:
    """CreateEventSourceMapping: 202, Creating."""
    target = _target(call)
    checks.tags(call.input.get("Tags"))
    spec = _spec(call.input, target)
    _check(spec)
    await _check_function(services, call, target)
    for each in await services.objects.items(EventSourceMapping, call.namespace):
        if _same(each.spec.to_json(), spec):
            raise _exists(spec, each)
    name = event_source_name(target.name, target.qualifier, source_key(spec))
    try:
        made = await services.objects.create(
            EventSourceMapping, call.namespace, {"metadata": {"name": name}, "spec": spec}
        )
    except NameBusy:
        other = await services.objects.item(EventSourceMapping, call.namespace, name)
        raise _exists(spec, other) from None
    return Reply(status=202, document=_shown(made, call, state="Creating"))


async def get_event_source_mapping(services: Services, call: Call) -> Reply:
    """GetEventSourceMapping."""
    return Reply(document=_shown(await _found(services, call), call))


async def update_event_source_mapping(services: Services, call: Call) -> Reply:
    """UpdateEventSourceMapping: 202; members given replace members stored."""
    item = await _found(services, call)
    given = {name: value for name, value in call.input.items() if name != "UUID"}
    target = _target(call) if "FunctionName" in given else None
    if target is not None:
        await _check_function(services, call, target)
    changes = _spec(given, target)
    was_enabled = item.spec.enabled

    def decide(current: EventSourceMapping) -> Json:
        old = current.spec.to_json()
        new = {name: value for name, value in (old | changes).items() if not _cleared(name, value)}
        if target is not None and target.qualifier is None:
            new.pop("qualifier", None)
        _check(new)
        return {"spec": merge_members(old, new)}

    changed = await services.objects.change(
        item, decide, gone=errors.resource_not_found(), configuration=True
    )
    state = "Updating"
    if changed.spec.enabled != was_enabled:
        state = "Enabling" if changed.spec.enabled else "Disabling"
    return Reply(status=202, document=_shown(changed, call, state=state))


async def delete_event_source_mapping(services: Services, call: Call) -> Reply:
    """DeleteEventSourceMapping: 202, Deleting."""
    item = await _found(services, call)
    await services.objects.delete(item)
    return Reply(status=202, document=_shown(item, call, state="Deleting"))


async def list_event_source_mappings(services: Services, call: Call) -> Reply:
    """ListEventSourceMappings: of a source, of a function, or all, in the order of their UUIDs."""
    items = await services.objects.items(EventSourceMapping, call.namespace)
    source = call.input.get("EventSourceArn")
    if source is not None:
        items = [each for each in items if each.spec.event_source_arn == source]
    if "FunctionName" in call.input:
        target = call.target()
        items = [each for each in items if _is_for(each, target)]
        if not items and await services.objects.function(call.namespace, target.name) is None:
            raise errors.function_not_found(target.arn)
    items.sort(key=lambda each: each.uid)
    shown, marker = page(items, call, lambda each: each.uid, most=_PAGE)
    documents = [_shown(each, call) for each in shown]
    return Reply(document=with_marker({"EventSourceMappings": documents}, marker))


async def mapping_of(services: Services, call: Call, uuid: str) -> EventSourceMapping:
    """The mapping with this UUID. Raises 404."""
    for each in await services.objects.items(EventSourceMapping, call.namespace):
        if each.uid == uuid:
            return each
    raise errors.resource_not_found()


async def _found(services: Services, call: Call) -> EventSourceMapping:
    return await mapping_of(services, call, call.input["UUID"])


def _target(call: Call) -> Target:
    return target_of(call.input["FunctionName"], None, region=call.region, account=call.account)


async def _check_function(services: Services, call: Call, target: Target) -> None:
    if isinstance(await holder_of(services, call, target), Lack):
        raise errors.invalid_parameter("Function does not exist")


def _spec(given: Mapping[str, Any], target: Target | None) -> Json:
    members = {name: value for name, value in given.items() if name != "FunctionName"}
    spec: Json = to_spec(_REQUEST, members)
    if target is not None:
        spec["functionName"] = target.name
        if target.qualifier is not None:
            spec["qualifier"] = target.qualifier
    if spec.get("kmsKeyArn") == "":
        spec["kmsKeyArn"] = None
    return spec


def _cleared(name: str, value: Any) -> bool:
    """Whether an update removes the member: with null inside, or by emptiness where that is so."""
    if name == "destinationConfig":
        return not any(each.get("destination") for each in value.values())
    return value is None or (name in ("filterCriteria", "scalingConfig") and not _filled(value))


def _filled(value: Mapping[str, Any]) -> bool:
    return any(each not in (None, [], {}) for each in value.values())


def _check(spec: Mapping[str, Any]) -> None:
    problem = problem_of({name: value for name, value in spec.items() if value is not None})
    if problem is not None:
        raise errors.invalid_parameter(problem)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    def key(spec: Mapping[str, Any]) -> tuple[Any, ...]:
        return spec["functionName"], spec.get("qualifier"), source_key(spec)

    return key(one) == key(other)


def _exists(spec: Mapping[str, Any], other: EventSourceMapping | None) -> errors.LambdaError:
    """AWS's sentences, blanks within the quotation marks included (D: recorded in issues)."""
    source, function = spec.get("eventSourceArn") or "", spec["functionName"]
    uuid = other.uid if other is not None else ""
    advice = f"Please update or delete the existing mapping with UUID {uuid}"
    kind = source_of(spec)
    if kind is not None and kind.is_queue:
        return errors.conflict(
            f'An event source mapping with SQS arn (" {source} ") and function (" {function} ") '
            f"already exists. {advice}"
        )
    return errors.conflict(
        f'The event source arn (" {source} ") and function (" {function} ") provided mapping '
        f"already exists. {advice}"
    )


def _is_for(item: EventSourceMapping, target: Target) -> bool:
    spec = item.spec
    if spec.function_name != target.name:
        return False
    return target.qualifier is None or (spec.qualifier or LATEST) == target.qualifier


def _shown(item: EventSourceMapping, call: Call, *, state: str | None = None) -> Json:
    spec = item.spec.to_json()
    source = source_of(spec)
    traits = TRAITS.get(source) if source is not None else None
    defaults = traits.defaults if traits is not None else {}
    document: Json = to_api(_REQUEST, {**defaults, **spec})
    for name in ("FunctionName", "Enabled", "Tags"):
        document.pop(name, None)
    document |= _group(source, document, item.uid)
    moment = parse_timestamp(last_modified(item))
    place = (call.region, call.account)
    document |= {
        "UUID": item.uid,
        "EventSourceMappingArn": arn.event_source_mapping_arn(*place, item.uid),
        "FunctionArn": arn.function_arn(*place, item.spec.function_name, item.spec.qualifier),
        "LastModified": moment.timestamp() if moment is not None else 0,
        "State": state or ("Enabled" if item.spec.enabled else "Disabled"),
        "StateTransitionReason": traits.reason if traits is not None else "USER_INITIATED",
    }
    if source is not None and not source.is_queue:
        document["LastProcessingResult"] = _NOTHING_YET
    return document


def _group(source: Source | None, document: Json, uuid: str) -> Json:
    """Kafka's consumer group is the mapping's UUID unless one was given (API reference)."""
    names = {
        Source.MSK: "AmazonManagedKafkaEventSourceConfig",
        Source.SELF_MANAGED_KAFKA: "SelfManagedKafkaEventSourceConfig",
    }
    name = names.get(source) if source is not None else None
    if name is None:
        return {}
    return {name: {"ConsumerGroupId": uuid, **document.get(name, {})}}
