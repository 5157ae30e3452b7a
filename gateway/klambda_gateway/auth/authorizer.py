"""Authorisation, the port: may this caller do this to that?

Place: after routing, before an operation runs. ``rbac.Rbac`` is what gateways use; what else may
let a request in (a resource policy) is composed around it. Invariants: ``known`` asks nothing but
memory, so that a warm request waits for nobody; that an ARN names another account is no right of
the caller's own account, whatever RBAC says. Not here: which right an action is (``rights``).
"""

from __future__ import annotations

from typing import Protocol

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.auth.caller import Caller

_ACCOUNT_PART = 4


class Authorizer(Protocol):
    """Decides about one action.

    ``action``: as IAM spells it, ``lambda:InvokeFunction``; ``resource``: an ARN or ``*``.
    """

    def known(self, caller: Caller, action: str, resource: str) -> bool | None:
        """Whether memory alone allows or denies it; None: it must be checked."""
        ...

    async def check(self, caller: Caller, action: str, resource: str) -> None:
        """Return; or raise 403 AccessDeniedException, or 503 when nobody can tell."""
        ...


def in_own_account(caller: Caller, resource: str) -> bool:
    """Whether an ARN is of the caller's account; one without an account is."""
    parts = resource.split(":", _ACCOUNT_PART + 1)
    return len(parts) <= _ACCOUNT_PART or parts[_ACCOUNT_PART] in ("", caller.account)


def denied(caller: Caller, action: str, resource: str) -> LambdaError:
    """AWS's sentence (K)."""
    return LambdaError(
        errors.ACCESS_DENIED,
        f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action",
    )
