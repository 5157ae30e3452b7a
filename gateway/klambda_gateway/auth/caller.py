"""Who asks, proven: whom Kubernetes knows them as, and how AWS would name them.

Place: ``gate`` and ``tokens`` make one per request; operations read ``namespace`` and ``account``,
``rbac`` asks about ``user``, ``groups`` and ``extra``. Invariants: pure; plain data, hashable.
Sources: IAM user guide, "IAM identifiers" (ARNs, unique ids and their prefixes).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

SERVICE_ACCOUNT: Final = "system:serviceaccount:"
AUTHENTICATED: Final = "system:authenticated"
USER_ID: Final = "AIDA"
ROLE_ID: Final = "AROA"
_UNIQUE: Final = 17
"""Characters of a unique id after its prefix."""

Extra = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, in the account ``namespace``."""

    access_key_id: str
    namespace: str
    account: str
    user: str
    """Kubernetes' name of them."""
    groups: tuple[str, ...] = ()
    extra: Extra = ()
    """What the API server's authentication said beside (TokenReview)."""
    service: str = "lambda"
    """The service that the signature names."""
    role: str = ""
    """Given exactly when a function's session asks: its role's name."""
    session: str = ""
    """The session's name: the function."""
    granted: bool = False
    """Whether a Secret gives the role to the function: else it is only what the function says."""

    @property
    def arn(self) -> str:
        """How AWS would name them."""
        if self.role:
            return f"arn:aws:sts::{self.account}:assumed-role/{self.role}/{self.session}"
        return f"arn:aws:iam::{self.account}:user/{user_path(self.user)}"

    @property
    def user_id(self) -> str:
        """AWS's unique id: stable for one user or role of one account."""
        if self.role:
            return f"{_unique(ROLE_ID, self.account, self.role)}:{self.session}"
        return _unique(USER_ID, self.account, self.user)


def user_path(user: str) -> str:
    """The path and name in the ARN of an IAM user: no colons, which would end the ARN's part."""
    if user.startswith(SERVICE_ACCOUNT):
        user = "serviceaccount/" + user.removeprefix(SERVICE_ACCOUNT)
    return user.replace(":", "/")


def service_account_groups(namespace: str) -> tuple[str, ...]:
    """The groups that Kubernetes gives every service account of a namespace."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")


def _unique(prefix: str, *parts: str) -> str:
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return prefix + base64.b32encode(digest).decode()[:_UNIQUE]
