"""Which Deployments belong to one function: the revisions of all its versions.

Place: the watch of Deployments feeds it; reserved concurrency is counted over a function
(``admission``, ``scale.shares``), instances are filed by Deployment. Invariants: pure; a question
costs nothing that grows with the number of other functions.
"""

from __future__ import annotations

from collections.abc import Collection

from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey

Function = tuple[str, str]
"""Namespace and object name."""


class Families:
    """The index."""

    def __init__(self) -> None:
        self._members: dict[Function, dict[DeploymentKey, None]] = {}
        self._functions: dict[DeploymentKey, Function] = {}

    def changed(self, key: DeploymentKey, facts: DeploymentFacts | None) -> None:
        """Take a changed or deleted Deployment."""
        if facts is not None:
            function = (key.namespace, facts.function)
            self._functions[key] = function
            self._members.setdefault(function, {})[key] = None
        elif (former := self._functions.pop(key, None)) is not None:
            members = self._members[former]
            del members[key]
            if not members:
                del self._members[former]

    def function_of(self, key: DeploymentKey) -> Function | None:
        """Return the function that a Deployment belongs to."""
        return self._functions.get(key)

    def of(self, function: Function) -> Collection[DeploymentKey]:
        """Return the Deployments of a function."""
        return self._members.get(function, {}).keys()
