"""Finding what runs: the table first, and one read of Kubernetes before saying no.

Place: ``invoke.service`` and DryRun ask here. An unknown name, an unknown qualifier and a Pending
function may be news that the watch has not brought yet (created on another gateway a moment ago),
so each is read once, by everybody who asks together (single flight), and what was read is put into
the mirrors. Invariants: a name that was read and not found is not read again for a second.
Not here: the tables (``table``), the choice (``resolve``).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from klambda_core import errors, names
from klambda_core.arn import is_version
from klambda_core.kinds import ALIAS, FUNCTION, VERSION, Kind
from klambda_gateway.routing.facts import LATEST
from klambda_gateway.routing.resolve import Problem, Target, resolve
from klambda_gateway.routing.table import Entry, RoutingTable
from klambda_kube.errors import KubeError, NotFound
from klambda_obs import logs

NEGATIVE_S: Final = 1.0
"""design/resources.md, "Reading back"."""

PUBLISHED_S: Final = 3.0
PUBLISHED_STEP_S: Final = 0.02
"""How long, and how often, a freshly published version is waited for."""

Key = tuple[str, str, str | None]
Read = Callable[[Kind, str, str], Awaitable[Mapping[str, Any]]]
"""(kind, namespace, name) → the object, read from etcd; raises NotFound, KubeError."""
Observe = Callable[[Kind, Mapping[str, Any]], None]

_log = logs.get("klambda.gateway.routing")


class Finder:
    """Resolution with a re-read on a miss."""

    def __init__(
        self,
        table: RoutingTable,
        *,
        read: Read,
        observe: Observe,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._table = table
        self._read = read
        self._observe = observe
        self._draw = draw
        self._reads: dict[Key, asyncio.Task[None]] = {}
        self._read_at: dict[Key, float] = {}
        self._unsure: set[Key] = set()
        """Of those, what Kubernetes could not be asked about."""

    def known(self, namespace: str, name: str, qualifier: str | None) -> Target | None:
        """Return the target when the table alone tells it."""
        found = self._resolve(namespace, name, qualifier)
        return found if isinstance(found, Target) else None

    async def find(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Target:
        """Return the target. Raises LambdaError 404 (naming ``arn``) or 409."""
        found = self._resolve(namespace, name, qualifier)
        if isinstance(found, Target):
            return found
        await self._reread((namespace, name, qualifier))
        found = await self._settled(namespace, name, qualifier)
        if isinstance(found, Target):
            return found
        if found == "unknown":
            # Invoke without a qualifier names the one it meant (aws-contract a.3).
            raise errors.function_not_found(arn if qualifier else f"{arn}:{LATEST}")
        raise errors.wrong_state("Pending" if found == "pending" else "Failed")

    async def _settled(self, namespace: str, name: str, qualifier: str | None) -> Target | Problem:
        """Resolve; a version just published is Pending for a moment, which AWS does not show."""
        deadline = asyncio.get_running_loop().time() + PUBLISHED_S
        while True:
            found = self._resolve(namespace, name, qualifier)
            if found != "pending" or qualifier in (None, LATEST):
                return found
            if asyncio.get_running_loop().time() >= deadline:
                return found
            await asyncio.sleep(PUBLISHED_STEP_S)

    async def refresh(self, namespace: str, name: str) -> bool:
        """Read the function anew; return whether that it is there, or not, is certain now."""
        key = (namespace, name, None)
        await self._reread(key)
        return key not in self._unsure

    def _resolve(self, namespace: str, name: str, qualifier: str | None) -> Target | Problem:
        return resolve(self._table.get(namespace, name), qualifier, self._draw())

    async def _reread(self, key: Key) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._read_at.get(key, float("-inf")) < NEGATIVE_S:
            return
        task = self._reads.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(key))
            self._reads[key] = task
            task.add_done_callback(lambda _: self._reads.pop(key, None))
        await asyncio.shield(task)

    async def _fetch(self, key: Key) -> None:
        namespace, name, qualifier = key
        certain = await self._take(FUNCTION, namespace, names.object_name(name))
        entry = self._table.get(namespace, name)
        if entry is not None and qualifier not in (None, LATEST):
            await self._fetch_child(entry, str(qualifier))
        now = asyncio.get_running_loop().time()
        self._read_at = {
            each: at for each, at in self._read_at.items() if now - at < NEGATIVE_S
        } | {key: now}
        self._unsure = {each for each in self._unsure if each in self._read_at} - {key}
        if not certain:
            self._unsure.add(key)

    async def _fetch_child(self, parent: Entry, qualifier: str) -> None:
        namespace, function = parent.function.namespace, parent.function.name
        if is_version(qualifier):
            await self._take(VERSION, namespace, names.version_name(function, int(qualifier)))
            return
        await self._take(ALIAS, namespace, names.alias_name(function, qualifier))
        entry = self._table.get(namespace, parent.function.aws_name)
        for version, _ in entry.routes.get(qualifier, ()) if entry is not None else ():
            if is_version(version):
                await self._take(VERSION, namespace, names.version_name(function, int(version)))

    async def _take(self, kind: Kind, namespace: str, name: str) -> bool:
        """Read one object into the mirrors; return whether Kubernetes could be asked."""
        try:
            self._observe(kind, await self._read(kind, namespace, name))
        except NotFound:
            pass
        except KubeError as error:  # the table is all there is to go by, then
            _log.warning("reread-failed", kind=kind.plural, name=name, error=str(error))
            return False
        return True
