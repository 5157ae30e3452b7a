"""The Kubernetes API as whoever tells something in a status needs it.

Place: the port of ``keeper`` and ``reporter``; ``klambda_kube.api.Api`` is what stands behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from klambda_core.kinds import Kind


class AppliesStatus(Protocol):
    """Writes."""

    async def apply(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        subresource: str = "",
    ) -> dict[str, Any]:
        """Apply one object."""
        ...


class StatusApi(AppliesStatus, Protocol):
    """Reads before it writes."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        """Read one object."""
        ...
