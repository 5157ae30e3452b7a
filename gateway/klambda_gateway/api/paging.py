"""Pages of lists: ``Marker``, ``MaxItems``, ``NextMarker``.

Place: every List operation. A marker is the last key of the page before, base64 of UTF-8, opaque to
clients; so an item that vanishes between two pages shifts nothing. Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from klambda_core import errors

PAGE = 50
"""The most items the server puts on a page (aws-contract a.1)."""

T = TypeVar("T")


def page(
    items: Sequence[T], given: Mapping[str, Any], key: Callable[[T], str], *, most: int = PAGE
) -> tuple[list[T], str | None]:
    """One page of items sorted by key, and the marker of the next one."""
    size = min(given.get("MaxItems", most), most)
    rest = list(items)
    if given.get("Marker"):
        after = _decode(given["Marker"])
        rest = [item for item in rest if key(item) > after]
    chosen = rest[:size]
    return chosen, _encode(key(chosen[-1])) if len(rest) > size else None


def with_marker(document: dict[str, Any], marker: str | None) -> dict[str, Any]:
    """The answer with ``NextMarker``, which the last page has not."""
    return document if marker is None else document | {"NextMarker": marker}


def _encode(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _decode(marker: str) -> str:
    try:
        return base64.urlsafe_b64decode(marker.encode()).decode()
    except (binascii.Error, ValueError):
        raise errors.invalid_parameter("Invalid marker.") from None
