"""Policies of layer versions: which other accounts may use them. Texts: aws-contract h.

Theory. As with functions (``policy``): the object keeps the operation's own members, one entry per
statement id, and AWS's statement JSON is rendered from them. Place: operations of ``dispatch``'s
table. Not here: evaluation (``klambda_core.layers``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from klambda_core import errors, limits
from klambda_core.crd import LayerPermission, LayerVersion
from klambda_core.crd.base import Json
from klambda_core.errors import LambdaError
from klambda_core.state import revision_id
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.layers import own_name, version_arn, version_of

_MEMBERS = {
    "StatementId": "sid",
    "Action": "action",
    "Principal": "principal",
    "OrganizationId": "organizationId",
}


async def add_layer_version_permission(services: Services, call: Call) -> Reply:
    """AddLayerVersionPermission: 201, the statement and the new RevisionId."""
    given, layer = call.input, await _own(services, call)
    entry = {spec: given[name] for name, spec in _MEMBERS.items() if name in given}
    permission = LayerPermission.model_validate(entry)
    if permission.organization_id is not None and permission.principal != "*":
        raise errors.invalid_parameter("OrganizationId can only be given with the principal '*'.")
    arn = version_arn(call, layer)

    def decide(current: LayerVersion) -> Json:
        _check_revision(current, given.get("RevisionId"))
        policy = current.spec.policy or []
        if any(each.sid == permission.sid for each in policy):
            raise errors.statement_exists(permission.sid)
        return {"spec": {"policy": _stored([*policy, permission], arn)}}

    changed = await services.objects.change(layer, decide, gone=_missing(arn))
    text = _compact(statement(permission, arn))
    return Reply(status=201, document={"Statement": text, "RevisionId": revision_id(changed)})


async def remove_layer_version_permission(services: Services, call: Call) -> Reply:
    """RemoveLayerVersionPermission: 204."""
    given, layer = call.input, await _own(services, call)
    arn = version_arn(call, layer)

    def decide(current: LayerVersion) -> Json:
        policy = current.spec.policy or []
        if not policy:
            raise _no_policy()
        _check_revision(current, given.get("RevisionId"))
        kept = [each for each in policy if each.sid != given["StatementId"]]
        if len(kept) == len(policy):
            raise errors.not_found(
                f"Statement {given['StatementId']} is not found in resource policy."
            )
        return {"spec": {"policy": _stored(kept, arn) if kept else None}}

    await services.objects.change(layer, decide, gone=_missing(arn))
    return Reply(status=204)


async def get_layer_version_policy(services: Services, call: Call) -> Reply:
    """GetLayerVersionPolicy: the whole document as a string."""
    layer = await _own(services, call)
    if not layer.spec.policy:
        raise _no_policy()
    text = _compact(document(layer.spec.policy, version_arn(call, layer)))
    return Reply(document={"Policy": text, "RevisionId": revision_id(layer)})


def document(policy: Sequence[LayerPermission], arn: str) -> Json:
    """The policy as AWS writes it."""
    statements = [statement(permission, arn) for permission in policy]
    return {"Version": "2012-10-17", "Id": "default", "Statement": statements}


def statement(permission: LayerPermission, arn: str) -> Json:
    """One statement as AWS writes it."""
    principal = permission.principal
    if principal.isdecimal():
        principal = f"arn:aws:iam::{principal}:root"
    rendered: Json = {
        "Sid": permission.sid,
        "Effect": "Allow",
        "Principal": principal if principal == "*" else {"AWS": principal},
        "Action": permission.action,
        "Resource": arn,
    }
    if permission.organization_id is not None:
        equals = {"aws:PrincipalOrgID": permission.organization_id}
        rendered["Condition"] = {"StringEquals": equals}
    return rendered


async def _own(services: Services, call: Call) -> LayerVersion:
    """The version of this account. Raises 403, 404."""
    own_name(call)
    return await version_of(services, call)


def _stored(policy: Sequence[LayerPermission], arn: str) -> list[Json]:
    size = len(_compact(document(policy, arn)).encode())
    if size > limits.POLICY_BYTES_MAX:
        raise errors.policy_too_long(size, limits.POLICY_BYTES_MAX)
    return [permission.to_json() for permission in policy]


def _check_revision(layer: LayerVersion, given: str | None) -> None:
    if given is not None and given != revision_id(layer):
        raise errors.revision_mismatch("GetLayerPolicy")


def _missing(arn: str) -> LambdaError:
    return errors.not_found(f"Layer version {arn} does not exist.")


def _no_policy() -> LambdaError:
    return errors.not_found("No policy is associated with the given resource.")


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))
