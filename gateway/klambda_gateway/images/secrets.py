"""Reads Secrets with registries' credentials, of Klambda's own namespace, when they are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from klambda_core.kinds import SECRET
from klambda_kube.api import Api
from klambda_kube.errors import NotFound


class PullSecrets:
    """Secrets by name."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    async def __call__(self, names: Sequence[str]) -> list[Mapping[str, Any]]:
        """Those that there are."""
        found: list[Mapping[str, Any]] = []
        for name in names:
            with contextlib.suppress(NotFound):
                found.append(await self._api.get(SECRET, self._namespace, name))
        return found
