"""The fast lane for plain requests to function URLs: from a head and a body to an answer.

    a known URL that answers whole, one body of known length, small ─► let in ─► event ─► invoke

Place: behind ``lane`` in ``lanes``; whatever it declines, ``wire.urls`` answers over ASGI, from the
same bytes. It decides nothing by itself: rules, formats and wording are those of ``urls``, and the
invocation runs in the same service. Invariants: nothing here waits; who would not be let in, or
only after a question to Kubernetes, is declined, so that every refusal before an invocation is the
other lane's; answers are byte for byte the same (differential tests).
Not here: preflights, streams, bodies that need room (``wire.room``), URLs that may be on their way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from klambda_core.errors import LambdaError
from klambda_gateway.auth.authorizer import Authorizer
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.policy import INVOKE_URL
from klambda_gateway.bulk import Body, whole
from klambda_gateway.invoke.model import InvokeAnswer
from klambda_gateway.invoke.story import Story
from klambda_gateway.urls.config import IAM
from klambda_gateway.urls.door import UrlDoor, Visit
from klambda_gateway.urls.passage import Passage, UrlAnswer
from klambda_gateway.urls.refusals import Refused
from klambda_gateway.urls.request import UrlRequest
from klambda_gateway.urls.table import UrlTarget
from klambda_gateway.wire.plain import (
    CONNECTION,
    HEADERS_MAX,
    Answered,
    Headers,
    Plain,
    Respond,
    Starts,
    length_of,
    names_host,
)

METHODS: Final = frozenset((b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"))
BODY_MAX: Final = 64 << 10
"""Longer bodies go through ``wire.room``, which bounds what is held for all."""

_PLAIN: Final = re.compile(
    rb"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
"""What every parser of URLs reads in one way."""
_UNUSUAL: Final = frozenset({b"expect", b"transfer-encoding", b"upgrade"})


class UrlLane:
    """Recognises plain requests to URLs and runs them."""

    def __init__(
        self,
        door: UrlDoor,
        starts: Starts,
        authorizer: Authorizer,
        count: Callable[[], None] = lambda: None,
    ) -> None:
        """``count`` is told of each invocation that the lane takes."""
        self._door = door
        self._passages = door.passages
        self._starts = starts
        self._authorizer = authorizer
        self._count = count

    def look(self, method: bytes, url: bytes, headers: Headers) -> Plain | None:
        """See ``FastLane``."""
        if method not in METHODS or len(headers) > HEADERS_MAX or not _PLAIN.fullmatch(url):
            return None
        fields = dict(headers)
        path, _, query = url.partition(b"?")
        visit = self._door.find(fields.get(b"host"), path)
        if visit is None or self._target(visit) is None:
            return None
        length = length_of(fields, BODY_MAX)
        if (
            length is None
            or len(fields) != len(headers)
            or not names_host(fields)
            or not _UNUSUAL.isdisjoint(fields)
            or fields.get(b"connection") not in CONNECTION
        ):
            return None
        return Plain(
            method=method, path=path, query=query, headers=headers, fields=fields,
            length=length, hashed=False, asked=visit,
        )  # fmt: skip

    def begin(
        self, plain: Plain, visit: Visit, body: Body, peer: str, respond: Respond
    ) -> Story | None:
        """See ``FastLane``."""
        target = self._target(visit)
        if target is None:
            return None
        request = UrlRequest(
            method=plain.method.decode(),
            path=visit.path,
            query=plain.query,
            headers=plain.headers,
            body=whole(body),
            peer=peer,
            signed_path=plain.path,
        )
        passages = self._passages
        passage = passages.enter(request)
        passage.target = target
        try:
            admitted = self._let_in(target, request)
            if admitted is None:
                return None
            invocation = passages.invocation(passage, target, *admitted)
        except (Refused, LambdaError):
            return None

        def done(result: InvokeAnswer | LambdaError) -> None:
            answer = passages.finish(passage, passages.outcome(passage, result))
            respond(_answered(answer, passage))

        self._count()
        return self._starts.start(invocation, done)

    def _target(self, visit: Visit) -> UrlTarget | None:
        target = self._door.known(visit)
        return None if target is None or target.config.streams else target

    def _let_in(
        self, target: UrlTarget, request: UrlRequest
    ) -> tuple[Caller | None, UrlRequest] | None:
        """As the door does, but for questions to Kubernetes. Raises Refused, LambdaError."""
        if target.config.open:
            return None, request
        if target.config.auth_type != IAM:
            return None
        caller, request = self._passages.identified(request)
        allowed = self._passages.question(caller, target)
        if isinstance(allowed, str):
            allowed = bool(self._authorizer.known(caller, INVOKE_URL, allowed))
        return (caller, request) if allowed else None


def _answered(answer: UrlAnswer, passage: Passage) -> Answered:
    lines = [b"%b: %b\r\n" % (name.lower(), value) for name, value in answer.headers]
    return Answered(
        status=answer.status,
        headers=b"".join(lines),
        body=answer.body,
        request_id=passage.request_id,
    )
