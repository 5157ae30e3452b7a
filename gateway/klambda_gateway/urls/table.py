"""Which function or alias a URL's id means: one table, kept at watch time, one look per request.

Place: the routing table tells of each entry it swaps (``changed``); ``urls.door`` asks by id.
Invariants: pure; ids of an entry that went are gone; an id leads to exactly one owner, because it
is made from namespace, function and qualifier. Not here: host names (``urls.door``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from klambda_gateway.auth.policy import Statement
from klambda_gateway.routing.facts import AliasFacts, FunctionFacts
from klambda_gateway.routing.table import Entry
from klambda_gateway.urls.config import UrlConfig

MakeId = Callable[[str, str, str | None], str]
"""(namespace, AWS name, qualifier) → the URL's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlTarget:
    """What is behind a URL."""

    id: str
    namespace: str
    function: str
    """The AWS name."""
    qualifier: str | None
    """The alias; absent: ``$LATEST``."""
    config: UrlConfig
    policy: tuple[Statement, ...]


class UrlTable:
    """All URLs."""

    def __init__(self, make_id: MakeId) -> None:
        self._make_id = make_id
        self.on_added: Callable[[str], None] = lambda _: None
        """Told of each id that is in the table now."""
        self._targets: dict[str, UrlTarget] = {}
        self._ids: dict[tuple[str, str], tuple[str, ...]] = {}
        """By namespace and AWS name: the ids in the table."""

    def __len__(self) -> int:
        return len(self._targets)

    def get(self, url_id: str) -> UrlTarget | None:
        """Return what is behind an id."""
        return self._targets.get(url_id)

    def changed(self, before: Entry | None, after: Entry | None) -> None:
        """Follow an entry of the routing table: made, replaced (same name) or gone."""
        entry = after or before
        if entry is None:
            return
        name = (entry.function.namespace, entry.function.aws_name)
        for old in self._ids.pop(name, ()):
            del self._targets[old]
        targets = {each.id: each for each in self._read(after)} if after is not None else {}
        if targets:
            self._ids[name] = tuple(targets)
            self._targets.update(targets)
            for each in targets:
                self.on_added(each)

    def _read(self, entry: Entry) -> Iterator[UrlTarget]:
        namespace, function = entry.function.namespace, entry.function.aws_name
        holders: list[tuple[str | None, FunctionFacts | AliasFacts]] = [(None, entry.function)]
        holders += entry.aliases.items()
        for qualifier, holder in holders:
            if holder.url is not None:
                yield UrlTarget(
                    id=self._make_id(namespace, function, qualifier),
                    namespace=namespace,
                    function=function,
                    qualifier=qualifier,
                    config=holder.url,
                    policy=holder.policy,
                )
