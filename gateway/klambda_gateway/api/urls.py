"""Function URL configs: one per function and one per alias. Texts: aws-contract d.

Place: operations of ``dispatch``'s table; the config lives on the Function or Alias. What the API
makes is never ``public`` by itself: as on AWS, permissions decide. Its times are annotations of the
object, else the object's birth. Not here: answering requests to the URLs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from klambda_core import errors
from klambda_core.clock import iso_timestamp, lambda_timestamp, parse_timestamp
from klambda_core.crd import Alias, Function
from klambda_core.crd.access import FunctionUrl
from klambda_core.crd.base import Json
from klambda_core.labels import URL_CREATED, URL_MODIFIED
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.naming import Target
from klambda_gateway.api.objects import merge_members
from klambda_gateway.api.paging import page, with_marker
from klambda_gateway.api.views import pascal_members

Holder = Function | Alias

_CORS = {
    "AllowCredentials": "allowCredentials",
    "AllowHeaders": "allowHeaders",
    "AllowMethods": "allowMethods",
    "AllowOrigins": "allowOrigins",
    "ExposeHeaders": "exposeHeaders",
    "MaxAge": "maxAge",
}


async def create_function_url_config(services: Services, call: Call) -> Reply:
    """CreateFunctionUrlConfig: 201, without LastModifiedTime."""
    target = call.target()
    holder = await _holder(services, call, target)
    if holder is None:
        raise errors.not_found("Function does not exist")

    def decide(current: Holder) -> Json:
        if current.spec.url is not None:
            raise errors.conflict(
                f"Failed to create function url config for [functionArn = {target.arn}]. Error "
                "message:  FunctionUrlConfig exists for this Lambda function"
            )
        given = {"invokeMode": "BUFFERED", "public": False} | _given(call.input)
        return _written(services, {"url": given}, URL_CREATED, URL_MODIFIED)

    made = await _changed(services, holder, decide)
    document = _shown(services, call, made, target)
    del document["LastModifiedTime"]
    return Reply(status=201, document=document)


async def get_function_url_config(services: Services, call: Call) -> Reply:
    """GetFunctionUrlConfig."""
    holder, target = await _configured(services, call)
    return Reply(document=_shown(services, call, holder, target))


async def update_function_url_config(services: Services, call: Call) -> Reply:
    """UpdateFunctionUrlConfig: members given replace members stored."""
    holder, target = await _configured(services, call)

    def decide(current: Holder) -> Json:
        old = current.spec.url.to_json() if current.spec.url is not None else {}
        given = _given(call.input)
        if given.get("authType", old.get("authType")) != old.get("authType"):
            given["public"] = False  # to open a URL to everybody takes AddPermission here
        new = {name: v for name, v in (old | given).items() if v is not None}
        return _written(services, {"url": merge_members(old, new)}, URL_MODIFIED)

    changed = await _changed(services, holder, decide)
    return Reply(document=_shown(services, call, changed, target))


async def delete_function_url_config(services: Services, call: Call) -> Reply:
    """DeleteFunctionUrlConfig: 204."""
    holder, _ = await _configured(services, call)
    await _changed(services, holder, lambda _: {"spec": {"url": None}})
    return Reply(status=204)


async def list_function_url_configs(services: Services, call: Call) -> Reply:
    """ListFunctionUrlConfigs: the function's and its aliases'."""
    target = call.target()
    function = await services.objects.function(call.namespace, target.name)
    if function is None:
        raise errors.resource_not_found()
    holders: list[Holder] = [function, *await services.objects.aliases(function)]
    rows = [
        (qualifier or "", _shown(services, call, each, _for(target, qualifier)))
        for each in holders
        if each.spec.url is not None
        for qualifier in (each.spec.name if isinstance(each, Alias) else None,)
    ]
    shown, marker = page(rows, call, lambda row: row[0] or " ")
    documents = [row[1] for row in shown]
    return Reply(document=with_marker({"FunctionUrlConfigs": documents}, marker))


def _for(target: Target, qualifier: str | None) -> Target:
    return Target(name=target.name, qualifier=qualifier, function_arn=target.function_arn)


async def _holder(services: Services, call: Call, target: Target) -> Holder | None:
    function = await services.objects.function(call.namespace, target.name)
    if function is None or target.qualifier is None:
        return function
    return await services.objects.alias(function, target.qualifier)


async def _configured(services: Services, call: Call) -> tuple[Holder, Target]:
    target = call.target()
    holder = await _holder(services, call, target)
    if holder is None or holder.spec.url is None:
        raise errors.resource_not_found()
    return holder, target


async def _changed(services: Services, holder: Holder, decide: Any) -> Holder:
    gone = errors.resource_not_found()
    if isinstance(holder, Function):
        return await services.objects.change(holder, decide, gone=gone)
    return await services.objects.change(holder, decide, gone=gone)


def _given(given: Mapping[str, Any]) -> Json:
    """The members of a config that a request sets; an empty Cors is no Cors (null)."""
    members: Json = {}
    if "AuthType" in given:
        members["authType"] = given["AuthType"]
    if "InvokeMode" in given:
        members["invokeMode"] = given["InvokeMode"]
    if "Cors" in given:
        cors = {spec: given["Cors"][name] for name, spec in _CORS.items() if name in given["Cors"]}
        _check_cors(cors)
        members["cors"] = cors or None
    return members


def _check_cors(cors: Mapping[str, Any]) -> None:
    """Somebody is let in, and a wildcard stands alone."""
    if cors and not cors.get("allowOrigins"):
        raise errors.cors_without_origins()
    methods = cors.get("allowMethods", ())
    if "*" in methods and len(methods) > 1:
        raise errors.cors_beside_wildcard("AllowMethods")


def _shown(services: Services, call: Call, holder: Holder, target: Target) -> Json:
    config = holder.spec.url
    if config is None:  # another request removed it meanwhile
        raise errors.resource_not_found()
    return _document(config) | {
        "FunctionUrl": services.urls(call.namespace, target.name, target.qualifier),
        "FunctionArn": target.arn,
        "CreationTime": _time(holder, URL_CREATED),
        "LastModifiedTime": _time(holder, URL_MODIFIED),
    }


def _written(services: Services, spec: Json, *times: str) -> Json:
    now = lambda_timestamp(services.now())
    return {"metadata": {"annotations": dict.fromkeys(times, now)}, "spec": spec}


def _time(holder: Holder, annotation: str) -> str:
    """A time as function URLs spell it (aws-contract a.1)."""
    written = holder.metadata.annotations.get(annotation) or holder.metadata.creation_timestamp
    moment = parse_timestamp(written)
    return iso_timestamp(moment) if moment is not None else ""


def _document(config: FunctionUrl) -> Json:
    document: Json = {"AuthType": config.auth_type, "InvokeMode": config.invoke_mode}
    if config.cors is not None:
        document["Cors"] = pascal_members(config.cors.to_json())
    return document
