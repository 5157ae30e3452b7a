"""The Kubernetes API client of every part: verbs on objects, JSON in and out.

Place: under the reflector, the lease and everybody's reads and writes. Typed clients are 6 to 100
times slower on watches, so objects are plain dicts here and are projected by who needs them.

After a broken connection reads are repeated, `apply` (it states the whole intent, so doing it twice
is doing it once) and `delete` with a uid (it cannot hit a successor); `create`, `merge_patch` and
`delete` without a uid are not (`transport`).
Not here: connections (transport), caching (reflector), retries of conflicts (the caller must think
again).
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from klambda_core.kinds import Kind
from klambda_kube.config import ClusterConfig
from klambda_kube.errors import Gone
from klambda_kube.transport import Call, Observer, Transport

Object = dict[str, Any]
"""A Kubernetes object as it stands on the wire."""

Propagation = Literal["Background", "Foreground", "Orphan"]

LIST_TIMEOUT_S = 60.0
"""The API server's own default for non-watch requests."""

WATCH_SECONDS = 300
"""After that the server ends a watch cleanly; spreads reconnects and renews tokens."""

INACTIVITY_S = 70.0
"""Bookmarks come about once a minute; a stream that is silent for longer is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListResult:
    """All objects of a list and the version at which the list was taken."""

    items: list[Object]
    resource_version: str


class Api:
    """Calls to one API server. Create it anywhere, use it in one event loop, `close()` it there."""

    def __init__(self, config: ClusterConfig, *, observe: Observer = lambda *_: None) -> None:
        self._transport = Transport(config, observe)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections, watches included."""
        await self._transport.close()

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """One object, read from etcd."""
        return await self._transport.json(Call(
            verb="get", method="GET", plural=kind.plural, path=kind.path(namespace, name),
            query={}, repeatable=True,
        ))  # fmt: skip

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> ListResult:
        """All objects, in chunks of `limit`; items carry no apiVersion and kind, as Kubernetes' do.

        When the snapshot behind the chunks expires midway, the list is taken again in one piece.
        """
        for size in (limit, 0):
            items: list[Object] = []
            version = ""
            try:
                async for page in self.pages(
                    kind,
                    namespace,
                    label_selector=label_selector,
                    field_selector=field_selector,
                    limit=size,
                ):
                    items += page.items
                    version = page.resource_version
            except Gone:
                if size == 0:
                    raise
                continue
            return ListResult(items=items, resource_version=version)
        raise AssertionError("unreachable")

    async def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> AsyncGenerator[ListResult, None]:
        """The chunks of a list, all of one snapshot. Raises `Gone` when the snapshot expires."""
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        if limit:
            query["limit"] = str(limit)
        while True:
            answer = await self._transport.json(Call(
                verb="list", method="GET", plural=kind.plural, path=kind.path(namespace),
                query=query, repeatable=True, timeout=LIST_TIMEOUT_S,
            ))  # fmt: skip
            metadata = answer.get("metadata") or {}
            yield ListResult(
                items=answer.get("items") or [],
                resource_version=metadata.get("resourceVersion", ""),
            )
            if not (token := metadata.get("continue")):
                return
            query = {**query, "continue": token}

    async def create(
        self, kind: Kind, namespace: str | None, body: Mapping[str, Any], *, field_manager: str
    ) -> Object:
        """POST a new object. Not repeated after a broken connection."""
        return await self._transport.json(Call(
            verb="create", method="POST", plural=kind.plural, path=kind.path(namespace),
            query=_query(fieldManager=field_manager), body=_typed(kind, body),
        ))  # fmt: skip

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> Object:
        """JSON merge patch (RFC 7396) of exactly the members given.

        Put `metadata.resourceVersion` into the patch to make it conditional. Not repeated after a
        broken connection.
        """
        return await self._transport.json(Call(
            verb="patch", method="PATCH", plural=kind.plural,
            path=_path(kind, namespace, name, subresource),
            query=_query(fieldManager=field_manager), body=_dump(patch),
            content_type="application/merge-patch+json",
        ))  # fmt: skip

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
    ) -> Object:
        """Server-side apply of the manager's whole intent; creates the object when it is absent."""
        query = _query(fieldManager=field_manager, force="true" if force else "false")
        return await self._transport.json(Call(
            verb="apply", method="PATCH", plural=kind.plural,
            path=_path(kind, namespace, name, subresource), query=query,
            body=_typed(kind, body), content_type="application/apply-patch+yaml", repeatable=True,
        ))  # fmt: skip

    async def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation = "Background",
    ) -> None:
        """Delete one object; `uid` and `resource_version` are preconditions (`Conflict` otherwise).

        With a uid the call is repeated after a broken connection: `NotFound` may then mean that the
        first one did it, which to every caller is the same.
        """
        preconditions = _query(uid=uid or "", resourceVersion=resource_version or "")
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        options["propagationPolicy"] = propagation
        if preconditions:
            options["preconditions"] = preconditions
        await self._transport.json(Call(
            verb="delete", method="DELETE", plural=kind.plural,
            path=kind.path(namespace, name), query={}, body=_dump(options),
            repeatable=uid is not None,
        ))  # fmt: skip

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        seconds: int = WATCH_SECONDS,
        inactivity: float = INACTIVITY_S,
    ) -> AsyncGenerator[bytes, None]:
        """The events after `resource_version`, one JSON line each, bookmarks included.

        Ends when the server ends it. `Unreachable` when it breaks or is silent for `inactivity`
        seconds, `Gone` when the version is too old (which may also come as an ERROR event).
        """
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        query |= {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        query["resourceVersion"] = resource_version
        call = Call(
            verb="watch", method="GET", plural=kind.plural, path=kind.path(namespace),
            query=query, timeout=0,
        )  # fmt: skip
        rest = b""
        async with self._transport.answer(call, sock_read=inactivity) as response:
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield line


def _path(kind: Kind, namespace: str | None, name: str, subresource: str = "") -> str:
    path = kind.path(namespace, name)
    return f"{path}/{subresource}" if subresource else path


def _query(**values: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _typed(kind: Kind, body: Mapping[str, Any]) -> bytes:
    return _dump({"apiVersion": kind.api_version, "kind": kind.kind, **body})


def _dump(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
