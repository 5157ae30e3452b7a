"""Resource policies, evaluated: does one of these statements let this request in?

Theory. A policy belongs to one resource: a function, one of its versions or one of its aliases. Its
statements only allow. One allows a request when action and principal match and *every* condition it
states holds; a condition on a key that the request does not carry does not hold. AddPermission
knows six conditions (aws-contract h), each on one key. What the rules of the caller's own account
(``authorizer``) allow within that account needs no statement.

Place: ``routing.facts`` reads statements at watch time, Invoke and function URLs ask ``allows``.
Invariants: pure; unknown principals and malformed statements allow nothing.
Not here: the statement's JSON as clients see it (``api.policy``), who the caller is (``gate``).
Sources: AWS's developer guide, "Control access to Lambda function URLs" (both actions since October
2025, statement ids); IAM user guide, "Policy evaluation logic", "Condition operators".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from klambda_gateway.auth.caller import Caller

INVOKE: Final = "lambda:InvokeFunction"
INVOKE_URL: Final = "lambda:InvokeFunctionUrl"

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_ROOT = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):root", re.ASCII)
_ARN_PARTS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One permission, in AddPermission's own members. Conditions that are None are not stated."""

    sid: str
    action: str
    principal: str
    source_arn: str | None = None
    source_account: str | None = None
    principal_org_id: str | None = None
    event_source_token: str | None = None
    function_url_auth_type: str | None = None
    invoked_via_function_url: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: a caller of an account, a service, or (both None) nobody known."""

    account: str | None = None
    arn: str | None = None
    role: str | None = None
    """ARN of the role whose session asks."""
    service: str | None = None


ANYBODY: Final = Principal()


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The condition keys that a request carries; None: it carries no such key."""

    source_arn: str | None = None
    source_account: str | None = None
    principal_org_id: str | None = None
    event_source_token: str | None = None
    function_url_auth_type: str | None = None
    invoked_via_function_url: bool = False


DIRECT: Final = Context()
"""A call of the Lambda API by a key: no service stands behind it that could vouch for a source."""

PUBLIC_STATEMENTS: Final = (
    Statement(
        sid="FunctionURLAllowPublicAccess",
        action=INVOKE_URL,
        principal="*",
        function_url_auth_type="NONE",
    ),
    Statement(
        sid="FunctionURLInvokeAllowPublicAccess",
        action=INVOKE,
        principal="*",
        invoked_via_function_url=True,
    ),
)
"""What ``url.public`` stands for: the two that AWS demands of a public URL."""


def read_statements(policy: Iterable[Mapping[str, Any]] | None) -> tuple[Statement, ...]:
    """The statements of an object's ``spec.policy``."""
    return tuple(
        Statement(
            sid=str(each.get("sid", "")),
            action=str(each.get("action", "")),
            principal=str(each.get("principal", "")),
            source_arn=each.get("sourceArn"),
            source_account=each.get("sourceAccount"),
            principal_org_id=each.get("principalOrgID"),
            event_source_token=each.get("eventSourceToken"),
            function_url_auth_type=each.get("functionUrlAuthType"),
            invoked_via_function_url=each.get("invokedViaFunctionUrl"),
        )
        for each in policy or ()
    )


def principal_of(caller: Caller, *, at_home: bool) -> Principal:
    """A caller, as statements may name them.

    At home, a statement for the whole account only leaves the matter to the account's own rules. A
    function that only says it has a role (no Secret gives it) is nobody by name: any developer can
    write any role's name.
    """
    account = None if at_home else caller.account
    if caller.session and not caller.granted:
        return Principal(account=account)
    role = f"arn:aws:iam::{caller.account}:role/{caller.role}" if caller.role else None
    return Principal(account=account, arn=caller.arn, role=role)


def allows(
    statements: Sequence[Statement], principal: Principal, action: str, context: Context = DIRECT
) -> bool:
    """Whether one statement allows it."""
    return any(
        _is_for(each.action, action) and _names(each.principal, principal) and _holds(each, context)
        for each in statements
    )


def allows_url(statements: Sequence[Statement], principal: Principal, auth_type: str) -> bool:
    """Whether a request may come in by a function URL: that takes both actions."""
    context = Context(function_url_auth_type=auth_type, invoked_via_function_url=True)
    return all(allows(statements, principal, action, context) for action in (INVOKE_URL, INVOKE))


def _is_for(stated: str, action: str) -> bool:
    return stated in ("*", "lambda:*") or stated.lower() == action.lower()


def _names(stated: str, principal: Principal) -> bool:
    if stated == "*":
        return True
    root = _ROOT.fullmatch(stated)
    account = root[1] if root else stated
    if _ACCOUNT.fullmatch(account):
        return account == principal.account
    return stated in (principal.arn, principal.role, principal.service)


def _holds(stated: Statement, context: Context) -> bool:
    equals = (
        (stated.source_account, context.source_account),
        (stated.principal_org_id, context.principal_org_id),
        (stated.event_source_token, context.event_source_token),
        (stated.function_url_auth_type, context.function_url_auth_type),
        (stated.invoked_via_function_url, context.invoked_via_function_url),
    )
    if any(wanted is not None and wanted != given for wanted, given in equals):
        return False
    if stated.source_arn is None:
        return True
    return context.source_arn is not None and arn_like(stated.source_arn, context.source_arn)


def arn_like(pattern: str, arn: str) -> bool:
    """IAM's ``ArnLike``: each of the six parts by itself, with ``*`` and ``?``."""
    wanted, given = pattern.split(":", _ARN_PARTS - 1), arn.split(":", _ARN_PARTS - 1)
    if len(wanted) != _ARN_PARTS or len(given) != _ARN_PARTS:
        return False
    # A bracket is no wildcard of IAM's.
    return all(fnmatchcase(g, w.replace("[", "[[]")) for w, g in zip(wanted, given, strict=True))
