"""A local mirror of one kind of object that never misses a deletion.

Theory. LIST gives a snapshot at version L; WATCH from L gives every later event in order. When the
server says that a version is too old (410) or anything else it does not explain, the mirror lists
again and *compares*: what is here and not in the list was deleted meanwhile, and that is reported.
So the mirror depends on levels, never on having seen an edge. A stream that merely broke resumes
from its last version (bookmarks keep that recent); one that is silent for 70 s is taken for broken.

Own writes. `observe()` puts an object just written or read at once, without waiting for its event.
The stream has delivered everything up to its own version P, so an observed object with a version
<= P is already known or superseded and is ignored; one above P is put, and stream events that are
older than it are ignored until the stream has caught up. `forget()` does the same for deletions.

Invariants: `on_change(old, new)` is called exactly once per difference, synchronously, after the
mirror has it; never with both None; an object replaced by a namesake with another uid is reported
as gone and then as new. Between start and `synced` the mirror is incomplete.
Not here: queues, retries of the consumer's work (klambda_operator), tables (klambda_gateway).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from klambda_core.kinds import Kind
from klambda_kube.api import INACTIVITY_S, ListResult, Object
from klambda_kube.errors import ApiError, Gone, KubeError, Unreachable, parse_status_object

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace ("" for cluster-wide kinds) and name."""

BACKOFF_S = 0.2
BACKOFF_MAX_S = 30.0
SHORTEST_WATCH_S = 1.0
"""A stream that ends sooner and brought nothing counts as a failure: no busy loop of reconnects."""

PAGE = 500

_log = logging.getLogger("klambda.reflector")


class Source(Protocol):
    """What the reflector needs of `klambda_kube.api.Api`."""

    def pages(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE,
    ) -> AsyncGenerator[ListResult, None]:
        """As `Api` has it."""

    def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        inactivity: float = INACTIVITY_S,
    ) -> AsyncGenerator[bytes, None]:
        """As `Api` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry(Generic[T]):
    """What is kept of an object; `value` None means "not of interest", and is never stored."""

    value: T | None
    uid: str
    version: int
    observed: bool


@dataclass(slots=True, kw_only=True)
class _Stream:
    """One LIST+WATCH: cluster-wide (namespace None) or of one namespace.

    `version` is where to resume, "" for "list first"; `progress` the same as a number, which stays.
    """

    namespace: str | None
    version: str = ""
    progress: int = 0
    failures: int = 0
    listed: bool = False
    alive_at: float = 0.0


class Reflector(Generic[T]):
    """Mirrors the objects of a kind, projected to T; a projection of None means "not of interest".

    `namespaces` None watches the whole cluster. Run `run()` as a task of its own; read from the
    same event loop.
    """

    def __init__(
        self,
        source: Source,
        kind: Kind,
        project: Callable[[Object], T | None],
        *,
        namespaces: Sequence[str] | None = None,
        label_selector: str = "",
        field_selector: str = "",
        on_change: Callable[[T | None, T | None], None] = lambda *_: None,
        inactivity: float = INACTIVITY_S,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._kind = kind
        self._project = project
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._on_change = on_change
        self._inactivity = inactivity
        self._jitter = jitter
        self._entries: dict[Key, _Entry[T]] = {}
        self._forgotten: dict[str, str] = {}
        wanted: Sequence[str | None] = [None] if namespaces is None else sorted(set(namespaces))
        self._streams = {namespace: _Stream(namespace=namespace) for namespace in wanted}
        self.synced = asyncio.Event()
        """Set when every stream has been listed once."""
        self.relists = 0
        """Lists taken so far, the first ones included."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter([each.value for each in self._entries.values() if each.value is not None])

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def get(self, key: Key) -> T | None:
        """The projection of one object, None when there is none."""
        entry = self._entries.get(key)
        return entry.value if entry is not None else None

    def keys(self) -> list[Key]:
        """All keys, a copy."""
        return list(self._entries)

    def age(self) -> float:
        """Seconds since the quietest stream gave a sign of life; infinite before `synced`."""
        if not self.synced.is_set():
            return float("inf")
        now = asyncio.get_running_loop().time()
        return max((now - stream.alive_at for stream in self._streams.values()), default=0.0)

    def observe(self, obj: Object) -> None:
        """Put an object that was just written or read; older than what is known is ignored.

        Objects that the selectors would not match must be projected to None by the projection.
        """
        key = _key(obj)
        stream = self._streams.get(key[0]) or self._streams.get(None)
        version = _number(obj)
        if stream is None or not stream.listed or version <= stream.progress:
            return
        entry = self._entries.get(key)
        if _uid(obj) not in self._forgotten and (entry is None or version > entry.version):
            self._put(key, self._entry(obj, observed=True))

    def forget(self, key: Key, uid: str) -> None:
        """Drop an object that was just deleted for good (no finalizers), ahead of its event."""
        entry = self._entries.get(key)
        if entry is not None and entry.uid == uid:
            self._forgotten[uid] = key[0]
            self._drop(key)

    async def run(self) -> None:
        """Mirror until cancelled."""
        if not self._streams:
            self.synced.set()
        async with asyncio.TaskGroup() as group:
            for stream in self._streams.values():
                group.create_task(self._follow(stream))

    async def _follow(self, stream: _Stream) -> None:
        while True:
            try:
                if not stream.version:
                    await self._list(stream)
                await self._watch(stream)
            except Unreachable as error:
                await self._pause(stream, error)
            except KubeError as error:
                stream.version = ""
                await self._pause(stream, error)
            except ValueError as error:  # a line that is not JSON: nothing here can be trusted
                stream.version = ""
                await self._pause(stream, error)

    async def _pause(self, stream: _Stream, error: Exception) -> None:
        ceiling = min(BACKOFF_S * 2**stream.failures, BACKOFF_MAX_S)
        if isinstance(error, Gone) and stream.failures == 0:
            ceiling = BACKOFF_S
        stream.failures = min(stream.failures + 1, 16)
        _log.warning(
            "watch-broken",
            extra={"fields": {"kind": self._kind.plural, "namespace": stream.namespace,
                              "failures": stream.failures, "error": str(error)}},
        )  # fmt: skip
        await asyncio.sleep(ceiling * (0.5 + self._jitter() / 2))

    async def _list(self, stream: _Stream) -> None:
        # After a failure the list is taken in one piece: chunks may have been what expired.
        limit = PAGE if stream.failures == 0 else 0
        seen: dict[Key, _Entry[T]] = {}
        version = ""
        async with aclosing(
            self._source.pages(self._kind, stream.namespace, limit=limit, **self._selectors)
        ) as pages:
            async for page in pages:
                # Projected page by page: the whole list never stands in memory as it was sent.
                seen.update((_key(obj), self._entry(obj)) for obj in page.items)
                version = page.resource_version
        self._replace(stream, seen, version)

    def _replace(self, stream: _Stream, seen: dict[Key, _Entry[T]], version: str) -> None:
        listed_at = _int(version)
        for key in [key for key in self._entries if stream.namespace in (None, key[0])]:
            entry = self._entries[key]
            newer = entry.observed and entry.version > listed_at
            if key not in seen and not newer:
                self._drop(key)
        present = {entry.uid for entry in seen.values()}
        for uid, namespace in list(self._forgotten.items()):
            if stream.namespace in (None, namespace) and uid not in present:
                del self._forgotten[uid]
        for key, entry in seen.items():
            self._accept(key, entry)
        stream.version, stream.progress = version, listed_at
        stream.listed = True
        self.relists += 1
        self._alive(stream)
        if all(each.listed for each in self._streams.values()):
            self.synced.set()

    async def _watch(self, stream: _Stream) -> None:
        loop = asyncio.get_running_loop()
        began, lines = loop.time(), 0
        async with aclosing(
            self._source.watch(
                self._kind,
                stream.namespace,
                resource_version=stream.version,
                inactivity=self._inactivity,
                **self._selectors,
            )
        ) as events:
            async for line in events:
                self._event(stream, json.loads(line))
                lines += 1
                stream.failures = 0
                self._alive(stream)
        if not lines and loop.time() - began < SHORTEST_WATCH_S:
            raise Unreachable("the watch ended at once", maybe_applied=False)
        self._alive(stream)

    def _event(self, stream: _Stream, event: dict[str, Any]) -> None:
        obj = event.get("object") or {}
        match event.get("type"):
            case "ADDED" | "MODIFIED":
                self._accept(_key(obj), self._entry(obj))
            case "DELETED":
                self._deleted(obj)
            case "BOOKMARK":
                pass
            case "ERROR":
                raise parse_status_object(obj)
            case other:
                raise ApiError(500, "UnknownEvent", f"watch event of type {other!r}")
        if version := (obj.get("metadata") or {}).get("resourceVersion"):
            stream.version, stream.progress = version, _int(version)

    def _accept(self, key: Key, fresh: _Entry[T]) -> None:
        """Take an object from a list or stream, unless an observed one is newer."""
        known = self._entries.get(key)
        newer = known is not None and known.observed and known.version > fresh.version
        if not newer and fresh.uid not in self._forgotten:
            self._put(key, fresh)

    def _deleted(self, obj: Object) -> None:
        key, uid = _key(obj), _uid(obj)
        self._forgotten.pop(uid, None)
        entry = self._entries.get(key)
        if entry is None or entry.uid != uid:
            return
        back = entry.observed and entry.version > _number(obj)  # it left the selection only
        if not back:
            self._drop(key)

    def _put(self, key: Key, fresh: _Entry[T]) -> None:
        known = self._entries.get(key)
        if known is not None and (fresh.value is None or known.uid != fresh.uid):
            self._drop(key)
            known = None
        if fresh.value is None:
            return
        self._entries[key] = fresh
        if known is None or known.version != fresh.version or fresh.version == 0:
            self._tell(known.value if known is not None else None, fresh.value)

    def _entry(self, obj: Object, *, observed: bool = False) -> _Entry[T]:
        value = self._projected(obj)
        return _Entry(value=value, uid=_uid(obj), version=_number(obj), observed=observed)

    def _projected(self, obj: Object) -> T | None:
        try:
            return self._project(obj)
        except Exception:  # noqa: BLE001
            # An object that nobody can read counts as absent; it must not stop the others.
            _log.exception("projection-failed", extra={"fields": {"key": "/".join(_key(obj))}})
            return None

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._tell(entry.value, None)

    def _tell(self, old: T | None, new: T | None) -> None:
        try:
            self._on_change(old, new)
        except Exception:  # noqa: BLE001
            # One bad object must not stop the mirror; the consumer's resync meets it again.
            _log.exception("on-change-failed", extra={"fields": {"kind": self._kind.plural}})

    def _alive(self, stream: _Stream) -> None:
        stream.alive_at = asyncio.get_running_loop().time()


def _key(obj: Object) -> Key:
    metadata = obj.get("metadata") or {}
    return metadata.get("namespace", ""), metadata.get("name", "")


def _uid(obj: Object) -> str:
    uid: str = (obj.get("metadata") or {}).get("uid", "")
    return uid


def _number(obj: Object) -> int:
    return _int((obj.get("metadata") or {}).get("resourceVersion", ""))


def _int(version: str) -> int:
    """Versions of one kind are comparable numbers (KEP-5504); 0 for anything else: "unknown"."""
    return int(version) if version.isdecimal() else 0
