"""Access keys: Secrets of type ``klambda.io/access-key`` in Klambda's own namespace.

A Secret names the account (a namespace), and whom its holder acts as there: ``user`` and
``groups``, or ``serviceAccount``. With ``functions`` it is a role too: the functions of its account
that it lists may run as it.

Place: ``auth.gate`` looks keys up here, by access key id, without waiting. Invariants: the mirror
follows the cluster by watch; a Secret that is incomplete, or names a ``system:`` user or group that
is no service account, gives no key (and a log line that says so without its content); the default
key is made once and never changed. Not here: signatures (``sigv4``), what a caller may do
(``rbac``), what a function's instances are given (``sessions``).
"""

from __future__ import annotations

import base64
import re
import secrets
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

from klambda_core.kinds import SECRET
from klambda_core.labels import MANAGER_GATEWAY
from klambda_gateway.auth.caller import SERVICE_ACCOUNT, service_account_groups
from klambda_kube.api import Api
from klambda_kube.errors import AlreadyExists
from klambda_kube.reflector import Reflector
from klambda_obs import logs

KEY_TYPE: Final = "klambda.io/access-key"
DEFAULT_USER: Final = "klambda-admin"
ID_ALPHABET: Final = string.ascii_uppercase + "234567"
"""Access key ids are `AKIA` and 16 characters of this (IAM user guide)."""
SECRET_ALPHABET: Final = string.ascii_letters + string.digits + "+/"

_KEY_ID = re.compile(r"\w{3,128}", re.ASCII)
"""IAM API reference, AccessKey; also shorter ones, which people make up."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

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
    role: str = ""
    """Under this name functions may take it as their role."""
    functions: tuple[str, ...] = ()
    """Which functions may: AWS names, ``*`` and ``?`` match. Empty: it is no role."""
    session: str = ""
    """Given exactly when a function's session stands behind it: the function's name."""
    origin: str = ""
    """Name of the Secret."""

    def serves(self, function: str) -> bool:
        """Whether this function may run as it."""
        return any(fnmatchcase(function, pattern) for pattern in self.functions)


class KeyFinder(Protocol):
    """Where the gate gets keys from."""

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key of this id."""
        ...


class BadKey(Exception):
    """A Secret that gives no key; the text says why and shows nothing secret."""


def read_key(
    secret: Mapping[str, Any], *, accounts: Collection[str] | None = None
) -> AccessKey | None:
    """The key in a Secret, None when it is none (and then the log says why).

    ``accounts``: the namespaces that this installation serves; None: all.
    """
    if secret.get("type") != KEY_TYPE:
        return None
    name = secret["metadata"]["name"]
    data = {key: _decoded(value) for key, value in (secret.get("data") or {}).items()}
    try:
        return _key(name, data, accounts)
    except BadKey as error:
        _log.warning("access-key-refused", secret=name, why=str(error))
        return None


def _key(name: str, data: Mapping[str, str], accounts: Collection[str] | None) -> AccessKey:
    missing = [m for m in ("accessKeyId", "secretAccessKey", "namespace") if not data.get(m)]
    if missing:
        raise BadKey(f"members missing: {', '.join(missing)}")
    if not _KEY_ID.fullmatch(data["accessKeyId"]):
        raise BadKey("accessKeyId must be 3 to 128 letters, digits and underscores")
    namespace = data["namespace"]
    if not _LABEL.fullmatch(namespace):
        raise BadKey("namespace is not the name of a namespace")
    if accounts is not None and namespace not in accounts:
        raise BadKey(f"namespace {namespace} is not one of this installation's")
    user, groups = _subject(data)
    return AccessKey(
        access_key_id=data["accessKeyId"],
        secret=data["secretAccessKey"],
        token=data.get("sessionToken") or None,
        namespace=namespace,
        user=user or name,
        groups=groups,
        role=data.get("role") or name,
        functions=_words(data.get("functions", "")),
        origin=name,
    )


def _subject(data: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Whom the holder acts as: user, and groups. Raises BadKey."""
    user, groups = data.get("user", ""), _words(data.get("groups", ""))
    account = data.get("serviceAccount", "")
    if user.startswith(SERVICE_ACCOUNT) and not account:
        account, user = user.removeprefix(SERVICE_ACCOUNT).replace(":", "/"), ""
    if any(each.startswith("system:") for each in (user, *groups)):
        raise BadKey("user and groups must not begin with system:")
    if not account:
        return user, groups
    if user or groups:
        raise BadKey("a service account's groups are Kubernetes' own: give no user and no groups")
    namespace, slash, name = account.partition("/")
    if not (slash and _LABEL.fullmatch(namespace) and _DNS_NAME.fullmatch(name)):
        raise BadKey("serviceAccount must be namespace/name")
    return f"{SERVICE_ACCOUNT}{namespace}:{name}", service_account_groups(namespace)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode().strip()
    except ValueError:
        return ""


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
