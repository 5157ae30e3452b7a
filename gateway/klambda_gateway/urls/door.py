"""One request to a function URL, in order: find → CORS → admit → event → invoke → answer.

Place: ``wire.urls`` (ASGI) asks ``find`` for every request and hands those to a URL to ``answer``;
the function runs through the same invoke service as Invoke. Invariants: every answer carries
request id and trace; refusals are worded as AWS words them and say no more; an answer's body is
bytes, or a stream whose failing means: cut the connection.
Not here: HTTP itself (``wire``), the formats (``urls.event``, ``urls.response``).
Source of statuses and texts: aws-contract d; those marked O are ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeVar

from klambda_core import errors, limits
from klambda_core.arn import function_arn
from klambda_core.errors import LambdaError
from klambda_core.urls import UrlPlace
from klambda_gateway.auth.authorizer import Authorizer
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.claim import Signable
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.policy import INVOKE_URL, allows_url, principal_of
from klambda_gateway.bulk import whole
from klambda_gateway.invoke.header import new_trace_id
from klambda_gateway.invoke.model import InvokeAnswer, Invoker, InvokeRequest
from klambda_gateway.urls.arrivals import Arrivals
from klambda_gateway.urls.config import IAM
from klambda_gateway.urls.cors import Preflight
from klambda_gateway.urls.event import IamCaller, Meeting, event_of
from klambda_gateway.urls.metrics import Unmeasured, Watching
from klambda_gateway.urls.refusals import (
    Refused,
    failed,
    forbidden,
    too_large,
    translated,
    unknown,
    unproven,
)
from klambda_gateway.urls.request import Network, UrlRequest, origin_of
from klambda_gateway.urls.response import JSON_TYPE, Answer, Head, Malformed, answer_of
from klambda_gateway.urls.stream import Body, StreamedAnswer, begin
from klambda_gateway.urls.table import UrlTable, UrlTarget
from klambda_obs import logs

PREFIX: Final = b"/_url/"
"""Where URLs answer too, for clients that cannot resolve ``*.localhost``."""
HASHED_INLINE: Final = 1 << 20
"""Bodies up to this size are hashed on the loop: 1 ms."""
BODILESS: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)

_log = logs.get("klambda.gateway.urls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A request is for this URL; ``path`` is what remains for the function."""

    url_id: str
    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlAnswer:
    """What goes back: ``body`` whole, or ``stream`` as it comes, which the sender closes."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes = b""
    stream: Body | None = None


Served = Answer | StreamedAnswer
A = TypeVar("A", Answer, StreamedAnswer)


class UrlDoor:
    """Answers requests to function URLs."""

    def __init__(
        self,
        table: UrlTable,
        *,
        place: UrlPlace,
        gate: Gate,
        authorizer: Authorizer,
        invoker: Invoker,
        account_of: Callable[[str], str],
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        trusted: Sequence[Network] = (),
        watching: Watching | None = None,
        arrivals: Arrivals | None = None,
    ) -> None:
        """``trusted``: proxies whose X-Forwarded-* count; ``arrivals``: None: nobody waits."""
        self._table = table
        self._arrivals = arrivals
        self._place = place
        self._suffix = place.suffix.encode()
        self._gate = gate
        self._authorizer = authorizer
        self._invoker = invoker
        self._account_of = account_of
        self._now = now
        self._new_id = new_id
        self._trusted = tuple(trusted)
        self._watching: Watching = watching or Unmeasured()

    def is_url(self, host: bytes) -> bool:
        """Tell whether a Host is a function URL's, known or not."""
        return host.partition(b":")[0].lower().endswith(self._suffix)

    def find(self, host: bytes | None, path: bytes) -> Visit | None:
        """Tell whether a request is for a function URL, known or not; by Host or by path."""
        if host is not None:
            name = host.partition(b":")[0].lower()
            if name.endswith(self._suffix):
                return Visit(url_id=name[: -len(self._suffix)].decode("latin-1"), path=path)
        if path.startswith(PREFIX):
            url_id, slash, rest = path[len(PREFIX) :].partition(b"/")
            return Visit(url_id=url_id.decode("latin-1"), path=slash + rest or b"/")
        return None

    async def answer(
        self, visit: Visit, request: UrlRequest, unread: Refused | None = None
    ) -> UrlAnswer:
        """Answer; ``unread``: why the body was not read. Never raises an error."""
        began = asyncio.get_running_loop().time()
        request_id = self._new_id()
        trace = request.header(b"x-amzn-trace-id") or new_trace_id()
        target = self._table.get(visit.url_id)
        if target is None and self._arrivals is not None:
            target = await self._arrivals.find(visit.url_id)
        answer = await self._answered(target, request, unread, request_id, trace)
        self._watching.answered(answer.head.status, asyncio.get_running_loop().time() - began)
        if target is not None:
            answer = _with_cors(answer, target, request)
        ours = {"x-amzn-RequestId": request_id}
        return _complete(answer, ours | {"X-Amzn-Trace-Id": trace} if answer.traced else ours)

    # --- the story --------------------------------------------------------------------------------

    async def _answered(
        self,
        target: UrlTarget | None,
        request: UrlRequest,
        unread: Refused | None,
        request_id: str,
        trace: str,
    ) -> Served:
        try:
            if target is None:
                raise unknown()
            if unread is not None:
                raise unread
            return await self._served(target, request, request_id, trace)
        except Refused as refusal:
            return refusal.answer
        except LambdaError as error:
            _log.info("url-function-not-run", requestId=request_id, error=error.error.name)
            return translated(error).answer
        except Exception:  # noqa: BLE001  whatever it is, the client gets 502 and we a log line
            _log.exception("url-request-failed", requestId=request_id)
            return failed().answer

    async def _served(
        self, target: UrlTarget, request: UrlRequest, request_id: str, trace: str
    ) -> Served:
        rules, question = target.config.cors, _asked(request)
        if rules is not None and question is not None:
            headers = [("content-type", JSON_TYPE), *rules.preflight(question)]
            return Answer(head=Head(headers=headers), body=b"", traced=False)
        caller, request = await self._admitted(target, request)
        meeting = Meeting(
            url_id=target.id,
            domain_name=self._place.host(target.id),
            request_id=request_id,
            trace_id=trace,
            now=self._now(),
            origin=origin_of(request, self._trusted),
            caller=caller,
        )
        event = event_of(request, meeting)
        if len(event) > limits.PAYLOAD_SYNC_MAX:
            raise too_large()
        invocation = self._invocation(target, event, meeting)
        if target.config.streams:
            return _fit(await begin(await self._invoker.stream(invocation)))
        return _mapped(await self._invoker.invoke(invocation))

    def _invocation(self, target: UrlTarget, event: bytes, meeting: Meeting) -> InvokeRequest:
        return InvokeRequest(
            namespace=target.namespace,
            function_name=target.function,
            qualifier=target.qualifier,
            invoked_arn=self._arn(target),
            payload=event,
            is_json=True,
            request_id=meeting.request_id,
            trace_id=meeting.trace_id,
        )

    async def _admitted(
        self, target: UrlTarget, request: UrlRequest
    ) -> tuple[IamCaller | None, UrlRequest]:
        """Let in: anybody where the URL is open, else who signed and may. Raises Refused.

        The request comes back with the body that its sender meant.
        """
        if target.config.open:
            return None, request
        if target.config.auth_type != IAM:
            raise forbidden()
        try:
            caller, body = await self._identified(request)
        except LambdaError as error:
            if error.error is errors.MISSING_AUTHENTICATION_TOKEN:
                raise forbidden() from error
            raise unproven(error) from error
        if not await self._may(caller, target):
            raise forbidden()
        iam = IamCaller(
            access_key=caller.access_key_id,
            account=caller.account,
            arn=caller.arn,
            user_id=caller.user_id,
        )
        return iam, request if body is request.body else request.unchunked(body)

    async def _may(self, caller: Caller, target: UrlTarget) -> bool:
        """Ask the policy, and RBAC: at home one of them is enough, abroad the policy must."""
        at_home = caller.namespace == target.namespace
        granted = allows_url(target.policy, principal_of(caller, at_home=at_home), IAM)
        if at_home:
            return granted or await self._has_right(caller, self._arn(target))
        return granted and await self._has_right(caller, "*")

    async def _has_right(self, caller: Caller, resource: str) -> bool:
        """Whether RBAC lets them in. Raises LambdaError 503 when nobody can tell."""
        try:
            await self._authorizer.check(caller, INVOKE_URL, resource)
        except LambdaError as error:
            if error.error is not errors.ACCESS_DENIED:
                raise
            return False
        return True

    def _arn(self, target: UrlTarget) -> str:
        account = self._account_of(target.namespace)
        return function_arn(self._place.region, account, target.function, target.qualifier)

    async def _identified(self, request: UrlRequest) -> tuple[Caller, bytes]:
        signable = Signable(
            method=request.method,
            path=request.path if request.signed_path is None else request.signed_path,
            query=request.query,
            headers=request.headers,
        )
        if len(request.body) <= HASHED_INLINE:
            return self._gate.admit(signable, request.body)
        return await asyncio.to_thread(self._gate.admit, signable, request.body)


def _mapped(answer: InvokeAnswer) -> Answer:
    if answer.function_error is not None:
        raise failed()
    return _fit(answer_of(whole(answer.payload)))


def _fit(answer: A | Malformed) -> A:
    if isinstance(answer, Malformed):
        _log.info("url-response-malformed", why=answer.why)
        raise failed()
    return answer


def _asked(request: UrlRequest) -> Preflight | None:
    """A browser's question, when the request is one."""
    origin = request.header(b"origin")
    method = request.header(b"access-control-request-method")
    if request.method != "OPTIONS" or origin is None or method is None:
        return None
    headers = request.header(b"access-control-request-headers") or ""
    return Preflight(origin=origin, method=method, headers=headers)


def _with_cors(answer: Served, target: UrlTarget, request: UrlRequest) -> Served:
    rules = target.config.cors
    if rules is None or _asked(request) is not None:
        return answer
    headers = rules.apply(answer.head.headers, request.header(b"origin"))
    return replace(answer, head=replace(answer.head, headers=headers))


def _complete(answer: Served, ours: Mapping[str, str]) -> UrlAnswer:
    """Add what every answer carries."""
    head, body = answer.head, answer.body
    headers = [(name.encode(), text.encode()) for name, text in (*head.headers, *ours.items())]
    if head.status in BODILESS:
        if isinstance(body, Body):
            body.close()
        return UrlAnswer(status=head.status, headers=headers)
    if isinstance(body, Body):
        return UrlAnswer(status=head.status, headers=headers, stream=body)
    headers.append((b"content-length", str(len(body)).encode()))
    return UrlAnswer(status=head.status, headers=headers, body=body)
