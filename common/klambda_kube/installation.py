"""The installation key: the one secret that Klambda's own parts share.

Secret `klambda-installation`, made at the first start by whoever comes first
(docs/runtime-contract.md, section 4). Instance tokens, store tickets and URL ids derive from it. It
is never replaced here: losing it would cut off every instance.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import Callable
from typing import Any

from klambda_core.kinds import SECRET
from klambda_kube.api import Api
from klambda_kube.errors import AlreadyExists, KubeError, NotFound, Unreachable

KEY_BYTES = 32
_KEY = re.compile(rf"[0-9a-f]{{{KEY_BYTES * 2}}}")
FIELD_MANAGER = "klambda"
POLL_S = 0.5


class InstallationKeyError(Exception):
    """The Secret is there but holds no usable key; the message says what to do."""


async def get_or_create_key(
    api: Api,
    *,
    namespace: str,
    name: str = "klambda-installation",
    generate: Callable[[], str] = lambda: secrets.token_hex(KEY_BYTES),
) -> str:
    """Read the key, making the Secret when it is absent. Returns the 64 hex characters."""
    try:
        return _key(await api.get(SECRET, namespace, name), namespace, name)
    except NotFound:
        pass
    body = {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "klambda"}},
        "type": "Opaque",
        "data": {"key": base64.b64encode(generate().encode()).decode()},
    }
    try:
        return _key(
            await api.create(SECRET, namespace, body, field_manager=FIELD_MANAGER), namespace, name
        )
    except (AlreadyExists, Unreachable):
        return _key(await api.get(SECRET, namespace, name), namespace, name)


async def wait_for_key(
    api: Api, *, namespace: str, name: str = "klambda-installation", poll: float = POLL_S
) -> str:
    """Read the key, waiting until another part has made it. For parts that may only read."""
    while True:
        try:
            return _key(await api.get(SECRET, namespace, name), namespace, name)
        except KubeError:
            # Not there yet, or the RoleBinding or the API server is still on its way.
            await asyncio.sleep(poll)


def _key(secret: dict[str, Any], namespace: str, name: str) -> str:
    encoded = (secret.get("data") or {}).get("key") or ""
    try:
        key = base64.b64decode(encoded, validate=True).decode("ascii")
    except ValueError:
        key = ""
    if not _KEY.fullmatch(key):
        raise InstallationKeyError(
            f"Secret {namespace}/{name} has no usable member 'key' "
            f"({KEY_BYTES * 2} hex characters): restore it from a backup, or delete the Secret "
            "to have a new one made (all running instances are then replaced)"
        )
    return key
