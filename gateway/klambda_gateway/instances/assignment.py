"""What an instance is told to be: the header and body of ``assign``.

Place: ``instances.server`` asks when an unassigned instance has proven itself; ``scale.demand``
asks ahead, while the pod is still being made, so that the code is here when it dials in.
Invariants: the assignment is the operator's text, so that all gateways say the same; code up to
256 KiB comes along inline from a cache bounded in bytes, else (or when the store does not answer us
in time) the instance gets a URL. Not here: how code gets into the store.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from klambda_gateway.instances.deployments import DeploymentFacts
from klambda_gateway.instances.pods import DeploymentKey, PodFacts
from klambda_gateway.instances.record import ON_DEMAND
from klambda_obs import logs

INLINE_LIMIT: Final = 256 << 10
"""Contract §2."""
CACHE_LIMIT: Final = 64 << 20
FETCH_LIMIT_S: Final = 2.0
"""Longer than this an instance is not kept waiting for inline code: it can fetch itself."""

_log = logs.get("klambda.gateway.assignment")


class Blobs(Protocol):
    """What is needed of the store's client."""

    async def get(self, namespace: str, sha256: str) -> bytes:
        """Return the blob; raises when it is not to be had."""
        ...

    def url(self, namespace: str, sha256: str) -> str:
        """Return where an instance fetches it."""
        ...


class NoAssignment(Exception):
    """The Deployment is unknown or carries no assignment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An ``assign`` frame's content."""

    digest: str
    header: Mapping[str, Any]
    body: bytes


class CodeCache:
    """Small zips by namespace and digest, least recently used out first."""

    def __init__(self, limit: int = CACHE_LIMIT) -> None:
        self._limit = limit
        self._held = 0
        self._blobs: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def get(self, namespace: str, sha256: str) -> bytes | None:
        """Return what is held."""
        found = self._blobs.get((namespace, sha256))
        if found is not None:
            self._blobs.move_to_end((namespace, sha256))
        return found

    def put(self, namespace: str, sha256: str, data: bytes) -> None:
        """Hold it, and let others go."""
        if (namespace, sha256) not in self._blobs:
            self._held += len(data)
        self._blobs[namespace, sha256] = data
        while self._held > self._limit:
            _, gone = self._blobs.popitem(last=False)
            self._held -= len(gone)


Lookup = Callable[[DeploymentKey], Awaitable[DeploymentFacts | None]]
Credentials = Callable[[PodFacts, Mapping[str, Any]], Mapping[str, str] | None]
"""Of a pod, and the assignment it gets."""


class Assignments:
    """Makes packages; one fetch per blob at a time."""

    def __init__(
        self,
        *,
        deployment: Lookup,
        blobs: Blobs,
        credentials: Credentials,
        endpoints: Mapping[str, str],
        cache: CodeCache | None = None,
    ) -> None:
        self._deployment = deployment
        self._blobs = blobs
        self._credentials = credentials
        self._endpoints = endpoints
        self._cache = cache or CodeCache()
        self._ahead: set[asyncio.Task[None]] = set()
        self._fetches: dict[tuple[str, str], asyncio.Task[bytes | None]] = {}

    async def package(self, pod: PodFacts, initialization: str = ON_DEMAND) -> Package:
        """Return what to send. Raises NoAssignment, KubeError."""
        assignment = await self._read(pod.key)
        namespace = pod.namespace
        where, code = await self._code(namespace, assignment)
        header: dict[str, Any] = {
            "assignment": assignment,
            "initializationType": initialization,
            "endpoints": dict(self._endpoints),
            **where,
            "layers": [
                {"url": self._blobs.url(namespace, layer["sha256"])}
                for layer in assignment.get("layers", ())
            ],
        }
        credentials = self._credentials(pod, assignment)
        if credentials is not None:
            header["credentials"] = dict(credentials)
        return Package(digest=assignment["digest"], header=header, body=code)

    async def _code(
        self, namespace: str, assignment: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bytes]:
        """The header's member about code, and the code itself when it comes along."""
        if "code" not in assignment:
            return {}, b""  # a container image brings its own
        sha256, size = assignment["code"]["sha256"], assignment["code"]["size"]
        code = await self._inline(namespace, sha256) if size <= INLINE_LIMIT else None
        if code is None:
            return {"code": {"url": self._blobs.url(namespace, sha256)}}, b""
        return {"code": {"inline": True}}, code

    def begin(self, key: DeploymentKey) -> None:
        """Fetch small code ahead, beside whatever goes on; failures show when it is needed."""
        task = asyncio.get_running_loop().create_task(self.prepare(key))
        self._ahead.add(task)
        task.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[None]) -> None:
        self._ahead.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("code-not-prepared", error=str(error))

    async def prepare(self, key: DeploymentKey) -> None:
        """Fetch small code. Raises KubeError."""
        try:
            code = (await self._read(key)).get("code")
        except NoAssignment:
            return
        if code is not None and code["size"] <= INLINE_LIMIT:
            await self._inline(key.namespace, code["sha256"])

    async def _read(self, key: DeploymentKey) -> dict[str, Any]:
        facts = await self._deployment(key)
        if facts is None or facts.assignment is None:
            raise NoAssignment(f"{key.namespace}/{key.name} has no assignment")
        try:
            assignment: dict[str, Any] = json.loads(facts.assignment)
            _ = assignment["digest"]
            if "image" not in assignment:
                _ = assignment["code"]["sha256"], assignment["code"]["size"]
        except (ValueError, KeyError, TypeError) as error:
            raise NoAssignment(f"assignment of {key.namespace}/{key.name}: {error!r}") from error
        return assignment

    async def _inline(self, namespace: str, sha256: str) -> bytes | None:
        held = self._cache.get(namespace, sha256)
        if held is not None:
            return held
        task = self._fetches.get((namespace, sha256))
        if task is None:
            task = asyncio.create_task(self._fetch(namespace, sha256))
            self._fetches[namespace, sha256] = task
            task.add_done_callback(lambda _: self._fetches.pop((namespace, sha256), None))
        try:
            async with asyncio.timeout(FETCH_LIMIT_S):
                return await asyncio.shield(task)
        except TimeoutError:
            return None

    async def _fetch(self, namespace: str, sha256: str) -> bytes | None:
        try:
            data = await self._blobs.get(namespace, sha256)
        except Exception as error:  # noqa: BLE001  whatever it is, the instance can fetch itself
            _log.warning("code-not-inlined", namespace=namespace, sha256=sha256, error=str(error))
            return None
        self._cache.put(namespace, sha256, data)
        return data
