"""The world of the operator's tests: settings, snapshots, and an API server in memory.

The server here is a fake of a few rules only (uid, resourceVersion, create, merge patch, status
apply, delete); what the real one does is tested in tests/integration/operator.
"""

# ruff: noqa: ARG002 - the signatures are those of klambda_kube.api.Api

import copy
import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from klambda_core.kinds import FUNCTION, Kind
from klambda_kube.errors import AlreadyExists, Conflict, Forbidden, NotFound
from klambda_operator.model import World
from klambda_operator.settings import Runtime, Runtimes

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
SHA = "a" * 64

RUNTIMES = Runtimes(
    images={
        "python3.13": Runtime(image="klambda/python3.13:1"),
        "provided.al2023": Runtime(image="klambda/provided:1", bootstrap="/var/task/bootstrap"),
    },
    substitutes={"python3.12": "python3.13"},
)
WORLD = World(
    namespace="default",
    account="123456789012",
    region="us-east-1",
    gateways="klambda-instances.klambda.svc.cluster.local.:9001",
    runtimes=RUNTIMES,
    installation_key="0" * 64,
)


class FakeApi:
    """Objects by (plural, namespace, name) with resourceVersions, as far as the executor needs."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.writes: list[str] = []
        self.forbidden: set[str] = set()
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    @property
    def version(self) -> str:
        """The version at which a list would be taken."""
        return str(next(self._versions))

    def put(self, kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
        """A user creates an object."""
        body = copy.deepcopy(dict(given))
        metadata = body["metadata"]
        key = (kind.plural, metadata.setdefault("namespace", "default"), metadata["name"])
        if key in self.objects:
            raise AlreadyExists(409, "AlreadyExists", metadata["name"])
        metadata["uid"] = f"uid-{next(self._uids)}"
        metadata["generation"] = 1
        metadata["creationTimestamp"] = "2026-11-21T11:00:00Z"
        metadata["resourceVersion"] = self.version
        self.objects[key] = body
        return copy.deepcopy(body)

    def edit(self, kind: Kind, name: str, patch: Mapping[str, Any]) -> None:
        """A user changes an object by merge patch."""
        body = self._find(kind, "default", name)
        before = body.get("spec")
        merged = merge(body, patch)
        if merged.get("spec") != before:
            merged["metadata"]["generation"] += 1
        self._store(kind, merged)

    def remove(self, kind: Kind, name: str) -> None:
        """A user deletes an object; nothing collects its children."""
        del self.objects[(kind.plural, "default", name)]

    def all(self, kind: Kind) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return [copy.deepcopy(o) for key, o in self.objects.items() if key[0] == kind.plural]

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        return copy.deepcopy(self._find(kind, namespace or "", name))

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        if kind.plural in self.forbidden:
            raise Forbidden(403, "Forbidden", "exceeded quota")
        self.writes.append(f"create {kind.plural}")
        return self.put(kind, body)

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> dict[str, Any]:
        body = self._find(kind, namespace or "", name)
        self._check(body, patch["metadata"].get("resourceVersion"))
        self.writes.append(f"patch {kind.plural}")
        return self._store(kind, merge(body, patch))

    async def apply(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
        force: bool = True,
    ) -> dict[str, Any]:
        found = self._find(kind, namespace or "", name)
        self._check(found, body["metadata"].get("resourceVersion"))
        self.writes.append(f"status {kind.plural}")
        kept = {k: v for k, v in found.get("status", {}).items() if k in ("code", "lastVersion")}
        return self._store(kind, found | {"status": kept | copy.deepcopy(dict(body["status"]))})

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        found = self._find(kind, namespace or "", name)
        self._check(found, resource_version)
        if uid is not None and found["metadata"]["uid"] != uid:
            raise Conflict(409, "Conflict", "uid")
        self.writes.append(f"delete {kind.plural}")
        del self.objects[(kind.plural, namespace or "", name)]

    def _find(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self.objects[(kind.plural, namespace, name)]
        except KeyError:
            raise NotFound(404, "NotFound", name) from None

    def _check(self, found: Mapping[str, Any], version: str | None) -> None:
        if version not in (None, found["metadata"]["resourceVersion"]):
            raise Conflict(409, "Conflict", "resourceVersion")

    def _store(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        metadata = body["metadata"] | {"resourceVersion": self.version}
        body = body | {"metadata": metadata}
        self.objects[(kind.plural, metadata["namespace"], metadata["name"])] = body
        return copy.deepcopy(body)


def merge(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396)."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def new_function(name: str = "area", **spec: Any) -> dict[str, Any]:
    """A Function as a user writes it."""
    base = {
        "runtime": "python3.13",
        "handler": "a.b",
        "code": {"blob": {"sha256": SHA, "size": 12}},
    }
    merged = {key: value for key, value in (base | spec).items() if value is not None}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": merged}


def stored_function(name: str = "area", **members: Any) -> dict[str, Any]:
    """A Function as the API server shows it."""
    api = FakeApi()
    status = members.pop("status", {})
    return api.put(FUNCTION, new_function(name, **members)) | {"status": status}
