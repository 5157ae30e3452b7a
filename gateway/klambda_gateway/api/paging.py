"""Pages of lists: ``Marker``, ``MaxItems``, ``NextMarker``.

Place: every List operation. A marker says of which list it is and the last key of the page before,
base64 of JSON, opaque to clients; so an item that vanishes between two pages shifts nothing, and
what no page gave is refused, as another list's marker is. Pure.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from klambda_core import errors
from klambda_gateway.api.call import Call

PAGE = 50
"""The most items the server puts on a page (aws-contract a.1)."""

T = TypeVar("T")


def page(
    items: Sequence[T], call: Call, key: Callable[[T], str], *, most: int = PAGE
) -> tuple[list[T], str | None]:
    """One page of items sorted by key, and the marker of the next one. Raises 400."""
    size = min(call.input.get("MaxItems", most), most)
    rest, marker = list(items), call.input.get("Marker")
    if marker:
        after = _decode(marker, call.operation.name)
        rest = [item for item in rest if key(item) > after]
    chosen = rest[:size]
    return chosen, _encode(key(chosen[-1]), call.operation.name) if len(rest) > size else None


def with_marker(document: dict[str, Any], marker: str | None) -> dict[str, Any]:
    """The answer with ``NextMarker``, which the last page has not."""
    return document if marker is None else document | {"NextMarker": marker}


def _encode(key: str, operation: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([operation, key]).encode()).decode()


def _decode(marker: str, operation: str) -> str:
    try:
        found = json.loads(base64.b64decode(marker.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    match found:
        case [str() as name, str() as key] if name == operation:
            return key
        case _:
            raise errors.invalid_marker()
