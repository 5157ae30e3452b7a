"""What AWS credentials an instance is given: for now its account's default access key.

Place: ``instances.assignment`` asks synchronously; a task of ``process`` keeps it fresh.
Invariants: a key is given only to functions of its own account. Not here: roles (a later
implementation of the same question).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from klambda_core.kinds import SECRET, Kind
from klambda_gateway.auth.keys import AccessKey, read_key
from klambda_kube.errors import KubeError
from klambda_obs import logs

REFRESH_S: Final = 30.0

_log = logs.get("klambda.gateway.credentials")


class SecretApi(Protocol):
    """What is needed of the Kubernetes API."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        """Read one object."""
        ...


class DefaultKey:
    """The default access key."""

    def __init__(self, api: SecretApi, *, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._key: AccessKey | None = None

    async def run(self) -> None:
        """Read it again and again until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Read it; keep the last one when that fails."""
        try:
            self._key = read_key(await self._api.get(SECRET, self._namespace, self._name))
        except KubeError as error:
            _log.warning("default-key-unread", secret=self._name, error=str(error))

    def of(self, namespace: str) -> Mapping[str, str] | None:
        """Return the credentials for instances of this account, as ``assign`` spells them."""
        key = self._key
        if key is None or key.namespace != namespace:
            return None
        found = {"accessKeyId": key.access_key_id, "secretAccessKey": key.secret}
        return found | ({"sessionToken": key.token} if key.token else {})
