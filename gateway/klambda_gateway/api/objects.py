"""Functions, versions and aliases as the API reads and writes them in Kubernetes.

Theory. A single object is always read afresh; an object in deletion is absent. A write is a merge
patch of exactly the changed members, conditional on the version that was judged; when somebody was
faster the object is read and judged again, five times. Every write carries a new nonce, so that a
write whose answer was lost can be looked up before it is called failed. What was written or read
is shown to the observer (the routing table), so that the next invoke here sees it.

Place: between the operations and ``klambda_kube``. Invariants: a child counts only when it belongs
to this very function (owner uid), not to a namesake of yesterday; such left-overs in the way of a
new child are deleted. Not here: what the members mean, errors of Lambda (but ``gone``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from klambda_core import labels, names
from klambda_core.clock import lambda_timestamp
from klambda_core.crd import Alias, Function, LayerVersion, Version
from klambda_core.crd.base import Json, KubeObject
from klambda_core.errors import LambdaError
from klambda_core.kinds import Kind
from klambda_gateway.invoke.model import Observer
from klambda_kube.api import Api
from klambda_kube.errors import (
    AlreadyExists,
    Conflict,
    KubeError,
    NotFound,
    Unreachable,
)
from klambda_kube.selecting import list_by_field

ATTEMPTS = 5
"""How often a write is judged anew when somebody else was faster (design: resources)."""

T = TypeVar("T", bound=KubeObject)
Child = TypeVar("Child", Version, Alias)


class FunctionIndex(Protocol):
    """Knows which object carries an AWS name (the oldest of several)."""

    def find(self, namespace: str, function_name: str) -> str | None:
        """The object's name, None when no object is known."""
        ...


class NameBusy(KubeError):
    """The object name is taken by something that is not the caller's to replace."""


class Objects:
    """Reads and writes of our kinds."""

    def __init__(
        self,
        api: Api,
        *,
        index: FunctionIndex,
        observer: Observer,
        new_id: Callable[[], str],
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._index = index
        self._observer = observer
        self._new_id = new_id
        self._now = now

    # --- reading ----------------------------------------------------------------------------------

    async def function(self, namespace: str, aws_name: str) -> Function | None:
        """The function of this AWS name."""
        indexed = self._index.find(namespace, aws_name)
        for name in dict.fromkeys((indexed, names.object_name(aws_name))):
            if name is None:
                continue
            found = await self._read(Function, namespace, name)
            if found is not None and found.aws_name == aws_name:
                return found
        return None

    async def functions(self, namespace: str) -> list[Function]:
        """All functions of an account by AWS name; of several with one name the oldest."""
        listed = await self._list(Function, namespace)
        listed.sort(key=lambda f: (f.aws_name, f.metadata.creation_timestamp, f.name))
        return list({f.aws_name: f for f in reversed(listed)}.values())[::-1]

    async def version(self, function: Function, number: int) -> Version | None:
        """One published version."""
        name = names.version_name(function.name, number)
        found = await self._read(Version, function.namespace, name)
        return found if found is not None and belongs(found, function) else None

    async def versions(self, function: Function) -> list[Version]:
        """The published versions by number."""
        found = await self._children(Version, function)
        return sorted(found, key=lambda version: version.spec.version)

    async def all_versions(self, namespace: str) -> list[Version]:
        """The versions of all functions of an account."""
        return await self._list(Version, namespace)

    async def all_aliases(self, namespace: str) -> list[Alias]:
        """The aliases of all functions of an account."""
        return await self._list(Alias, namespace)

    async def alias(self, function: Function, alias: str) -> Alias | None:
        """One alias, whoever named its object."""
        name = names.alias_name(function.name, alias)
        found = await self._read(Alias, function.namespace, name)
        if found is not None and found.spec.name == alias and belongs(found, function):
            return found
        return next((a for a in await self.aliases(function) if a.spec.name == alias), None)

    async def aliases(self, function: Function) -> list[Alias]:
        """The aliases by name."""
        found = await self._children(Alias, function)
        return sorted(found, key=lambda alias: alias.spec.name)

    async def item(self, model: type[T], namespace: str, name: str) -> T | None:
        """An object that belongs to no function, by its own name."""
        return await self._read(model, namespace, name)

    async def items(self, model: type[T], namespace: str) -> list[T]:
        """All such objects of an account."""
        return await self._list(model, namespace)

    async def layer_versions(self, namespace: str, layer: str | None = None) -> list[LayerVersion]:
        """The versions of an account's layers (of one), tombstones too; the oldest object first."""
        if layer is None:
            found = await self._list(LayerVersion, namespace)
        else:
            kind = LayerVersion.DEFINITION.kind
            bodies = await list_by_field(self._api, kind, namespace, "layerName", layer)
            found = _readable(LayerVersion, bodies)
        return sorted(found, key=lambda each: (each.metadata.creation_timestamp, each.name))

    # --- writing ----------------------------------------------------------------------------------

    async def create(self, model: type[T], namespace: str, manifest: Json) -> T:
        """Make an object. Raises NameBusy when its name is taken."""
        body = self._stamped(manifest, configuration=True)
        kind, name = model.DEFINITION.kind, body["metadata"]["name"]
        for _ in range(ATTEMPTS):
            try:
                made = await self._api.create(
                    kind, namespace, body, field_manager=labels.MANAGER_GATEWAY
                )
            except AlreadyExists:
                if not await self._clear(kind, namespace, body):
                    raise NameBusy(name) from None
            except Unreachable as error:
                found = await self._find(kind, namespace, name)
                if found is not None and _nonce(found) == _nonce(body):
                    return self._taken(model, found)
                if not error.maybe_applied:
                    raise
            else:
                return self._taken(model, made)
        raise NameBusy(name)

    async def change(
        self,
        item: T,
        decide: Callable[[T], Json],
        *,
        gone: LambdaError,
        configuration: bool = False,
        subresource: str = "",
    ) -> T:
        """Patch an object with what ``decide`` makes of its newest state.

        ``decide`` may raise; ``configuration``: code or configuration changes, so LastModified
        does. Raises ``gone`` when the object vanished meanwhile.
        """
        kind = item.DEFINITION.kind
        for _ in range(ATTEMPTS):
            patch = self._stamped(decide(item), configuration=configuration)
            patch["metadata"]["resourceVersion"] = item.metadata.resource_version
            try:
                body = await self._api.merge_patch(
                    kind,
                    item.namespace,
                    item.name,
                    patch,
                    field_manager=labels.MANAGER_GATEWAY,
                    subresource=subresource,
                )
            except (Conflict, Unreachable) as error:
                if isinstance(error, Unreachable) and not error.maybe_applied:
                    raise
                fresh = await self._read(type(item), item.namespace, item.name)
                if fresh is None or fresh.uid != item.uid:
                    raise gone from error
                if fresh.metadata.annotations.get(labels.NONCE) == _nonce(patch):
                    return fresh
                item = fresh
            except NotFound:
                raise gone from None
            else:
                return self._taken(type(item), body)
        raise Conflict(HTTPStatus.CONFLICT, "Conflict", f"{item.name} changes too fast")

    async def delete(self, item: KubeObject) -> None:
        """Delete an object; its children go by the cluster's own collector."""
        kind = item.DEFINITION.kind
        # Gone already, or a successor has its name: that one stays.
        with contextlib.suppress(NotFound, Conflict):
            await self._api.delete(kind, item.namespace, item.name, uid=item.uid)
        metadata = {"name": item.name, "namespace": item.namespace, "uid": item.uid}
        self._observer.forget(
            {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        )

    # --- inside -----------------------------------------------------------------------------------

    async def _read(self, model: type[T], namespace: str, name: str) -> T | None:
        body = await self._find(model.DEFINITION.kind, namespace, name)
        if body is None:
            return None
        item = self._taken(model, body)
        return None if item.deleting else item

    async def _find(self, kind: Kind, namespace: str, name: str) -> Json | None:
        try:
            return await self._api.get(kind, namespace, name)
        except NotFound:
            return None

    async def _children(self, model: type[Child], function: Function) -> list[Child]:
        kind, reference = model.DEFINITION.kind, function.name
        listed = await list_by_field(self._api, kind, function.namespace, "functionRef", reference)
        return [child for child in _readable(model, listed) if belongs(child, function)]

    async def _list(self, model: type[T], namespace: str) -> list[T]:
        answer = await self._api.list(model.DEFINITION.kind, namespace)
        return _readable(model, answer.items)

    async def _clear(self, kind: Kind, namespace: str, body: Json) -> bool:
        """Whether the taken name may be tried again, because what had it goes or went.

        That is a ghost (in deletion, waiting for its dependents: deleting it in the background
        lets it go at once), or a left-over of a vanished owner.
        """
        found = await self._find(kind, namespace, body["metadata"]["name"])
        if found is None:
            return True
        ghost = found["metadata"].get("deletionTimestamp") is not None
        orphan = _owner(body) is not None and _owner(found) not in (None, _owner(body))
        if not ghost and not orphan:
            return False
        with contextlib.suppress(NotFound, Conflict):
            await self._api.delete(
                kind, namespace, found["metadata"]["name"], uid=found["metadata"]["uid"]
            )
        return True

    def _taken(self, model: type[T], body: Json) -> T:
        self._observer.observe(body)
        return model.read(body)

    def _stamped(self, body: Json, *, configuration: bool) -> Json:
        metadata = dict(body.get("metadata") or {})
        annotations = dict(metadata.get("annotations") or {})
        annotations[labels.NONCE] = self._new_id()
        if configuration:
            now = lambda_timestamp(self._now())
            annotations.setdefault(labels.LAST_MODIFIED, now)  # a version brings its own
        metadata["annotations"] = annotations
        return {**body, "metadata": metadata}


def belongs(child: Version | Alias, function: Function) -> bool:
    """A child of this function, or one made by hand that nobody owns yet."""
    owner = child.controller_uid()
    return child.spec.function_ref == function.name and owner in (None, function.uid)


def merge_members(old: Any, new: Any) -> Any:
    """The merge patch (RFC 7396) that makes ``old`` into exactly ``new``."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif old[key] != value:
            patch[key] = merge_members(old[key], value)
    return patch


def _readable(model: type[T], bodies: Sequence[Json]) -> list[T]:
    """The objects that live and can be read; lists never fail on one odd object."""
    items = []
    for body in bodies:
        try:
            item = model.read(body)
        except ValidationError:
            continue
        if not item.deleting:
            items.append(item)
    return items


def _nonce(body: Json) -> str | None:
    value = (body.get("metadata", {}).get("annotations") or {}).get(labels.NONCE)
    return value if isinstance(value, str) else None


def _owner(body: Json) -> str | None:
    references = body.get("metadata", {}).get("ownerReferences") or []
    return next((r["uid"] for r in references if r.get("controller")), None)
