"""A whole resource policy as JSON, read into the permissions that objects keep. Pure.

Theory. Objects keep AddPermission's own members, one entry per statement, and ``policy`` renders
AWS's JSON from them; here is the way back. What those members cannot say (a denial, several
principals in one statement, another condition) is refused by name: half a policy would be a wrong
one. Statements without an id get one. Place: ``policy``'s PutResourcePolicy.
Sources: API reference, "PutResourcePolicy"; IAM user guide, "JSON policy elements"; the sentences
are ours (O).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from klambda_core import errors
from klambda_core.crd.access import Permission
from klambda_core.crd.base import Json
from klambda_core.errors import LambdaError

_POLICY: Final = frozenset(("Version", "Id", "Statement"))
_STATEMENT: Final = frozenset(("Sid", "Effect", "Principal", "Action", "Resource", "Condition"))
_CONDITIONS: Final[Mapping[tuple[str, str], str]] = {
    ("stringequals", "aws:sourceaccount"): "sourceAccount",
    ("stringequals", "aws:principalorgid"): "principalOrgID",
    ("stringequals", "lambda:eventsourcetoken"): "eventSourceToken",
    ("stringequals", "lambda:functionurlauthtype"): "functionUrlAuthType",
    ("bool", "lambda:invokedviafunctionurl"): "invokedViaFunctionUrl",
    ("arnlike", "aws:sourcearn"): "sourceArn",
}
"""Operator and key, in lower case (IAM compares keys so), to the member that stands for them."""


def permissions_of(text: str, resource: str) -> list[Permission]:
    """The permissions that a policy of this resource consists of. Raises 400."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _wrong("it is not JSON") from None
    statements = _members(document, _POLICY).get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    if not listed:
        raise _wrong("it has no statements")
    permissions: list[Permission] = []
    for number, each in enumerate(listed, 1):
        permission = _permission(each, resource, f"Statement{number}")
        if any(known.sid == permission.sid for known in permissions):
            raise _wrong(f"the statement id {permission.sid} is there twice")
        permissions.append(permission)
    return permissions


def _permission(statement: Any, resource: str, sid: str) -> Permission:
    given = _members(statement, _STATEMENT)
    if given.get("Effect") != "Allow":
        raise _wrong("statements can only have the Effect Allow here")
    if _one(given.get("Resource"), "Resource") != resource:
        raise _wrong(f"a statement's Resource is not {resource}")
    entry: Json = {
        "sid": given.get("Sid", sid),
        "action": _one(given.get("Action"), "Action"),
        "principal": _principal(given.get("Principal")),
        **_conditions(given.get("Condition", {})),
    }
    try:
        return Permission.model_validate(entry)
    except ValidationError as error:
        where = error.errors()[0]["loc"][0]
        raise _wrong(f"a statement's {where} is not valid") from None


def _principal(value: Any) -> str:
    if value == "*":
        return "*"
    if not isinstance(value, dict) or len(value) != 1 or not {"AWS", "Service"} & set(value):
        raise _wrong("a statement's Principal is not *, one AWS principal or one Service")
    ((_, named),) = value.items()
    return _one(named, "Principal")


def _conditions(value: Any) -> Json:
    found: Json = {}
    for operator, pairs in _mapping(value).items():
        for key, wanted in _mapping(pairs).items():
            member = _CONDITIONS.get((operator.lower(), key.lower()))
            if member is None:
                raise _wrong(f"the condition {operator} {key} is not supported here")
            found[member] = _flag(wanted) if operator.lower() == "bool" else _one(wanted, key)
    return found


def _flag(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise _wrong("a Bool condition is neither true nor false")
    return str(value).lower() == "true"


def _one(value: Any, name: str) -> str:
    """A text, also as a list of one."""
    single = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(single, str):
        raise _wrong(f"a statement's {name} is not one text")
    return single


def _members(value: Any, known: Sequence[str] | frozenset[str]) -> Mapping[str, Any]:
    found = _mapping(value)
    if unknown := sorted(set(found) - set(known)):
        raise _wrong(f"the element {unknown[0]} is not supported here")
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong("an element is no object")
    return value


def _wrong(what: str) -> LambdaError:
    return errors.invalid_parameter(f"The policy cannot be used: {what}.")
