"""Credentials of registries, from Secrets of type ``kubernetes.io/dockerconfigjson``. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

from klambda_gateway.images.reference import HUB

KEY = ".dockerconfigjson"
_HUB_NAMES = {"index.docker.io", "registry-1.docker.io"}


def basic_by_registry(secrets: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """By registry the value of ``Authorization: Basic``; what cannot be read is left out."""
    found: dict[str, str] = {}
    for secret in secrets:
        try:
            text = base64.b64decode((secret.get("data") or {}).get(KEY, ""))
            entries = json.loads(text).get("auths", {}).items()
        except (binascii.Error, ValueError, AttributeError):
            continue
        for place, entry in entries:
            value = _basic(entry)
            if value is not None:
                found.setdefault(_registry(place), value)
    return found


def _basic(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("auth"), str) and entry["auth"]:
        return str(entry["auth"])
    if isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        return base64.b64encode(f"{entry['username']}:{entry['password']}".encode()).decode()
    return None


def _registry(place: str) -> str:
    """Docker writes hosts, sometimes as URLs (https://index.docker.io/v1/)."""
    host = place.partition("://")[2] or place
    host = host.partition("/")[0]
    return HUB if host in _HUB_NAMES else host
