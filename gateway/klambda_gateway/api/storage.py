"""How much code an account keeps, and whether more fits (quotas page: 75 GB for zips).

Theory. The sum is over all functions, versions and layers, which is too much to list at each
upload. So it is remembered for a minute, uploads of this gateway added; a refusal is only given on
a fresh sum. What other gateways take in within that minute may go beyond the limit, by less than a
thousandth. Place: ``packages`` asks before it stores an upload, ``versions`` before it publishes,
GetAccountSettings tells the sum. Not here: how much room the store has.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Protocol

from klambda_core import errors, limits
from klambda_core.code import CodeRef, resolved_code
from klambda_core.crd import Function, LayerVersion, Version
from klambda_core.layers import content_of

REMEMBERED: Final = timedelta(minutes=1)


class Objects(Protocol):
    """Lists what an account has."""

    async def functions(self, namespace: str) -> list[Function]:
        """All functions."""
        ...

    async def all_versions(self, namespace: str) -> list[Version]:
        """All versions."""
        ...

    async def layer_versions(self, namespace: str) -> list[LayerVersion]:
        """All versions of layers."""
        ...


class Storage:
    """What accounts keep."""

    def __init__(self, limit: int = limits.CODE_STORAGE_MAX) -> None:
        self.limit = limit
        self._sums: dict[str, tuple[datetime, int]] = {}

    async def check(self, objects: Objects, namespace: str, more: int, now: datetime) -> None:
        """Take a size in. Raises CodeStorageExceededException."""
        made, size = self._sums.get(namespace, (now - 2 * REMEMBERED, 0))
        if now - made >= REMEMBERED or size + more > self.limit:
            made = now
            size = used(
                await objects.functions(namespace),
                await objects.all_versions(namespace),
                await objects.layer_versions(namespace),
            )
        if size + more > self.limit:
            self._sums[namespace] = (made, size)
            raise errors.code_storage_exceeded()
        self._sums[namespace] = (made, size + more)


def used(
    functions: Iterable[Function], versions: Iterable[Version], layers: Iterable[LayerVersion]
) -> int:
    """Bytes of zips: every function's, every version's its own, every layer version's."""
    living = {function.uid: resolved_code(function) for function in functions}
    size = sum(code.size for code in living.values() if isinstance(code, CodeRef))
    snapshots = [v.spec.snapshot.code for v in versions if v.controller_uid() in living]
    size += sum(code.size for code in snapshots if code is not None)
    contents = [content_of(layer) for layer in layers if not layer.spec.deleted]
    return size + sum(content.size for content in contents if isinstance(content, CodeRef))
