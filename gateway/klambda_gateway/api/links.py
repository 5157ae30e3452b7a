"""Links to code: what GetFunction hands out, derived from the installation key.

Place: GetFunction hands a link out (``Code.Location``), ``app`` serves it from the store, without
credentials and for some minutes. A link is the path ``/_code/<namespace>/<digest>`` with a ticket
made for just that path (``klambda_core.tickets``); the store's own paths differ, so neither opens
the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from klambda_core.tickets import Verdict, ticket, verify

LIFETIME_S = 600
"""Ten minutes, as Lambda's presigned URLs (API reference, FunctionCodeLocation)."""
PREFIX = "/_code/"

_PATH = re.compile(r"/_code/([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)/([0-9a-f]{64})")


class CodeLinks:
    """Makes and checks links."""

    def __init__(self, key: str, now: Callable[[], float]) -> None:
        self._key = key
        self._now = now

    def make(self, base_url: str, namespace: str, sha256: str) -> str:
        """A link to one blob."""
        path = f"{PREFIX}{namespace}/{sha256}"
        query = ticket(self._key, "GET", path, now=self._now(), validity=LIFETIME_S)
        return f"{base_url}{path}?{query}"

    def open(self, method: str, path: str, query: Mapping[str, str]) -> tuple[str, str] | None:
        """The namespace and digest that a link opens now, or None."""
        match = _PATH.fullmatch(path)
        if match is None:
            return None
        if verify(self._key, method, path, query, now=self._now()) is not Verdict.VALID:
            return None
        return match[1], match[3]
