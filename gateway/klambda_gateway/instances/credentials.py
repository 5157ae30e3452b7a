"""What AWS credentials an instance is given: those of its own session.

Place: ``instances.assignment`` asks when an instance is assigned. Invariants: no key of a Secret
ever leaves the gateway; a session is good for its own pod's life only. Not here: whom a session
acts as and what that may do (``auth.sessions``, RBAC).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from klambda_gateway.auth.sessions import Mint, Statement, role_name
from klambda_gateway.instances.pods import PodFacts


class SessionCredentials:
    """Mints them."""

    def __init__(self, mint: Mint, now: Callable[[], float]) -> None:
        self._mint = mint
        self._now = now

    def of(self, pod: PodFacts, assignment: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the credentials for a pod that becomes what ``assignment`` says."""
        statement = Statement(
            namespace=pod.namespace,
            function=assignment["functionName"],
            role=role_name(assignment["role"]),
            pod=pod.name,
            uid=pod.uid,
            since=int(self._now()),
        )
        return self._mint.make(statement).credentials()
