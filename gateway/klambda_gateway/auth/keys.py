"""The access keys of an installation: Secrets in Klambda's own namespace, followed by watch.

Place: ``auth.gate`` looks keys up here by access key id, ``auth.sessions`` roles by name, both
without waiting. Invariants: a Secret that gives no key leaves a log line that says why and shows
nothing of it; the default key is made once and never changed. Not here: what a Secret must say
(``access_key``), signatures (``sigv4``), what a caller may do (``rbac``).
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol

from klambda_core.kinds import SECRET
from klambda_core.labels import MANAGER_GATEWAY
from klambda_gateway.auth import access_key
from klambda_gateway.auth.access_key import KEY_TYPE
from klambda_gateway.auth.access_key import AccessKey as AccessKey
from klambda_kube.api import Api
from klambda_kube.errors import AlreadyExists
from klambda_kube.reflector import Reflector
from klambda_obs import logs

DEFAULT_USER: Final = "klambda-admin"
ID_ALPHABET: Final = string.ascii_uppercase + "234567"
"""Access key ids are `AKIA` and 16 characters of this (IAM user guide)."""
SECRET_ALPHABET: Final = string.ascii_letters + string.digits + "+/"

_log = logs.get("klambda.gateway.keys")


class KeyFinder(Protocol):
    """Where the gate gets keys from."""

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key of this id."""
        ...


def read_key(
    secret: Mapping[str, Any], *, accounts: Collection[str] | None = None
) -> AccessKey | None:
    """The key in a Secret, None when it is none (and then the log says why)."""
    try:
        return access_key.read(secret, accounts)
    except access_key.BadKey as error:
        _log.warning("access-key-refused", secret=secret["metadata"]["name"], why=str(error))
        return None


class Keys:
    """A mirror of the access-key Secrets. Run ``run()`` as a task; ``synced`` says when it is."""

    def __init__(
        self, api: Api, namespace: str, *, accounts: Collection[str] | None = None
    ) -> None:
        """``accounts``: the namespaces that this installation serves; None: all."""
        self._by_id: dict[str, dict[str, AccessKey]] = {}
        self._roles: dict[tuple[str, str], dict[str, AccessKey]] = {}
        self._mirror: Reflector[AccessKey] = Reflector(
            api,
            SECRET,
            lambda secret: read_key(secret, accounts=accounts),
            namespaces=[namespace],
            field_selector=f"type={KEY_TYPE}",
            on_change=self.change,
        )
        self.synced = self._mirror.synced

    async def run(self) -> None:
        """Mirror until cancelled."""
        await self._mirror.run()

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key of this id; of several Secrets with one id the first by name counts."""
        return _first(self._by_id.get(access_key_id))

    def role(self, namespace: str, name: str) -> AccessKey | None:
        """The role of this name in an account; of several the first by its Secret's name."""
        return _first(self._roles.get((namespace, name)))

    def change(self, old: AccessKey | None, new: AccessKey | None) -> None:
        """Follow a Secret."""
        if old is not None:
            _remove(self._by_id, old.access_key_id, old.origin)
            _remove(self._roles, (old.namespace, old.role), old.origin)
        if new is not None:
            self._by_id.setdefault(new.access_key_id, {})[new.origin] = new
            if new.functions:
                self._roles.setdefault((new.namespace, new.role), {})[new.origin] = new


def _first(candidates: Mapping[str, AccessKey] | None) -> AccessKey | None:
    return candidates[min(candidates)] if candidates else None


def _remove(index: dict[Any, dict[str, AccessKey]], key: Any, origin: str) -> None:
    candidates = index.get(key, {})
    candidates.pop(origin, None)
    if not candidates:
        index.pop(key, None)


async def ensure_default_key(
    api: Api, *, namespace: str, name: str = "klambda-credentials", account: str = "default"
) -> bool:
    """Make the first access key unless its Secret is there already; True when it was made."""
    key_id = "AKIA" + "".join(secrets.choice(ID_ALPHABET) for _ in range(16))
    secret = "".join(secrets.choice(SECRET_ALPHABET) for _ in range(40))
    body = {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "klambda"}},
        "type": KEY_TYPE,
        "stringData": {
            "accessKeyId": key_id,
            "secretAccessKey": secret,
            "namespace": account,
            "user": DEFAULT_USER,
        },
    }
    try:
        await api.create(SECRET, namespace, body, field_manager=MANAGER_GATEWAY)
    except AlreadyExists:
        return False
    return True
