"""One request to a function URL, but for waiting: what is invoked for it, and what goes back.

    request ─► identified, question ─► invocation ─► (the function) ─► outcome ─► finish
                       └────────────── refused ──────────────────────────┘

Place: ``urls.door`` tells the story for ASGI, ``wire.urllane`` for plain requests; both from these
steps, so that their answers are the same. Invariants: nothing here waits; every answer carries the
request's id, and its trace where a function was asked for; refusals are worded as AWS words them
and say no more. Not here: HTTP itself (``wire``), the formats (``urls.event``, ``urls.response``).
Source of statuses and texts: aws-contract d.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final, TypeAlias, TypeVar

from klambda_core import errors, limits
from klambda_core.arn import function_arn
from klambda_core.errors import LambdaError
from klambda_core.urls import UrlPlace
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.claim import Signable
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.policy import allows_url, principal_of
from klambda_gateway.bulk import whole
from klambda_gateway.invoke.header import new_trace_id
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
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
    unproven,
)
from klambda_gateway.urls.request import Network, UrlRequest, origin_of
from klambda_gateway.urls.response import Answer, Malformed, answer_of
from klambda_gateway.urls.stream import Body, StreamedAnswer
from klambda_gateway.urls.table import UrlTarget
from klambda_obs import logs

BODILESS: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
ANY_RESOURCE: Final = "*"

_log = logs.get("klambda.gateway.urls")


@dataclass(slots=True, kw_only=True)
class Passage:
    """A request on its way."""

    request: UrlRequest
    request_id: str
    trace_id: str
    began: float
    """Monotonic seconds."""
    target: UrlTarget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlAnswer:
    """What goes back: ``body`` whole, or ``stream`` as it comes, which the sender closes."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes = b""
    stream: Body | None = None


Served: TypeAlias = Answer | StreamedAnswer
A = TypeVar("A", Answer, StreamedAnswer)


class Passages:
    """The steps."""

    def __init__(
        self,
        *,
        place: UrlPlace,
        gate: Gate,
        account_of: Callable[[str], str],
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        trusted: Sequence[Network] = (),
        watching: Watching | None = None,
    ) -> None:
        """``trusted``: proxies whose X-Forwarded-* count."""
        self.place = place
        self._gate = gate
        self._account_of = account_of
        self._now = now
        self._new_id = new_id
        self._trusted = tuple(trusted)
        self._watching: Watching = watching or Unmeasured()

    def enter(self, request: UrlRequest) -> Passage:
        """Begin."""
        return Passage(
            request=request,
            request_id=self._new_id(),
            trace_id=request.header(b"x-amzn-trace-id") or new_trace_id(),
            began=time.monotonic(),
        )

    # --- who comes in -----------------------------------------------------------------------------

    def identified(self, request: UrlRequest) -> tuple[Caller, UrlRequest]:
        """Who signed it, and the request with the body that its sender meant. Raises Refused."""
        signable = Signable(
            method=request.method,
            path=request.path if request.signed_path is None else request.signed_path,
            query=request.query,
            headers=request.headers,
        )
        try:
            caller, body = self._gate.admit(signable, request.body)
        except LambdaError as error:
            if error.error is errors.MISSING_AUTHENTICATION_TOKEN:
                raise forbidden() from error
            raise unproven(error) from error
        return caller, request if body is request.body else request.unchunked(body)

    def question(self, caller: Caller, target: UrlTarget) -> bool | str:
        """Whether a caller may come in, or of which resource RBAC must be asked.

        At home one of policy and RBAC is enough; abroad the policy must let in, and RBAC.
        """
        at_home = caller.namespace == target.namespace
        granted = allows_url(target.policy, principal_of(caller, at_home=at_home), IAM)
        if at_home:
            return granted or self.arn(target)
        return granted and ANY_RESOURCE

    # --- the function -----------------------------------------------------------------------------

    def invocation(
        self, passage: Passage, target: UrlTarget, caller: Caller | None, request: UrlRequest
    ) -> InvokeRequest:
        """What is invoked. ``request``: with the body that was meant. Raises Refused."""
        meeting = Meeting(
            url_id=target.id,
            domain_name=self.place.host(target.id),
            request_id=passage.request_id,
            trace_id=passage.trace_id,
            now=self._now(),
            origin=origin_of(request, self._trusted),
            caller=None if caller is None else _iam(caller),
        )
        event = event_of(request, meeting)
        if len(event) > limits.PAYLOAD_SYNC_MAX:
            raise too_large()
        return InvokeRequest(
            namespace=target.namespace,
            function_name=target.function,
            qualifier=target.qualifier,
            invoked_arn=self.arn(target),
            payload=event,
            is_json=True,
            request_id=meeting.request_id,
            trace_id=meeting.trace_id,
        )

    def arn(self, target: UrlTarget) -> str:
        """The ARN that a URL stands for."""
        account = self._account_of(target.namespace)
        return function_arn(self.place.region, account, target.function, target.qualifier)

    # --- the way back -----------------------------------------------------------------------------

    def outcome(self, passage: Passage, result: InvokeAnswer | LambdaError) -> Answer:
        """The answer that a run means, or that it did not come to one."""
        try:
            if isinstance(result, LambdaError):
                return refusal(passage, result)
            return mapped(result)
        except Exception as error:  # noqa: BLE001  see refusal
            return refusal(passage, error)

    def finish(self, passage: Passage, answer: Served) -> UrlAnswer:
        """Note an answer, and add what every one carries."""
        self._watching.answered(answer.head.status, time.monotonic() - passage.began)
        if passage.target is not None:
            answer = _with_cors(answer, passage.target, passage.request)
        ours = {"x-amzn-RequestId": passage.request_id}
        if answer.traced:
            ours["X-Amzn-Trace-Id"] = passage.trace_id
        return _complete(answer, ours)


def mapped(answer: InvokeAnswer) -> Answer:
    """The answer that a function returned. Raises Refused."""
    if answer.function_error is not None:
        raise failed()
    return fit(answer_of(whole(answer.payload)))


def fit(answer: A | Malformed) -> A:
    """Raise Refused for what is no answer."""
    if isinstance(answer, Malformed):
        _log.info("url-response-malformed", why=answer.why)
        raise failed()
    return answer


def refusal(passage: Passage, error: Exception) -> Answer:
    """What the client is told instead: whatever it is, 502 and a log line at worst."""
    if isinstance(error, Refused):
        return error.answer
    if isinstance(error, LambdaError):
        _log.info("url-function-not-run", requestId=passage.request_id, error=error.error.name)
        return translated(error).answer
    _log.exception("url-request-failed", requestId=passage.request_id)
    return failed().answer


def preflight(request: UrlRequest) -> Preflight | None:
    """A browser's question, when the request is one."""
    origin = request.header(b"origin")
    method = request.header(b"access-control-request-method")
    if request.method != "OPTIONS" or origin is None or method is None:
        return None
    headers = request.header(b"access-control-request-headers") or ""
    return Preflight(origin=origin, method=method, headers=headers)


def _iam(caller: Caller) -> IamCaller:
    return IamCaller(
        access_key=caller.access_key_id,
        account=caller.account,
        arn=caller.arn,
        user_id=caller.user_id,
    )


def _with_cors(answer: Served, target: UrlTarget, request: UrlRequest) -> Served:
    rules = target.config.cors
    if rules is None or preflight(request) is not None:
        return answer
    headers = rules.apply(answer.head.headers, request.header(b"origin"))
    return replace(answer, head=replace(answer.head, headers=headers))


def _complete(answer: Served, ours: Mapping[str, str]) -> UrlAnswer:
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
