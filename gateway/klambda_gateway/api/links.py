"""What is derived from the installation key for clients: links to code, ids of function URLs.

Place: GetFunction hands a link out (``Code.Location``), ``app`` serves it from the store, without
credentials and for some minutes. A link is the path ``/_code/<namespace>/<digest>`` with a ticket
made for just that path (``klambda_core.tickets``); the store's own paths differ, so neither opens
the other. A function URL's id is stable as long as function, qualifier and installation are.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
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

    def url_id(self, namespace: str, function: str, qualifier: str = "") -> str:
        """The id of a function's or alias's URL: 32 of [a-z2-7]."""
        text = f"url\n{namespace}\n{function}\n{qualifier}"
        digest = hmac.new(self._key.encode(), text.encode(), hashlib.sha256).digest()
        return base64.b32encode(digest[:20]).decode().lower()
