"""What the operator has seen: one record per object, indexed by what it belongs to.

Filled by kopf's events, by the answers to our own writes, and by the sweep, which corrects what a
broken watch missed. A record is a projection: what no plan looks at (managed fields, replica
counts, a Deployment's status) is not in it, so that scaling and our own status writes wake nobody.
Not here: any decision, any I/O.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from klambda_core.kinds import ALIAS, DEPLOYMENT, FUNCTION, GROUP, VERSION, Kind
from klambda_operator.model import Child, Deployment, Key, Owner, Rival

_NOISE = ("managedFields", "resourceVersion", "selfLink")
RESERVING = "reserving"
"""The group of functions that reserve concurrency."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One object. `groups`: index entries; `text`: the projection; equal means unchanged."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    resource_version: str
    created: str
    deleting: bool
    owner: Owner | None
    groups: frozenset[str]
    text: bytes
    reserved: int | None = None
    """What a Function reserves of the account's concurrency."""
    provisioned: bool = False
    """A Version with provisioned concurrency: aliases that have some too look at it."""
    serves: bool = False
    """A Version that has a revision to serve with: aliases that track the newest look at it."""

    @property
    def key(self) -> Key:
        """The record's own key."""
        return Key(self.kind.plural, self.namespace, self.name)

    def body(self) -> dict[str, Any]:
        """The object as JSON again (its projection), with its version."""
        document: dict[str, Any] = json.loads(self.text)
        document["metadata"]["resourceVersion"] = self.resource_version
        return document


class Observed:
    """All records of the operator's four kinds."""

    def __init__(self) -> None:
        self._records: dict[Key, Record] = {}
        self._groups: defaultdict[str, set[Key]] = defaultdict(set)

    def put(self, kind: Kind, body: Mapping[str, Any]) -> set[Key]:
        """Take an object as seen or written; returns the keys that this concerns."""
        new = project(kind, body)
        old = self._records.get(new.key)
        if old is not None and _is_older(new, old):
            return set()
        self._store(new.key, old, new)
        return self._affected(old, new)

    def pop(self, kind: Kind, namespace: str, name: str, uid: str | None = None) -> set[Key]:
        """An object is gone (that uid, when given); returns the keys that this concerns."""
        key = Key(kind.plural, namespace, name)
        old = self._records.get(key)
        if old is None or (uid is not None and old.uid != uid):
            return set()
        self._store(key, old, None)
        return self._affected(old, None)

    def prune(
        self, kind: Kind, listed: Set[Key], version: str, *, namespace: str | None = None
    ) -> set[Key]:
        """After a complete list taken at `version`: what was not in it is gone, unless younger."""
        at = int(version or 0)
        gone = [
            record
            for key, record in self._records.items()
            if key.plural == kind.plural
            and namespace in (None, key.namespace)
            and key not in listed
            and int(record.resource_version) <= at
        ]
        concerned: set[Key] = set()
        for record in gone:
            concerned |= self.pop(kind, record.namespace, record.name, record.uid)
        return concerned

    def get(self, kind: Kind, namespace: str, name: str) -> Record | None:
        """One record."""
        return self._records.get(Key(kind.plural, namespace, name))

    def group(self, kind: Kind, namespace: str, group: str) -> Iterator[Record]:
        """The records of a kind in a group."""
        for key in sorted(self._groups.get(f"{namespace}/{group}", ())):
            if key.plural == kind.plural:
                yield self._records[key]

    def keys(self) -> set[Key]:
        """Everything that can be reconciled: our own kinds, and owners that may have vanished."""
        own = {key for key in self._records if key.plural != DEPLOYMENT.plural}
        return own | {_owner_key(r) for r in self._records.values() if r.owner is not None}

    def __len__(self) -> int:
        return len(self._records)

    def _store(self, key: Key, old: Record | None, new: Record | None) -> None:
        for group in old.groups if old else ():
            name = f"{key.namespace}/{group}"
            self._groups[name].discard(key)
            if not self._groups[name]:
                del self._groups[name]
        if new is None:
            del self._records[key]
            return
        self._records[key] = new
        for group in new.groups:
            self._groups[f"{key.namespace}/{group}"].add(key)

    def _affected(self, old: Record | None, new: Record | None) -> set[Key]:
        record = new or old
        if record is None or (old and new and old.text == new.text):
            return set()
        if record.kind == DEPLOYMENT:
            return {_owner_key(each) for each in (old, new) if each and each.owner}
        concerned = {record.key}
        if new is None or old is None or _standing(old) != _standing(new):
            for each in (old, new):
                concerned |= self._related(each) if each else set()
        return concerned

    def _related(self, record: Record) -> set[Key]:
        """Whom the coming or going of an object concerns."""
        related: set[Key] = set()
        for group in record.groups:
            members = self._groups.get(f"{record.namespace}/{group}", set())
            related |= {key for key in members if key.plural != DEPLOYMENT.plural}
        if record.owner is not None and record.owner.kind == FUNCTION.kind:
            related.add(Key(FUNCTION.plural, record.namespace, record.owner.name))
        return related


def project(kind: Kind, body: Mapping[str, Any]) -> Record:
    """The record of an object."""
    metadata = body["metadata"]
    owner = _owner(metadata)
    document = _deployment(body) if kind == DEPLOYMENT else _own(body)
    return Record(
        kind=kind,
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        created=metadata.get("creationTimestamp", ""),
        deleting="deletionTimestamp" in metadata,
        owner=owner,
        groups=_groups(kind, body, owner),
        reserved=_reserved(body) if kind == FUNCTION else None,
        provisioned=kind == VERSION
        and "provisionedConcurrentExecutions" in (body.get("spec") or {}),
        serves=kind == VERSION and "active" in (body.get("status") or {}),
        text=json.dumps(document, separators=(",", ":"), sort_keys=True).encode(),
    )


def deployment(record: Record) -> Deployment:
    """A Deployment as plans see it."""
    content = record.body()
    return Deployment(
        name=record.name,
        uid=record.uid,
        resource_version=record.resource_version,
        owner=record.owner,
        content=content,
        empty=content["empty"],
        created=record.created,
        deleting=record.deleting,
    )


def child(record: Record) -> Child:
    """A Version or Alias as its function's plan sees it."""
    return Child(
        kind=record.kind,
        name=record.name,
        uid=record.uid,
        owner=record.owner,
        deleting=record.deleting,
    )


def rival(record: Record) -> Rival:
    """A namesake."""
    return Rival(name=record.name, uid=record.uid, created=record.created)


def _own(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in body["metadata"].items() if key not in _NOISE}
    if _LAST_APPLIED in metadata.get("annotations", {}):
        kept = {k: v for k, v in metadata["annotations"].items() if k != _LAST_APPLIED}
        metadata["annotations"] = kept
    parts = {key: body[key] for key in ("spec", "status") if key in body}
    return {"metadata": metadata, **parts}


def _deployment(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = body["metadata"]
    annotations = metadata.get("annotations", {})
    spec = {key: value for key, value in body["spec"].items() if key != "replicas"}
    replicas = (body["spec"].get("replicas", 1), (body.get("status") or {}).get("replicas", 0))
    return {
        "metadata": {
            "uid": metadata["uid"],
            "labels": metadata.get("labels", {}),
            "annotations": {k: v for k, v in annotations.items() if k.startswith(f"{GROUP}/")},
            "ownerReferences": metadata.get("ownerReferences", []),
            "deleting": "deletionTimestamp" in metadata,
        },
        "spec": spec,
        "empty": replicas == (0, 0),
    }


def _owner(metadata: Mapping[str, Any]) -> Owner | None:
    for reference in metadata.get("ownerReferences", []):
        if reference.get("controller") and reference["apiVersion"].startswith(f"{GROUP}/"):
            return Owner(kind=reference["kind"], name=reference["name"], uid=reference["uid"])
    return None


def _groups(kind: Kind, body: Mapping[str, Any], owner: Owner | None) -> frozenset[str]:
    spec = body.get("spec") or {}
    name = body["metadata"]["name"]
    if kind == DEPLOYMENT:
        return frozenset({owner_group(owner.kind, owner.name)} if owner else ())
    if kind == FUNCTION:
        groups = {aws_name_group(spec.get("functionName") or name), family_group(name)}
        return frozenset(groups if _reserved(body) is None else {*groups, RESERVING})
    reference = spec.get("functionRef", "")
    groups = {family_group(reference)}
    if kind == ALIAS:
        groups.add(alias_group(reference, spec.get("name", "")))
    return frozenset(groups)


def owner_group(kind: str, name: str) -> str:
    """Deployments by the owner that they name, living or not."""
    return f"owner:{kind}/{name}"


def aws_name_group(name: str) -> str:
    """Functions that claim an AWS name."""
    return f"aws-name:{name}"


def alias_group(function: str, name: str) -> str:
    """Alias objects that claim a name of a function."""
    return f"alias:{function}/{name}"


def family_group(function: str) -> str:
    """A function, its versions and its aliases."""
    return f"family:{function}"


def _owner_key(record: Record) -> Key:
    owner = record.owner
    if owner is None:
        raise ValueError(f"{record.name} has no owner")
    kind = VERSION if owner.kind == VERSION.kind else FUNCTION
    return Key(kind.plural, record.namespace, owner.name)


def _standing(record: Record) -> tuple[str, bool, bool, bool, int | None]:
    """What of an object concerns others."""
    return record.uid, record.deleting, record.serves, record.provisioned, record.reserved


def _reserved(body: Mapping[str, Any]) -> int | None:
    amount = (body.get("spec") or {}).get("reservedConcurrentExecutions")
    return amount if isinstance(amount, int) else None


def _is_older(new: Record, old: Record) -> bool:
    return int(new.resource_version) < int(old.resource_version)
