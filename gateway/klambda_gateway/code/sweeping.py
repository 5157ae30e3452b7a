"""What nothing refers to any more: which blobs and which tombstones may go. Pure.

Theory. Objects name blobs under members called ``sha256`` (specs, statuses, snapshots, the
assignments of Deployments that still run) and layers by ARN. They are taken from the raw JSON,
whatever its schema, so that an object which this release cannot read still holds what it names. A
blob goes when nothing has named it for the whole age, counted from the first look that found it so,
and when it has not been uploaded again meanwhile: then it is counted anew, whatever the store's
clock says. A tombstone goes when a higher number of its layer exists and nobody uses it. Place:
``sweeper`` gathers and deletes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from klambda_core.crd import LayerVersion
from klambda_core.labels import ASSIGNMENT

_DIGEST = re.compile(r"[0-9a-f]{64}")

Key = tuple[str, str]
"""Namespace and digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlob:
    """A blob as the store lists it; ``modified`` by the store's clock, ``look``: which list."""

    namespace: str
    sha256: str
    modified: int
    look: str = ""

    @property
    def key(self) -> Key:
        """What it is called."""
        return self.namespace, self.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Since when nothing has named a blob, and of when it was then by the store's clock."""

    since: float
    modified: int


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What objects name."""

    digests: set[Key] = field(default_factory=set)
    layers: set[str] = field(default_factory=set)
    """ARNs of layer versions."""

    def add(self, body: Mapping[str, Any]) -> None:
        """Take an object, or a Deployment with its assignment."""
        metadata = body["metadata"]
        text = (metadata.get("annotations") or {}).get(ASSIGNMENT)
        parts = [body.get("spec"), body.get("status"), _parsed(text) if text else None]
        for name, value in _members("", parts):
            if name == "sha256" and _DIGEST.fullmatch(value):
                self.digests.add((metadata["namespace"], value))
            elif ":layer:" in value:
                self.layers.add(value)


def due(
    blobs: Iterable[StoredBlob],
    references: References,
    known: Mapping[Key, Idle],
    *,
    now: float,
    age: float,
) -> tuple[list[StoredBlob], dict[Key, Idle]]:
    """The blobs to delete; and since when the others have been without reference.

    ``known``: what the look before gave.
    """
    going: list[StoredBlob] = []
    waiting: dict[Key, Idle] = {}
    for blob in blobs:
        if blob.key in references.digests:
            continue
        idle = known.get(blob.key)
        if idle is None or idle.modified != blob.modified:
            idle = Idle(since=now, modified=blob.modified)
        if now - idle.since >= age:
            going.append(blob)
        else:
            waiting[blob.key] = idle
    return going, waiting


def removable(
    layers: Sequence[tuple[LayerVersion, str]], references: References
) -> list[LayerVersion]:
    """The tombstones to delete. ``layers``: all versions, each with its ARN."""
    highest: dict[tuple[str, str], int] = {}
    for layer, _ in layers:
        name = (layer.namespace, layer.spec.layer_name)
        highest[name] = max(highest.get(name, 0), layer.spec.version)
    return [
        layer
        for layer, arn in layers
        if layer.spec.deleted
        and not layer.deleting
        and layer.spec.version < highest[layer.namespace, layer.spec.layer_name]
        and arn not in references.layers
    ]


def _members(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a document, with the name of the member that holds it."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _members(key, item)
    elif isinstance(value, list):
        for item in value:
            yield from _members(name, item)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
