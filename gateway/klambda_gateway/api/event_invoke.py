"""Event invoke configs: how asynchronous events are retried. Texts: aws-contract c.

Place: operations of ``dispatch``'s table. Each qualifier has its own; it lives on the Function,
Version or Alias that the qualifier names. Not here: the events themselves.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from klambda_core import errors
from klambda_core.arn import FunctionTarget, parse_function
from klambda_core.clock import lambda_timestamp, parse_timestamp
from klambda_core.crd.access import EventInvokeConfig
from klambda_core.crd.base import Json
from klambda_core.labels import EVENT_INVOKE_MODIFIED
from klambda_core.names import LATEST
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import Holder, Lack, holder_of
from klambda_gateway.api.naming import Target
from klambda_gateway.api.objects import merge_members
from klambda_gateway.api.paging import page, with_marker
from klambda_gateway.auth.policy import INVOKE

_NO_FUNCTION = "The function doesn't exist."
_SERVICES = frozenset(("sqs", "sns", "lambda", "events"))
"""Whose resources can be destinations; S3 too, of failures (M: DestinationConfig)."""


async def put_function_event_invoke_config(services: Services, call: Call) -> Reply:
    """PutFunctionEventInvokeConfig: replaces the whole config."""
    target = call.target()
    holder = await _holder(services, call, target, errors.not_found(_NO_FUNCTION))
    config = _given(call, target)
    await _check_functions(services, call, config)
    return await _store(services, holder, target, dict(config))


async def update_function_event_invoke_config(services: Services, call: Call) -> Reply:
    """UpdateFunctionEventInvokeConfig: merges; 404 when there is none."""
    target = call.target()
    holder = await _holder(services, call, target, _none(target))
    if holder.spec.event_invoke_config is None:
        raise _none(target)
    stored = holder.spec.event_invoke_config.to_json()
    config = _given(call, target)
    await _check_functions(services, call, config)
    return await _store(services, holder, target, {**stored, **config})


async def get_function_event_invoke_config(services: Services, call: Call) -> Reply:
    """GetFunctionEventInvokeConfig."""
    target = call.target()
    holder = await _holder(services, call, target, _none(target))
    if holder.spec.event_invoke_config is None:
        raise _none(target)
    return Reply(document=_shown(holder, holder.spec.event_invoke_config, target.invoked_arn))


async def delete_function_event_invoke_config(services: Services, call: Call) -> Reply:
    """DeleteFunctionEventInvokeConfig: 204; 404 when there is none."""
    target = call.target()
    holder = await _holder(services, call, target, _none(target))
    if holder.spec.event_invoke_config is None:
        raise _none(target)
    await services.objects.change(
        holder, lambda _: {"spec": {"eventInvokeConfig": None}}, gone=_none(target)
    )
    return Reply(status=204)


async def list_function_event_invoke_configs(services: Services, call: Call) -> Reply:
    """ListFunctionEventInvokeConfigs: of the function and all its qualifiers."""
    target = call.target()
    function = await services.objects.function(call.namespace, target.name)
    if function is None:
        raise errors.not_found(_NO_FUNCTION)
    holders: list[tuple[str, Holder]] = [(LATEST, function)]
    holders += [(str(v.spec.version), v) for v in await services.objects.versions(function)]
    holders += [(a.spec.name, a) for a in await services.objects.aliases(function)]
    rows = [
        (qualifier, _shown(holder, config, target.qualified(qualifier)))
        for qualifier, holder in sorted(holders, key=lambda row: row[0])
        if (config := holder.spec.event_invoke_config) is not None
    ]
    shown, marker = page(rows, call, lambda row: row[0])
    documents = [row[1] for row in shown]
    return Reply(document=with_marker({"FunctionEventInvokeConfigs": documents}, marker))


def _given(call: Call, target: Target) -> Mapping[str, Any]:
    given = call.input
    config: Json = {}
    if "MaximumRetryAttempts" in given:
        config["maximumRetryAttempts"] = given["MaximumRetryAttempts"]
    if "MaximumEventAgeInSeconds" in given:
        config["maximumEventAgeInSeconds"] = given["MaximumEventAgeInSeconds"]
    if "DestinationConfig" in given:
        config["destinationConfig"] = _destinations(given["DestinationConfig"], target)
    if not config:
        raise errors.invalid_parameter(
            "You must specify at least one of error handling or destination setting."
        )
    return config


def _destinations(given: Mapping[str, Any], target: Target) -> Json:
    """The destinations that are named; whether they can be one is checked by kind of service."""
    success = given.get("OnSuccess", {}).get("Destination")
    failure = given.get("OnFailure", {}).get("Destination")
    if any(arn in (target.function_arn, target.invoked_arn) for arn in (success, failure) if arn):
        raise errors.invalid_parameter(
            "You can't specify the function as a destination for itself."
        )
    for arn, allowed in ((success, _SERVICES), (failure, {*_SERVICES, "s3"})):
        if arn and not _is_destination(arn, allowed):
            raise errors.invalid_parameter(
                "The provided destination config DestinationConfig(onSuccess="
                f"{_java('OnSuccess', success)}, onFailure={_java('OnFailure', failure)}) is "
                "invalid."
            )
    pairs = (("onSuccess", success), ("onFailure", failure))
    return {name: {"destination": arn} for name, arn in pairs if arn}


def _is_destination(arn: str, allowed: Container[str]) -> bool:
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[2] not in allowed:
        return False
    return parts[2] not in ("sqs", "sns") or not arn.endswith(".fifo")


def _java(name: str, arn: str | None) -> str:
    return f"{name}(destination={arn})" if arn else "null"


async def _check_functions(services: Services, call: Call, config: Mapping[str, Any]) -> None:
    """A function that is a destination exists, and the caller may invoke it.

    Outcomes are told with the installation's own rights: who names the function answers for it.
    """
    for each in config.get("destinationConfig", {}).values():
        arn = each["destination"]
        parsed = parse_function(arn) if ":function:" in arn else None
        if not isinstance(parsed, FunctionTarget) or parsed.account != call.account:
            continue  # not a function, or one that cannot be looked up
        if await services.objects.function(call.namespace, parsed.name) is None:
            raise errors.invalid_parameter(f"The destination ARN {arn} is invalid.")
        await services.authorizer.check(call.caller, INVOKE, arn)


async def _store(services: Services, holder: Holder, target: Target, config: Json) -> Reply:
    def decide(current: Holder) -> Json:
        old = current.spec.event_invoke_config
        stored = old.to_json() if old is not None else {}
        return {
            "metadata": {"annotations": {EVENT_INVOKE_MODIFIED: lambda_timestamp(services.now())}},
            "spec": {"eventInvokeConfig": merge_members(stored, config)},
        }

    changed: Holder = await services.objects.change(holder, decide, gone=_none(target))
    shown = EventInvokeConfig.model_validate(config)
    return Reply(document=_shown(changed, shown, target.invoked_arn))


def _shown(holder: Holder, config: EventInvokeConfig, arn: str) -> Json:
    written = holder.metadata.annotations.get(EVENT_INVOKE_MODIFIED)
    moment = parse_timestamp(written or holder.metadata.creation_timestamp)
    destinations = config.destination_config
    document: Json = {
        "LastModified": moment.timestamp() if moment is not None else 0,
        "FunctionArn": arn,
        "DestinationConfig": {
            "OnSuccess": _destination(destinations and destinations.on_success),
            "OnFailure": _destination(destinations and destinations.on_failure),
        },
    }
    if config.maximum_retry_attempts is not None:
        document["MaximumRetryAttempts"] = config.maximum_retry_attempts
    if config.maximum_event_age_in_seconds is not None:
        document["MaximumEventAgeInSeconds"] = config.maximum_event_age_in_seconds
    return document


def _destination(given: Any) -> Json:
    return {"Destination": given.destination} if given and given.destination else {}


def _none(target: Target) -> errors.LambdaError:
    return errors.not_found(f"The function {target.invoked_arn} doesn't have an EventInvokeConfig")


async def _holder(
    services: Services, call: Call, target: Target, missing: errors.LambdaError
) -> Holder:
    found = await holder_of(services, call, target)
    if isinstance(found, Lack):
        raise missing
    return found
