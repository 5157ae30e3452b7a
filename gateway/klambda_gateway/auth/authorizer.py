"""Authorisation: may this caller do this to that?

Place: after routing, before an operation runs. ``Authorizer`` is the port; the one implementation
lets the holder of an access key do everything within the key's own account, which is what the
default key is for. Roles by Kubernetes RBAC (SubjectAccessReview) become another implementation.
Invariant: that an ARN names another account is refused earlier, where names are read.
"""

from __future__ import annotations

from typing import Protocol

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.auth.gate import Caller


class Authorizer(Protocol):
    """Decides about one action."""

    async def check(self, caller: Caller, action: str, resource: str) -> None:
        """Return, or raise 403 AccessDeniedException.

        ``action``: as IAM spells it, ``lambda:InvokeFunction``; ``resource``: an ARN or ``*``.
        """
        ...


class OwnAccount:
    """Every key is the administrator of its own account."""

    async def check(self, caller: Caller, action: str, resource: str) -> None:
        """As the port says."""
        parts = resource.split(":")
        if resource != "*" and len(parts) > 4 and parts[4] != caller.account:
            raise denied(caller, action, resource)


def denied(caller: Caller, action: str, resource: str) -> LambdaError:
    """AWS's sentence (K)."""
    return LambdaError(
        errors.ACCESS_DENIED,
        f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no identity-based policy allows the {action} action",
    )
