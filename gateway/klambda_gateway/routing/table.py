"""The routing table: AWS name → one immutable entry, swapped by reference when an object changes.

Place: the reflectors of Functions, Versions and Aliases call ``change_…`` (own writes come through
them too, by ``observe``: read-your-writes); every invocation reads one entry.
Invariants: an entry never changes, it is replaced; when several objects claim one name the oldest
wins; a child counts only if its owner is the live object (or nobody yet); the cost of an event
depends on its function's own versions and aliases only.
Not here: reading on a miss (``finder``), choosing by weight (``resolve``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from klambda_gateway.auth.policy import Statement
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.facts import (
    LATEST,
    AliasFacts,
    FunctionFacts,
    Shares,
    VersionFacts,
)
from klambda_gateway.routing.switching import routes_of
from klambda_gateway.routing.target import Problem, Target, targets_of

Name = tuple[str, str]
"""Namespace and a name (which one, the context says)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A function with all that can be invoked of it."""

    function: FunctionFacts
    versions: Mapping[str, VersionFacts] = field(default_factory=dict)
    aliases: Mapping[str, AliasFacts] = field(default_factory=dict)
    targets: Mapping[str, Target | Problem] = field(init=False, repr=False, compare=False)
    """By version, ``$LATEST`` included: what it runs on."""
    routes: Mapping[str, Shares] = field(init=False, repr=False, compare=False)
    """By alias: the versions that its requests go to."""

    def __post_init__(self) -> None:
        targets = targets_of(self.function, self.versions)
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "routes", routes_of(self.aliases, targets))

    def deployments(self) -> frozenset[DeploymentKey]:
        """Return the Deployments that serve something of it now, or are to."""
        versions = self.versions.values()
        servings = [self.function.serving, *(each.serving for each in versions)]
        servings += [each.place for each in versions]
        namespace = self.function.namespace
        return frozenset(DeploymentKey(namespace, each.deployment) for each in servings if each)

    def policy(self, qualifier: str | None) -> tuple[Statement, ...]:
        """Return the resource policy of what a qualifier names; each has its own."""
        if qualifier in (None, LATEST):
            return self.function.policy
        holder = self.aliases.get(str(qualifier)) or self.versions.get(str(qualifier))
        return () if holder is None else holder.policy


T = TypeVar("T", VersionFacts, AliasFacts)


class RoutingTable:
    """All entries, and how they follow the objects."""

    def __init__(
        self,
        *,
        on_retired: Callable[[frozenset[DeploymentKey]], None] = lambda _: None,
        on_swapped: Callable[[Entry | None, Entry | None], None] = lambda *_: None,
    ) -> None:
        """``on_swapped`` is told of each entry: what it was and what it is now."""
        self._on_retired = on_retired
        self._on_swapped = on_swapped
        self._entries: dict[Name, Entry] = {}
        self._claims: dict[Name, dict[str, FunctionFacts]] = {}
        """By AWS name: the objects that claim it, by uid."""
        self._functions: dict[Name, FunctionFacts] = {}
        self._versions: dict[Name, dict[str, VersionFacts]] = {}
        """By the Function's object name: its versions, by their own."""
        self._aliases: dict[Name, dict[str, AliasFacts]] = {}
        self._serving: dict[DeploymentKey, Entry] = {}
        self._namespaces: Counter[str] = Counter()
        """How many entries each has."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, namespace: str, aws_name: str) -> Entry | None:
        """Return the entry of a function's AWS name."""
        return self._entries.get((namespace, aws_name))

    @property
    def namespaces(self) -> Collection[str]:
        """The namespaces that have functions."""
        return self._namespaces.keys()

    def served_by(self, deployment: DeploymentKey) -> Entry | None:
        """Return the function that this Deployment serves now; none when it is superseded."""
        return self._serving.get(deployment)

    def change_function(self, old: FunctionFacts | None, new: FunctionFacts | None) -> None:
        """Follow a Function."""
        for each in (old, new):
            if each is None:
                continue
            claims = self._claims.setdefault((each.namespace, each.aws_name), {})
            if new is not None and each is new:
                claims[each.uid] = each
                self._functions[each.namespace, each.name] = each
            elif new is None or new.uid != each.uid or new.aws_name != each.aws_name:
                claims.pop(each.uid, None)
                if new is None:
                    self._functions.pop((each.namespace, each.name), None)
        for name in {(each.namespace, each.aws_name) for each in (old, new) if each}:
            self._settle(name)

    def change_version(self, old: VersionFacts | None, new: VersionFacts | None) -> None:
        """Follow a Version."""
        self._change_child(self._versions, old, new)

    def change_alias(self, old: AliasFacts | None, new: AliasFacts | None) -> None:
        """Follow an Alias."""
        self._change_child(self._aliases, old, new)

    def _change_child(
        self, children: dict[Name, dict[str, T]], old: T | None, new: T | None
    ) -> None:
        parents: set[Name] = set()
        if old is not None:
            parents.add((old.namespace, old.function))
            siblings = children.get((old.namespace, old.function), {})
            siblings.pop(old.name, None)
            if not siblings:
                children.pop((old.namespace, old.function), None)
        if new is not None:
            parents.add((new.namespace, new.function))
            children.setdefault((new.namespace, new.function), {})[new.name] = new
        for parent in parents:
            function = self._functions.get(parent)
            if function is not None:
                self._settle((function.namespace, function.aws_name))

    def _settle(self, name: Name) -> None:
        """Make the entry of an AWS name anew and swap it in."""
        before = self._entries.get(name)
        claims = self._claims.get(name)
        if not claims:
            self._claims.pop(name, None)
            self._entries.pop(name, None)
            self._swapped(before, None)
            return
        function = min(claims.values(), key=lambda each: (each.created, each.uid))
        parent = (function.namespace, function.name)
        entry = Entry(
            function=function,
            versions={
                each.number: each
                for each in self._versions.get(parent, {}).values()
                if each.owner_uid in (None, function.uid)
            },
            aliases={
                each.alias: each
                for each in self._aliases.get(parent, {}).values()
                if each.owner_uid in (None, function.uid)
            },
        )
        self._entries[name] = entry
        self._swapped(before, entry)

    def _swapped(self, before: Entry | None, after: Entry | None) -> None:
        self._swap_serving(before, after)
        if before is None and after is not None:
            self._namespaces[after.function.namespace] += 1
        elif before is not None and after is None:
            self._namespaces[before.function.namespace] -= 1
            if not self._namespaces[before.function.namespace]:
                del self._namespaces[before.function.namespace]
        self._on_swapped(before, after)

    def _swap_serving(self, before: Entry | None, after: Entry | None) -> None:
        now = after.deployments() if after else frozenset()
        then = before.deployments() if before else frozenset()
        for key in then - now:
            self._serving.pop(key, None)
        if after is not None:
            self._serving.update(dict.fromkeys(now, after))
        if then - now:
            self._on_retired(then - now)
