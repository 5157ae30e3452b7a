"""Resource policies: AddPermission, RemovePermission, GetPolicy; whole ones by ARN. Texts:
aws-contract h.

Theory. The object keeps AddPermission's own members, one entry per statement id; AWS's statement
JSON is rendered from them when it is asked for. Each qualifier has its own policy: it lives on the
Function, Version or Alias that the qualifier names. A public URL (``url.public``, which only YAML
sets) stands for two statements more: they show like the others, and removing one of them writes
what remains out and ends ``public``. Place: operations of ``dispatch``'s table.
Not here: evaluation (``auth.policy``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from klambda_core import errors, limits
from klambda_core.arn import Malformed, parse_function
from klambda_core.crd import Version
from klambda_core.crd.access import Permission
from klambda_core.crd.base import Json
from klambda_core.names import LATEST
from klambda_core.state import revision_id
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import Holder, Lack, holder_of
from klambda_gateway.api.naming import Target, target_of
from klambda_gateway.api.policy_document import permissions_of
from klambda_gateway.auth.policy import PUBLIC_STATEMENTS

_ACCOUNT = re.compile(r"\d{12}")
_PRINCIPAL_ARN = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:.+")
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com)")

_MEMBERS = {
    "StatementId": "sid",
    "Action": "action",
    "Principal": "principal",
    "SourceArn": "sourceArn",
    "SourceAccount": "sourceAccount",
    "PrincipalOrgID": "principalOrgID",
    "EventSourceToken": "eventSourceToken",
    "FunctionUrlAuthType": "functionUrlAuthType",
    "InvokedViaFunctionUrl": "invokedViaFunctionUrl",
}

_PUBLIC = tuple(
    Permission(**{name: value for name, value in asdict(each).items() if value is not None})
    for each in PUBLIC_STATEMENTS
)


async def add_permission(services: Services, call: Call) -> Reply:
    """AddPermission: 201 and the statement."""
    given, target = call.input, call.target()
    if target.qualifier == LATEST:
        raise errors.invalid_parameter("We currently do not support adding policies for $LATEST.")
    if "FunctionUrlAuthType" in given and given["Action"] != "lambda:InvokeFunctionUrl":
        raise errors.invalid_parameter(
            "FunctionUrlAuthType is only supported for lambda:InvokeFunctionUrl action"
        )
    entry = {spec: given[name] for name, spec in _MEMBERS.items() if name in given}
    permission = Permission.model_validate(entry)
    shown = statement(permission, target.arn)
    holder = await _holder(services, call, target)

    def decide(current: Holder) -> Json:
        _check_policy_revision(current, given.get("RevisionId"))
        policy = current.spec.policy or []
        if any(each.sid == permission.sid for each in (*policy, *_implied(current))):
            raise errors.statement_exists(permission.sid)
        return {"spec": {"policy": _stored([*policy, permission], target)}}

    await services.objects.change(holder, decide, gone=errors.function_not_found(target.arn))
    return Reply(status=201, document={"Statement": _compact(shown)})


async def remove_permission(services: Services, call: Call) -> Reply:
    """RemovePermission: 204."""
    given, target = call.input, call.target()
    holder = await _holder(services, call, target)

    def decide(current: Holder) -> Json:
        policy, implied = current.spec.policy or [], _implied(current)
        if not policy and not implied:
            raise errors.not_found("No policy is associated with the given resource.")
        _check_policy_revision(current, given.get("RevisionId"))
        sid = given["StatementId"]
        spec: Json = {}
        if any(each.sid == sid for each in implied):
            policy, spec["url"] = [*policy, *implied], {"public": False}
        kept = [each for each in policy if each.sid != sid]
        if len(kept) == len(policy):
            raise errors.not_found(f"Statement {sid} is not found in resource policy.")
        return {"spec": spec | {"policy": _stored(kept, target) if kept else None}}

    await services.objects.change(holder, decide, gone=errors.function_not_found(target.arn))
    return Reply(status=204)


async def get_policy(services: Services, call: Call) -> Reply:
    """GetPolicy: the whole document as a string."""
    return await _read(services, call, call.target())


async def get_resource_policy(services: Services, call: Call) -> Reply:
    """GetResourcePolicy: the same by ARN."""
    return await _read(services, call, _target_by_arn(call))


async def put_resource_policy(services: Services, call: Call) -> Reply:
    """PutResourcePolicy: 200; the document replaces every permission, those of a public URL too."""
    target = _target_by_arn(call)
    permissions = permissions_of(call.input["Policy"], target.arn)
    for each in permissions:
        _principal(each.principal)  # refused in the same words as AddPermission's
    holder = await holder_of(services, call, target)
    if isinstance(holder, Lack):
        raise errors.resource_not_found()

    def decide(current: Holder) -> Json:
        _check_policy_revision(current, call.input.get("RevisionId"))
        closed: Json = {"url": {"public": False}} if _implied(current) else {}
        return {"spec": closed | {"policy": _stored(permissions, target)}}

    gone = errors.resource_not_found()
    changed: Holder = await services.objects.change(holder, decide, gone=gone)
    text = _compact(document(permissions, target.arn))
    return Reply(document={"Policy": text, "RevisionId": revision_id(changed)})


async def delete_resource_policy(services: Services, call: Call) -> Reply:
    """DeleteResourcePolicy: 204; all statements go, those of a public URL too."""
    holder = await holder_of(services, call, _target_by_arn(call))
    if isinstance(holder, Lack):
        raise errors.resource_not_found()

    def decide(current: Holder) -> Json:
        implied = _implied(current)
        if not current.spec.policy and not implied:
            raise errors.resource_not_found()
        _check_policy_revision(current, call.input.get("RevisionId"))
        closed: Json = {"url": {"public": False}} if implied else {}
        return {"spec": closed | {"policy": None}}

    await services.objects.change(holder, decide, gone=errors.resource_not_found())
    return Reply(status=204)


def _target_by_arn(call: Call) -> Target:
    arn = call.input["ResourceArn"]
    if isinstance(parse_function(arn), Malformed):
        raise errors.resource_not_found()
    return target_of(arn, None, region=call.region, account=call.account)


async def _read(services: Services, call: Call, target: Target) -> Reply:
    holder = await holder_of(services, call, target)
    if holder is Lack.ALIAS:
        raise errors.alias_not_found(target.arn)
    policy = [] if isinstance(holder, Lack) else [*(holder.spec.policy or []), *_implied(holder)]
    if isinstance(holder, Lack) or not policy:
        raise errors.resource_not_found()
    text = _compact(document(policy, target.arn))
    return Reply(document={"Policy": text, "RevisionId": revision_id(holder)})


def _implied(holder: Holder) -> list[Permission]:
    """The permissions that a public URL stands for, unless they are written out."""
    url = None if isinstance(holder, Version) else holder.spec.url
    if url is None or not url.public or url.auth_type != "NONE":
        return []
    written = {each.sid for each in holder.spec.policy or []}
    return [each for each in _PUBLIC if each.sid not in written]


def document(policy: Sequence[Permission], arn: str) -> Json:
    """The policy as AWS writes it."""
    statements = [statement(permission, arn) for permission in policy]
    return {"Version": "2012-10-17", "Id": "default", "Statement": statements}


def statement(permission: Permission, arn: str) -> Json:
    """One statement as AWS writes it. Raises 400 for a principal that is none."""
    rendered: Json = {
        "Sid": permission.sid,
        "Effect": "Allow",
        "Principal": _principal(permission.principal),
        "Action": permission.action,
        "Resource": arn,
    }
    condition = _condition(permission)
    return rendered | {"Condition": condition} if condition else rendered


def _principal(text: str) -> str | Json:
    if text == "*":
        return "*"
    if _ACCOUNT.fullmatch(text):
        return {"AWS": f"arn:aws:iam::{text}:root"}
    if _PRINCIPAL_ARN.fullmatch(text):
        return {"AWS": text}
    if _SERVICE.fullmatch(text):
        return {"Service": text}
    raise errors.invalid_parameter(
        "The provided principal was invalid. Please check the principal and try again."
    )


def _condition(permission: Permission) -> Json:
    equals = {
        "AWS:SourceAccount": permission.source_account,
        "aws:PrincipalOrgID": permission.principal_org_id,
        "lambda:EventSourceToken": permission.event_source_token,
        "lambda:FunctionUrlAuthType": permission.function_url_auth_type,
    }
    condition: Json = {}
    strings = {key: value for key, value in equals.items() if value is not None}
    if strings:
        condition["StringEquals"] = strings
    if permission.invoked_via_function_url is not None:
        flag = "true" if permission.invoked_via_function_url else "false"
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": flag}
    if permission.source_arn is not None:
        condition["ArnLike"] = {"AWS:SourceArn": permission.source_arn}
    return condition


def _stored(policy: Sequence[Permission], target: Target) -> list[Json]:
    size = len(_compact(document(policy, target.arn)).encode())
    if size > limits.POLICY_BYTES_MAX:
        raise errors.policy_too_long(size, limits.POLICY_BYTES_MAX)
    return [permission.to_json() for permission in policy]


async def _holder(services: Services, call: Call, target: Target) -> Holder:
    """The object whose policy a qualifier means. Raises 404."""
    found = await holder_of(services, call, target)
    match found:
        case Lack.ALIAS:
            raise errors.alias_not_found(target.arn)
        case Lack():
            raise errors.function_not_found(target.arn)
    return found


def _check_policy_revision(holder: Holder, given: str | None) -> None:
    if given is not None and given != revision_id(holder):
        raise errors.revision_mismatch("GetPolicy")


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
