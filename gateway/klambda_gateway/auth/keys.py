"""Access keys: Secrets of type ``klambda.io/access-key`` in Klambda's own namespace.

Place: ``auth.gate`` looks keys up here, by access key id, without waiting. A Secret names the
account (a namespace) and whom its holder acts as. Invariants: the mirror follows the cluster by
watch; a Secret that is incomplete, or names a ``system:`` user or group, gives no key (and a log
line that says so without its content); the default key is made once and never changed.
Not here: signatures (``sigv4``), what a caller may do (``authorizer``).
"""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from klambda_core.kinds import SECRET
from klambda_core.labels import MANAGER_GATEWAY
from klambda_kube.api import Api
from klambda_kube.errors import AlreadyExists
from klambda_kube.reflector import Reflector
from klambda_obs import logs

KEY_TYPE = "klambda.io/access-key"
DEFAULT_USER = "klambda-admin"
ID_ALPHABET = string.ascii_uppercase + "234567"
"""Access key ids are `AKIA` and 16 characters of this (IAM user guide)."""
SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"

_log = logs.get("klambda.gateway.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """Whoever holds the secret acts as ``user`` with ``groups`` in the account ``namespace``."""

    access_key_id: str
    secret: str = field(repr=False)
    namespace: str
    token: str | None = field(default=None, repr=False)
    user: str = ""
    groups: tuple[str, ...] = ()
    origin: str = ""
    """Name of the Secret."""


class KeyFinder(Protocol):
    """Where the gate gets keys from."""

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key of this id."""
        ...


def read_key(secret: Mapping[str, Any]) -> AccessKey | None:
    """The key in a Secret, None when it is none (and then the log says why)."""
    if secret.get("type") != KEY_TYPE:
        return None
    name = secret["metadata"]["name"]
    data = {key: _decoded(value) for key, value in (secret.get("data") or {}).items()}
    missing = [m for m in ("accessKeyId", "secretAccessKey", "namespace") if not data.get(m)]
    if missing:
        _refused(name, f"members missing: {', '.join(missing)}")
        return None
    account, user = data.get("serviceAccount", ""), data.get("user", "")
    groups = tuple(data.get("groups", "").replace(",", " ").split())
    if any(each.startswith("system:") for each in (user, *groups)):
        _refused(name, "user and groups must not begin with system:")
        return None
    if account:
        user = "system:serviceaccount:" + account.replace("/", ":", 1)
    return AccessKey(
        access_key_id=data["accessKeyId"],
        secret=data["secretAccessKey"],
        token=data.get("sessionToken") or None,
        namespace=data["namespace"],
        user=user or name,
        groups=groups,
        origin=name,
    )


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode().strip()
    except ValueError:
        return ""


def _refused(name: str, why: str) -> None:
    _log.warning("access-key-refused", secret=name, why=why)


class Keys:
    """A mirror of the access-key Secrets. Run ``run()`` as a task; ``synced`` says when it is."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._by_id: dict[str, dict[str, AccessKey]] = {}
        self._mirror: Reflector[AccessKey] = Reflector(
            api,
            SECRET,
            read_key,
            namespaces=[namespace],
            field_selector=f"type={KEY_TYPE}",
            on_change=self._changed,
        )
        self.synced = self._mirror.synced

    async def run(self) -> None:
        """Mirror until cancelled."""
        await self._mirror.run()

    def observe(self, secret: dict[str, Any]) -> None:
        """Take in a Secret that was just made."""
        self._mirror.observe(secret)

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key of this id; of several Secrets with one id the first by name counts."""
        candidates = self._by_id.get(access_key_id)
        return candidates[min(candidates)] if candidates else None

    def _changed(self, old: AccessKey | None, new: AccessKey | None) -> None:
        if old is not None:
            candidates = self._by_id.get(old.access_key_id, {})
            candidates.pop(old.origin, None)
            if not candidates:
                self._by_id.pop(old.access_key_id, None)
        if new is not None:
            self._by_id.setdefault(new.access_key_id, {})[new.origin] = new


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
