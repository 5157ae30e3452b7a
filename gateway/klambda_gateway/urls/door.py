"""One request to a function URL over ASGI, in order: find → CORS → admit → event → invoke → answer.

Place: ``wire.urls`` (ASGI) asks ``find`` for every request and hands those to a URL to ``answer``;
``wire.urllane`` asks ``find``, too, and takes what needs no waiting. The function runs through the
same invoke service as Invoke. Invariant: an answer's body is bytes, or a stream whose failing
means: cut the connection.
Not here: the steps that need no waiting (``urls.passage``), HTTP itself (``wire``).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.auth.authorizer import Authorizer
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.policy import INVOKE_URL
from klambda_gateway.invoke.model import Invoker
from klambda_gateway.urls.arrivals import Arrivals
from klambda_gateway.urls.config import IAM
from klambda_gateway.urls.passage import (
    Passage,
    Passages,
    Served,
    UrlAnswer,
    fit,
    mapped,
    preflight,
    refusal,
)
from klambda_gateway.urls.refusals import Refused, forbidden, unknown
from klambda_gateway.urls.request import UrlRequest
from klambda_gateway.urls.response import JSON_TYPE, Answer, Head
from klambda_gateway.urls.stream import begin
from klambda_gateway.urls.table import UrlTable, UrlTarget

PREFIX: Final = b"/_url/"
"""Where URLs answer too, for clients that cannot resolve ``*.localhost``."""
HASHED_INLINE: Final = 1 << 20
"""Bodies up to this size are hashed on the loop: 1 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request is for this URL; ``path`` is what remains for the function."""

    url_id: str
    path: bytes


class UrlDoor:
    """Answers requests to function URLs."""

    def __init__(
        self,
        table: UrlTable,
        passages: Passages,
        *,
        authorizer: Authorizer,
        invoker: Invoker,
        arrivals: Arrivals | None = None,
    ) -> None:
        """``arrivals``: None: nobody waits."""
        self.passages = passages
        self._table = table
        self._arrivals = arrivals
        self._suffix = passages.place.suffix.encode()
        self._authorizer = authorizer
        self._invoker = invoker

    def is_url(self, host: bytes) -> bool:
        """Tell whether a Host is a function URL's, known or not."""
        return self._id_in(host) is not None

    def find(self, host: bytes | None, path: bytes) -> Visit | None:
        """Tell whether a request is for a function URL, known or not; by Host or by path."""
        if host is not None and (url_id := self._id_in(host)) is not None:
            return Visit(url_id=url_id.decode("latin-1"), path=path)
        if path.startswith(PREFIX):
            url_id, slash, rest = path[len(PREFIX) :].partition(b"/")
            return Visit(url_id=url_id.decode("latin-1"), path=slash + rest or b"/")
        return None

    def _id_in(self, host: bytes) -> bytes | None:
        name = host.partition(b":")[0].lower()
        return name[: -len(self._suffix)] if name.endswith(self._suffix) else None

    def known(self, visit: Visit) -> UrlTarget | None:
        """Return what is behind a URL, if that is here already."""
        return self._table.get(visit.url_id)

    async def answer(
        self, visit: Visit, request: UrlRequest, unread: Refused | None = None
    ) -> UrlAnswer:
        """Answer; ``unread``: why the body was not read. Never raises an error."""
        passage = self.passages.enter(request)
        passage.target = self.known(visit)
        if passage.target is None and self._arrivals is not None:
            passage.target = await self._arrivals.find(visit.url_id)
        try:
            if passage.target is None:
                raise unknown()
            if unread is not None:
                raise unread
            answer = await self._served(passage, passage.target)
        except Exception as error:  # noqa: BLE001  whatever it is, the client gets an answer
            answer = refusal(passage, error)
        return self.passages.finish(passage, answer)

    # --- the story --------------------------------------------------------------------------------

    async def _served(self, passage: Passage, target: UrlTarget) -> Served:
        rules, question = target.config.cors, preflight(passage.request)
        if rules is not None and question is not None:
            headers = [("content-type", JSON_TYPE), *rules.preflight(question)]
            return Answer(head=Head(headers=headers), body=b"", traced=False)
        caller, request = await self._admitted(target, passage.request)
        invocation = self.passages.invocation(passage, target, caller, request)
        if target.config.streams:
            return fit(await begin(await self._invoker.stream(invocation)))
        return mapped(await self._invoker.invoke(invocation))

    async def _admitted(
        self, target: UrlTarget, request: UrlRequest
    ) -> tuple[Caller | None, UrlRequest]:
        """Let in: anybody where the URL is open, else who signed and may. Raises Refused."""
        if target.config.open:
            return None, request
        if target.config.auth_type != IAM:
            raise forbidden()
        if len(request.body) <= HASHED_INLINE:
            caller, request = self.passages.identified(request)
        else:
            caller, request = await asyncio.to_thread(self.passages.identified, request)
        allowed = self.passages.question(caller, target)
        if isinstance(allowed, str):
            allowed = await self._has_right(caller, allowed)
        if not allowed:
            raise forbidden()
        return caller, request

    async def _has_right(self, caller: Caller, resource: str) -> bool:
        """Whether RBAC lets them in. Raises LambdaError 503 when nobody can tell."""
        try:
            await self._authorizer.check(caller, INVOKE_URL, resource)
        except LambdaError as error:
            if error.error is not errors.ACCESS_DENIED:
                raise
            return False
        return True
