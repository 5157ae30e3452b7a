"""One access key: what a Secret must say to be one, and whom it makes its holder.

A Secret names the account (a namespace), and whom its holder acts as there: ``user`` and
``groups``, or ``serviceAccount``. With ``functions`` it is a role too: the functions of its account
that it lists may run as it.

Place: ``keys`` reads every Secret of the type through here. Invariants: pure; a Secret that is
incomplete, or names a ``system:`` user or group that is no service account, gives no key.
Not here: following the cluster (``keys``).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from klambda_gateway.auth.caller import SERVICE_ACCOUNT, service_account_groups

KEY_TYPE: Final = "klambda.io/access-key"

_KEY_ID = re.compile(r"\w{3,128}", re.ASCII)
"""IAM API reference, AccessKey; also shorter ones, which people make up."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


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
    granted: bool = False
    """Whether a session's role is one that a Secret gives to its function."""
    session: str = ""
    """Given exactly when a function's session stands behind it: the function's name."""
    origin: str = ""
    """Name of the Secret."""

    def serves(self, function: str) -> bool:
        """Whether this function may run as it."""
        return any(fnmatchcase(function, pattern) for pattern in self.functions)


class BadKey(Exception):
    """A Secret that gives no key; the text says why and shows nothing secret."""


def read(secret: Mapping[str, Any], accounts: Collection[str] | None = None) -> AccessKey | None:
    """The key in a Secret, None when it is of another type. Raises BadKey.

    ``accounts``: the namespaces that this installation serves; None: all.
    """
    if secret.get("type") != KEY_TYPE:
        return None
    data = {key: _decoded(value) for key, value in (secret.get("data") or {}).items()}
    return _key(secret["metadata"]["name"], data, accounts)


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
