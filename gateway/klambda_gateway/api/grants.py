"""What resource policies add to RBAC: invocations that the function's own policy lets in.

Theory. A caller may invoke in their own account when RBAC allows it, or when the policy of the
resource asked for (function, version or alias) names exactly them or everybody; a statement for
their whole account only leaves the matter to RBAC. In another account, named by a full or partial
ARN, the policy there must allow it *and* RBAC at home: the right to invoke at all. No other
operation crosses accounts.

Place: ``dispatch`` asks between reading a request and carrying it out. Invariants: asks memory
only; no difference shows between an account, a function and a permission that is not there.
Not here: evaluation (``auth.policy``), RBAC (``auth.rbac``).
Source: aws-contract a.3, h; IAM user guide, "Policy evaluation logic"; AWS's developer guide,
"Granting function access to other accounts".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from klambda_core import errors
from klambda_core.arn import Malformed, parse_function
from klambda_core.errors import LambdaError
from klambda_gateway.api.naming import Target
from klambda_gateway.api.reading import Input
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.policy import INVOKE, Principal, allows, principal_of
from klambda_gateway.routing.table import Entry

OPEN_TO_OTHERS = frozenset(("Invoke", "InvokeAsync", "InvokeWithResponseStream"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Another account, whose function is called."""

    namespace: str
    account: str


class Grants:
    """Finds policies and asks them."""

    def __init__(
        self,
        *,
        namespace_of: Callable[[str], str | None],
        entry: Callable[[str, str], Entry | None],
    ) -> None:
        """``namespace_of``: of an account's 12 digits; ``entry``: by namespace and AWS name."""
        self._namespace_of = namespace_of
        self._entry = entry

    def owner(self, operation: str, caller: Caller, given: Input) -> Owner | None:
        """The other account that a request is for, None when it is for the caller's own."""
        if operation not in OPEN_TO_OTHERS:
            return None
        parsed = parse_function(given["FunctionName"])
        if isinstance(parsed, Malformed) or parsed.account in (None, caller.account):
            return None
        # An account that nobody has owns nothing: its policies allow nothing.
        return Owner(
            namespace=self._namespace_of(str(parsed.account)) or "", account=str(parsed.account)
        )

    def at_home(self, operation: str, caller: Caller, target: Target) -> bool:
        """Whether the policy lets the caller in whom RBAC does not."""
        if operation not in OPEN_TO_OTHERS:
            return False
        return self._allowed(caller.namespace, target, principal_of(caller, at_home=True))

    def check_abroad(self, caller: Caller, owner: Owner, target: Target) -> None:
        """Return when the other account lets the caller in. Raises 403 AccessDeniedException."""
        if not self._allowed(owner.namespace, target, principal_of(caller, at_home=False)):
            raise LambdaError(
                errors.ACCESS_DENIED,
                f"User: {caller.arn} is not authorized to perform: {INVOKE} on resource: "
                f"{target.arn} because no resource-based policy allows the {INVOKE} action",
            )

    def _allowed(self, namespace: str, target: Target, principal: Principal) -> bool:
        entry = self._entry(namespace, target.name)
        return entry is not None and allows(entry.policy(target.qualifier), principal, INVOKE)
