"""One invocation, in order: read → resolve → admit → acquire → call → settle.

Place: behind the API (and later function URLs and event workers); the port is ``invoke.model``.
Invariants: a request runs at most once: it goes elsewhere only after ``refused`` or when it is
certain that the instance never had it; what is ambiguous is asked for, else fails, never guessed.
A request that waits for a revision that is superseded meanwhile moves to the new one. A caller who
goes away (the task is cancelled) frees his place in the queue; what already runs, runs on.
Not here: HTTP, frames (``instances``), starting instances (``scale``).
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from klambda_core import errors
from klambda_gateway.admission.concurrency import Admission, Permit
from klambda_gateway.instances.acquire import Moved, StartsFail, WaitedTooLong, acquire
from klambda_gateway.instances.attempt import Answer, Attempt
from klambda_gateway.instances.call import Broken, Call, Outcome
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.invoke.metrics import Unmeasured, Watching
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest, Resolved
from klambda_gateway.invoke.payload import Event, NotJson, read_event
from klambda_gateway.routing.resolve import Target
from klambda_obs import logs

WAIT_LIMIT_S: Final = 60.0
"""How long a request waits for an instance: the SDKs' default read time-out."""
REFUSALS_LIMIT: Final = 20
"""Refusals of one request; more means that something is wrong, not that it is busy."""
MOVE_PAUSE_S: Final = 0.2
"""Before asking again for a Deployment that is gone while its function still names it."""
INIT_LIMIT_S: Final = 10.0
"""Lambda's limit of the INIT phase (aws-contract f); it may come twice before a run."""
RUN_SLACK_S: Final = 20.0
"""Beyond what a run may take, an instance that says nothing is given up (contract §1)."""
BODIES_LIMIT: Final = 64 << 20
"""Bytes of events in flight in one gateway (design/data-plane.md, "Hot path")."""
INVALID_ZIP: Final = "InvalidZipFile"
"""init's word for code that is no zip (frame ``failed``); AWS has an exception of its own."""
FATE_PATIENCE_S: Final = 2.0
FATE_STEP_S: Final = 0.1
"""The kubelet tells about a second later that a container was killed for its memory."""

_log = logs.get("klambda.gateway.invoke")


class Sender(Protocol):
    """Who carries attempts to instances."""

    async def send(self, call: Call, header: dict[str, Any], payload: bytes) -> None:
        """Send an attempt."""
        ...

    def cancel(self, call: Call) -> None:
        """Tell the instance that nobody waits."""
        ...

    def drop(self, record: Record) -> None:
        """Close an instance's connection."""
        ...


class Finder(Protocol):
    """Who resolves names, with a re-read on a miss."""

    async def find(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Target:
        """Return the target. Raises LambdaError 404 or 409."""
        ...

    async def refresh(self, namespace: str, name: str) -> None:
        """Read the function anew."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Story:
    """What stays the same while a request looks for its instance."""

    request: InvokeRequest
    event: Event
    permit: Permit
    deadline: float


class InvokeService:
    """The story."""

    def __init__(
        self,
        *,
        finder: Finder,
        registry: Registry,
        sender: Sender,
        admission: Admission,
        watching: Watching | None = None,
        ran: Callable[[DeploymentKey, float], None] = lambda *_: None,
        wait_limit: float = WAIT_LIMIT_S,
        fate_patience: float = FATE_PATIENCE_S,
        prefix: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        """``ran`` is told of each run: whose, and how many seconds."""
        self._finder = finder
        self._registry = registry
        self._sender = sender
        self._admission = admission
        self._watching: Watching = watching or Unmeasured()
        self._ran = ran
        self._wait_limit = wait_limit
        self._fate_patience = fate_patience
        self._calls: dict[str, Call] = {}
        self._bodies = 0
        first = prefix()
        self._ids = (f"{first}-{number}" for number in itertools.count(1))

    # --- the port ---------------------------------------------------------------------------------

    async def resolve(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Resolved:
        """Find what would run. Raises LambdaError 404 or 409."""
        target = await self._finder.find(namespace, name, qualifier, arn)
        return Resolved(executed_version=target.executed_version, deployment=target.deployment.name)

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        """Run the function; see ``invoke.model.Invoker``."""
        began = self._now()
        try:
            answer = await self._invoke(request)
        except errors.LambdaError as error:
            self._watching.refused(error)
            raise
        self._watching.answered(answer, self._now() - began)
        return answer

    async def _invoke(self, request: InvokeRequest) -> InvokeAnswer:
        event = read_event(request.payload)
        if isinstance(event, NotJson):
            raise errors.payload_not_json(event.detail)
        size = len(event.payload)
        if self._bodies + size > BODIES_LIMIT:
            raise errors.unavailable("The gateway holds too many requests; try again.")
        self._bodies += size
        try:
            target = await self._find(request)
            permit = await self._admission.enter(target.function, target.reserved)
            deadline = self._now() + self._wait_limit
            story = _Story(request=request, event=event, permit=permit, deadline=deadline)
            try:
                return await self._run(story, target)
            finally:
                permit.finish()
        finally:
            self._bodies -= size

    # --- acquire, call: again and again until it has run ------------------------------------------

    async def _run(self, story: _Story, target: Target) -> InvokeAnswer:
        for _ in range(REFUSALS_LIMIT):
            attempt = next(self._ids)
            try:
                record = await acquire(
                    self._registry, target.deployment, attempt, deadline=story.deadline
                )
            except Moved:
                target = await self._moved(story.request, target)
                continue
            except StartsFail as error:
                raise _cannot_start(error) from error
            except WaitedTooLong as error:
                raise _too_long(self._wait_limit) from error
            call = self._prepare(story, target, record, attempt)
            outcome = await self._call(story, call)
            if isinstance(outcome, Answer):
                return _answer(outcome, target)
            if isinstance(outcome, Broken):
                return await self._broken(story.request, target, call)
            if outcome.reason == "invalid-json":
                raise errors.payload_not_json(outcome.message or "invalid JSON")
            if self._now() >= story.deadline:
                raise _too_long(self._wait_limit)
            target = await self._find(story.request)
        raise errors.unavailable("No execution environment took the request; try again.")

    def _prepare(self, story: _Story, target: Target, record: Record, attempt: str) -> Call:
        call = Call(
            Attempt(attempt, log_tail=story.request.log_tail),
            record,
            deadline=story.deadline,
            run_limit=target.timeout + 2 * INIT_LIMIT_S + RUN_SLACK_S,
            on_over=lambda call: self._over(story, call),
        )
        story.permit.opened()
        self._calls[attempt] = call
        return call

    def _over(self, story: _Story, call: Call) -> None:
        del self._calls[call.id]
        self._watching.over(call.attempt)
        if (report := call.attempt.report) is not None:
            self._ran(call.record.key, report.duration_ms / 1000)
        story.permit.closed()

    async def _call(self, story: _Story, call: Call) -> Outcome:
        remaining = story.deadline - self._now()
        header = invoke_header(story.request, story.event, call.id, remaining_s=remaining)
        try:
            await self._sender.send(call, header, story.event.payload)
            return await call.outcome
        except asyncio.CancelledError:
            self._sender.cancel(call)
            raise

    async def _find(self, request: InvokeRequest) -> Target:
        return await self._finder.find(
            request.namespace, request.function_name, request.qualifier, request.invoked_arn
        )

    async def _moved(self, request: InvokeRequest, before: Target) -> Target:
        """Resolve again; when the function still names what is gone, ask Kubernetes."""
        target = await self._find(request)
        if target.deployment == before.deployment:
            await asyncio.sleep(MOVE_PAUSE_S)
            await self._finder.refresh(request.namespace, request.function_name)
            target = await self._find(request)
        return target

    # --- what goes wrong --------------------------------------------------------------------------

    async def _broken(self, request: InvokeRequest, target: Target, call: Call) -> InvokeAnswer:
        """Say what became of a request whose instance is gone."""
        _log.warning(
            "instance-lost-in-run",
            request_id=request.request_id,
            deployment=target.deployment.name,
            accepted=call.accepted,
        )
        if call.accepted and await self._killed_for_memory(call.record):
            text = (
                f"RequestId: {request.request_id} Error: Runtime exited with error: signal: killed"
            )
            body = f'{{"errorType":"Runtime.ExitError","errorMessage":"{text}"}}'
            return InvokeAnswer(
                payload=body.encode(),
                executed_version=target.executed_version,
                function_error="Unhandled",
            )
        raise errors.service("The execution environment was lost while it ran the request.")

    async def _killed_for_memory(self, record: Record) -> bool:
        deadline = self._now() + self._fate_patience
        while record.pod is None or record.pod.terminated is None:
            if self._now() >= deadline or record.pod_gone:
                return False
            await asyncio.sleep(FATE_STEP_S)
        return record.pod.terminated == "OOMKilled"

    def sweep(self) -> None:
        """Call each second: give up what nobody answers. Keeps timers off the hot path."""
        now = self._now()
        for call in list(self._calls.values()):
            if call.accepted_at is None:
                if now >= call.deadline + RUN_SLACK_S:
                    self._sender.drop(call.record)
                elif now >= call.deadline:
                    self._sender.cancel(call)
            elif now >= call.accepted_at + call.run_limit:
                _log.warning("instance-silent", uid=call.record.uid)
                self._sender.drop(call.record)

    def in_flight(self) -> int:
        """Count the attempts that are not over."""
        return len(self._calls)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def invoke_header(
    request: InvokeRequest, event: Event, attempt: str, *, remaining_s: float
) -> dict[str, Any]:
    """Return the header of ``invoke`` (contract §1)."""
    header: dict[str, Any] = {
        "attempt": attempt,
        "requestId": request.request_id,
        "functionArn": request.invoked_arn,
        "logTail": request.log_tail,
        "mode": "buffered",
        "remaining": max(0, int(remaining_s * 1000)),
        "size": len(event.payload),
        "validated": event.validated,
        "traceId": request.trace_id or new_trace_id(),
    }
    if request.client_context is not None:
        header["clientContext"] = request.client_context
    return header


def new_trace_id() -> str:
    """Return a trace header for a request that came without one, as Lambda makes it (X-Ray)."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Sampled=0"


def _answer(answer: Answer, target: Target) -> InvokeAnswer:
    return InvokeAnswer(
        payload=answer.payload,
        executed_version=target.executed_version,
        function_error=answer.function_error,
        log_tail=answer.log_tail,
    )


def _cannot_start(error: StartsFail) -> errors.LambdaError:
    if error.reason == INVALID_ZIP:
        return errors.LambdaError(errors.INVALID_ZIP_FILE, error.message)
    return errors.unavailable(
        f"The function's execution environments cannot start: {error.reason}: {error.message}"
    )


def _too_long(limit: float) -> errors.LambdaError:
    return errors.unavailable(f"No execution environment was free within {limit:.0f} seconds.")
