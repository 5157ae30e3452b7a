"""Accounts: which 12 digits belong to a namespace.

Place: asked without waiting for every request. The id is the Namespace's annotation
``klambda.io/account-id``, or the chart's map, or hashed from the name (``klambda_core.arn``).
Namespaces are watched only where the installation may read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from klambda_core.arn import account_id
from klambda_core.kinds import NAMESPACE
from klambda_core.labels import ACCOUNT_ID
from klambda_kube.api import Api
from klambda_kube.reflector import Reflector


class Accounts:
    """The account id of every namespace. With an ``api``, run ``run()`` as a task."""

    def __init__(self, mapping: Mapping[str, str] | None = None, api: Api | None = None) -> None:
        self._mapping = mapping or {}
        self._found: dict[str, str] = {}
        self._mirror: Reflector[str] | None = None
        if api is not None:
            self._mirror = Reflector(api, NAMESPACE, _annotation)

    async def run(self) -> None:
        """Follow the annotations until cancelled."""
        if self._mirror is not None:
            await self._mirror.run()

    async def synced(self) -> None:
        """Wait until the annotations are known."""
        if self._mirror is not None:
            await self._mirror.synced.wait()

    def of(self, namespace: str) -> str:
        """The 12 digits."""
        annotation = self._mirror.get(("", namespace)) if self._mirror is not None else None
        return account_id(namespace, annotation=annotation, mapping=self._mapping)

    def namespace_of(self, account: str, among: Iterable[str]) -> str | None:
        """The namespace of 12 digits; of several that claim them the first by name."""
        found = self._found.get(account)
        if found is None or self.of(found) != account:
            found = min((each for each in among if self.of(each) == account), default=None)
            if found is not None:
                self._found[account] = found
        return found


def _annotation(namespace: Mapping[str, Any]) -> str | None:
    value = (namespace["metadata"].get("annotations") or {}).get(ACCOUNT_ID)
    return value if isinstance(value, str) else None
