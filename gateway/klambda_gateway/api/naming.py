"""What ``FunctionName`` and ``Qualifier`` of a request mean.

Place: first step of nearly every operation. Invariants: pure; every accepted spelling of a name is
read by ``klambda_core.arn``; the ARN of a target carries a qualifier exactly when one was asked
for. Texts: aws-contract a.3. Not here: whether the function exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from klambda_core import errors
from klambda_core.arn import FunctionTarget, Malformed, function_arn, is_version, parse_function
from klambda_core.names import LATEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function, and the qualifier that was asked for."""

    name: str
    qualifier: str | None
    function_arn: str
    """Unqualified."""

    @property
    def arn(self) -> str:
        """The ARN as asked for."""
        return self.function_arn if self.qualifier is None else self.qualified(self.qualifier)

    @property
    def invoked_arn(self) -> str:
        """The ARN that errors of Invoke name: qualified, with $LATEST when nothing was asked."""
        return self.qualified(self.qualifier or LATEST)

    @property
    def version(self) -> int | None:
        """The version's number, when a version was asked for."""
        if self.qualifier is not None and is_version(self.qualifier):
            return int(self.qualifier)
        return None

    @property
    def alias(self) -> str | None:
        """The alias, when one was asked for."""
        if self.qualifier is None or self.is_latest or self.version is not None:
            return None
        return self.qualifier

    @property
    def is_latest(self) -> bool:
        """Nothing or $LATEST was asked for."""
        return self.qualifier in (None, LATEST)

    def qualified(self, qualifier: str) -> str:
        """The function's ARN with a qualifier."""
        return f"{self.function_arn}:{qualifier}"


@lru_cache(maxsize=4096)
def target_of(text: str, qualifier: str | None, *, region: str, account: str) -> Target:
    """Read a name. Raises ResourceNotFound (other region), AccessDenied (other account), 400.

    Remembered, because every invocation asks.
    """
    parsed = parse_function(text)
    if isinstance(parsed, Malformed):
        raise errors.invalid_parameter(f"Invalid function name: {text}")
    check_place(parsed, region=region, account=account)
    if None not in (parsed.qualifier, qualifier) and parsed.qualifier != qualifier:
        raise errors.qualifier_mismatch()
    return Target(
        name=parsed.name,
        qualifier=qualifier if qualifier is not None else parsed.qualifier,
        function_arn=function_arn(region, account, parsed.name),
    )


def check_place(parsed: FunctionTarget, *, region: str, account: str) -> None:
    """Raise unless the region and account that a name spells out are ours."""
    if parsed.region is not None and parsed.region != region:
        raise errors.other_region(parsed.region, region)
    if parsed.account is not None and parsed.account != account:
        raise errors.other_account()
