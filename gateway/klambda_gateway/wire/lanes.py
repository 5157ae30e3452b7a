"""The two fast lanes as one: invocations by name first, then function URLs; and none at all.

Place: ``app`` makes one, ``protocol`` asks it. Not here: what either takes (``lane``, ``urllane``).
"""

from __future__ import annotations

from klambda_gateway.bulk import Body
from klambda_gateway.invoke.story import Story
from klambda_gateway.wire.lane import Lane
from klambda_gateway.wire.plain import Asked, Headers, Plain, Respond
from klambda_gateway.wire.urllane import UrlLane


class Lanes:
    """A ``FastLane``."""

    def __init__(self, invocations: Lane, urls: UrlLane) -> None:
        self._invocations = invocations
        self._urls = urls

    def look(self, method: bytes, url: bytes, headers: Headers) -> Plain | None:
        """See ``FastLane``."""
        plain = self._invocations.look(url, headers) if method == b"POST" else None
        return plain or self._urls.look(method, url, headers)

    def begin(
        self, plain: Plain, body: Body, digest: str, peer: str, respond: Respond
    ) -> Story | None:
        """See ``FastLane``."""
        if isinstance(plain.asked, Asked):
            return self._invocations.begin(plain, plain.asked, body, digest, respond)
        return self._urls.begin(plain, plain.asked, body, peer, respond)


class NoLane:
    """A ``FastLane`` that takes nothing: every request goes over ASGI."""

    def look(self, method: bytes, url: bytes, headers: Headers) -> Plain | None:
        """See ``FastLane``."""
        del method, url, headers
        return None

    def begin(
        self, plain: Plain, body: Body, digest: str, peer: str, respond: Respond
    ) -> Story | None:
        """See ``FastLane``."""
        raise NotImplementedError
