"""Tickets: what lets a request into the store (docs/runtime-contract.md, section 4).

A ticket is two query parameters, `expires` and `signature`. It is made for one method, one path and
a few minutes, so that a URL handed to an instance opens exactly one blob. Whoever holds the
installation key can make one. Pure: the time comes in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from enum import Enum

VALIDITY_S = 15 * 60
"""Long enough for the slowest start (image pull, queue) to fetch its code."""


class Verdict(Enum):
    """What a ticket is worth."""

    VALID = "valid"
    WRONG = "wrong"
    EXPIRED = "expired"


def sign(key: str, method: str, path: str, *, expires: int) -> str:
    """The signature of one request: hex HMAC-SHA256."""
    message = f"store\n{method}\n{path}\n{expires}"
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()


def ticket(key: str, method: str, path: str, *, now: float, validity: int = VALIDITY_S) -> str:
    """The query string `expires=…&signature=…` for a request, without the question mark."""
    expires = int(now) + validity
    return f"expires={expires}&signature={sign(key, method, path, expires=expires)}"


def verify(key: str, method: str, path: str, query: Mapping[str, str], *, now: float) -> Verdict:
    """Judge the ticket in a request's query. One for GET also serves HEAD."""
    given, stamp = query.get("signature", ""), query.get("expires", "")
    if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 12 and given.isascii()):
        return Verdict.WRONG
    signed_as = "GET" if method == "HEAD" else method
    expected = sign(key, signed_as, path, expires=int(stamp))
    # The text of the number is what was signed: "007" must not pass for 7.
    if stamp != str(int(stamp)) or not hmac.compare_digest(expected, given):
        return Verdict.WRONG
    return Verdict.EXPIRED if now >= int(stamp) else Verdict.VALID
