"""One invocation, in order: read → resolve → admit → acquire → call → settle.

    start ─► at once: target known, permit and instance free ─► sent ─► outcome ─► finished
      └───► else a task searches: re-reads, waits its turn ───► sent ─┘  │
                      ▲                                                  │
                      └── refused: nothing ran, so search again ◄────────┘

Place: behind the API, the fast lane, function URLs and event workers; the port is ``invoke.model``.
The plain case runs from ``start`` to its end in callbacks: no task, no future, no wait but for the
two sockets. ``invoke`` is the same story for those who would rather await it.
Invariants: a request runs at most once: it goes elsewhere only after ``refused`` or when it is
certain that the instance never had it; what is ambiguous is asked for, else fails, never guessed.
``done`` is told exactly once, unless the caller goes away first (``cancel``): that frees his place
in the queue; what already runs, runs on. A request that waits for a revision that is superseded
meanwhile moves to the new one, and the version drawn for it stays drawn while it waits.
Not here: HTTP, frames (``instances``), starting instances (``scale``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from klambda_core import errors
from klambda_gateway.admission.concurrency import Admission, Permit
from klambda_gateway.instances.attempt import Answer, Attempt
from klambda_gateway.instances.call import Broken, Call, Outcome
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.instances.streamed import Opening, StreamedAttempt
from klambda_gateway.instances.streaming import StreamedCall
from klambda_gateway.invoke.fate import PATIENCE_S, fate, fate_of_stream
from klambda_gateway.invoke.flight import Flight, run_limit
from klambda_gateway.invoke.header import BUFFERED, STREAMING, invoke_header
from klambda_gateway.invoke.metrics import Unmeasured, Watching
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest, InvokeStream, Resolved
from klambda_gateway.invoke.outcome import answer_of
from klambda_gateway.invoke.payload import Event, NotJson, made_event, read_event
from klambda_gateway.invoke.search import WAIT_LIMIT_S, AttemptIds, Search
from klambda_gateway.invoke.story import Done, Finder, Opened, Sender, Story, Work
from klambda_gateway.invoke.streaming import FailedStream, LiveStream
from klambda_gateway.invoke.timing import timed
from klambda_gateway.routing.resolve import Target
from klambda_obs import logs

BODIES_LIMIT: Final = 64 << 20
"""Bytes of events in flight in one gateway (design/data-plane.md, "Hot path")."""
T = TypeVar("T")

_log = logs.get("klambda.gateway.invoke")


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
        ran: Callable[[Record, float], None] = lambda *_: None,
        wait_limit: float = WAIT_LIMIT_S,
        fate_patience: float = PATIENCE_S,
    ) -> None:
        """``ran`` is told of each run: where, and how many seconds."""
        self._finder = finder
        self._registry = registry
        self._sender = sender
        self._admission = admission
        self._watching: Watching = watching or Unmeasured()
        self._ran = ran
        self._now = registry.clock
        self._wait_limit = wait_limit
        self._fate_patience = fate_patience
        self._flight = Flight(sender)
        self._tasks: set[asyncio.Task[None]] = set()
        self._bodies = 0
        self._ids = AttemptIds()
        self._search = Search(finder, registry, self._ids, wait_limit=wait_limit)

    # --- the port ---------------------------------------------------------------------------------

    async def resolve(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Resolved:
        """Find what would run. Raises LambdaError 404 or 409."""
        target = await self._finder.find(namespace, name, qualifier, arn)
        return Resolved(executed_version=target.executed_version, deployment=target.deployment.name)

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        """Run the function; see ``invoke.model.Invoker``."""
        future: asyncio.Future[InvokeAnswer | errors.LambdaError]
        future = asyncio.get_running_loop().create_future()
        return await _result(self.start(request, future.set_result), future)

    async def stream(self, request: InvokeRequest) -> InvokeStream:
        """Run the function; see ``invoke.model.Invoker``."""
        future: asyncio.Future[InvokeStream | errors.LambdaError]
        future = asyncio.get_running_loop().create_future()

        def opened(story: Story, call: StreamedCall, opening: Opening) -> None:
            future.set_result(self._live(story, call, opening))

        def done(result: InvokeAnswer | errors.LambdaError) -> None:
            if isinstance(result, InvokeAnswer):
                future.set_result(FailedStream(result))
            else:
                future.set_result(result)

        try:
            return await _result(self.start(request, done, opened), future)
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                _left_behind(future.result())
            raise

    def start(self, request: InvokeRequest, done: Done, opened: Opened | None = None) -> Story:
        """Run the function; ``done`` is told, maybe before this returns.

        With ``opened`` the answer is streamed: that is told when it begins, ``done`` otherwise.
        """
        story = Story(request, done, self.abandon, opened)
        try:
            story.event = self._read(request)
            if not self._at_once(story):
                self._spawn(story, self._wait)
        except errors.LambdaError as error:
            self._finish(story, error)
        return story

    # --- the steps --------------------------------------------------------------------------------

    def _read(self, request: InvokeRequest) -> Event:
        event = made_event(request.payload) if request.is_json else read_event(request.payload)
        if isinstance(event, NotJson):
            raise errors.payload_not_json(event.detail)
        size = len(event.payload)
        if self._bodies + size > BODIES_LIMIT:
            raise errors.unavailable("The gateway holds too many requests; try again.")
        self._bodies += size
        return event

    def _at_once(self, story: Story) -> bool:
        """Send the request if nothing has to be waited for."""
        request = story.request
        target = self._finder.known(request.namespace, request.function_name, request.qualifier)
        if target is None:
            return False
        story.target = target
        story.permit = self._admission.enter_now(
            target.function, target.reserved, draws=target.draws
        )
        if story.permit is None:
            return False
        story.deadline = self._now() + self._wait_limit
        attempt = self._ids.next()
        record = self._registry.take(target.deployment, attempt)
        if record is None:
            return False
        self._send(story, target, record, attempt)
        return True

    async def _wait(self, story: Story) -> None:
        """Wait for what is missing, then send the request."""
        target = story.target or await self._search.find(story.request)
        if story.permit is None:
            story.permit = await self._admission.enter(
                target.function, target.reserved, draws=target.draws
            )
            story.deadline = self._now() + self._wait_limit
        target, record, attempt = await self._search.instance(story, target)
        self._send(story, target, record, attempt)

    async def _wait_again(self, story: Story) -> None:
        story.target = await self._search.find_again(story)
        await self._wait(story)

    def _send(self, story: Story, target: Target, record: Record, attempt: str) -> None:
        request, event, permit = story.request, story.event, story.permit
        assert event is not None  # noqa: S101  read and admitted: the steps before
        assert permit is not None  # noqa: S101

        def on_outcome(_: Call, outcome: Outcome) -> None:
            self._outcome(story, outcome)

        def on_over(call: Call) -> None:
            self._over(permit, call)

        deadline, limit = story.deadline, run_limit(target.timeout)
        tail = request.log_tail or request.timing  # both are known when the run is over
        if story.opened is None:
            mode = BUFFERED
            call = Call(
                Attempt(attempt, log_tail=tail), record, deadline=deadline, run_limit=limit,
                on_outcome=on_outcome, on_over=on_over,
            )  # fmt: skip
        else:
            mode = STREAMING
            call = StreamedCall(
                StreamedAttempt(attempt, log_tail=tail), record, grant=self._sender.grant,
                deadline=deadline, run_limit=limit, on_outcome=on_outcome, on_over=on_over,
            )  # fmt: skip
        permit.opened()
        story.target = target
        story.call = call
        self._flight.enter(call)
        header = invoke_header(request, event, attempt, story.deadline - self._now(), mode)
        self._sender.send(call, header, event.payload)

    def _outcome(self, story: Story, outcome: Outcome) -> None:
        """Answer the caller, or go on; nothing to do when he has gone."""
        if story.over or story.target is None:
            return
        if isinstance(outcome, Answer):
            answer = answer_of(outcome, story.target)
            if story.request.timing and story.call is not None:
                answer = timed(answer, story.request, story.call)
            self._finish(story, answer)
        elif isinstance(outcome, Opening):
            self._open(story, outcome)
        elif isinstance(outcome, Broken):
            self._spawn(story, self._broken)
        elif outcome.reason == "invalid-json":
            text = outcome.message or "invalid JSON"
            self._finish(story, errors.payload_not_json(text))
        else:
            if outcome.reason == "busy":
                story.tries -= 1  # another gateway was faster: no sign that anything is wrong
            story.call = None
            self._spawn(story, self._wait_again)

    def _over(self, permit: Permit, call: Call) -> None:
        """Take note that an instance is done with an attempt, wanted or not."""
        self._flight.leave(call)
        self._watching.over(call.attempt)
        if (report := call.attempt.report) is not None:
            self._ran(call.record, report.duration_ms / 1000)
        if isinstance(call, StreamedCall) and call.accepted:
            permit.finish()  # a streamed answer lasts as long as its run
        permit.closed()

    # --- the end ----------------------------------------------------------------------------------

    def _finish(self, story: Story, result: InvokeAnswer | errors.LambdaError) -> None:
        if story.over:
            return
        self._release(story)
        if isinstance(result, errors.LambdaError):
            self._watching.refused(result)
        else:
            self._watching.answered(result, time.monotonic() - story.began)
        story.done(result)

    def _open(self, story: Story, opening: Opening) -> None:
        """Hand over an answer that begins; it goes on running under its permit."""
        assert isinstance(story.call, StreamedCall)  # noqa: S101  only it opens
        assert story.opened is not None  # noqa: S101
        story.permit = None
        self._release(story)
        story.opened(story, story.call, opening)

    def _live(self, story: Story, call: StreamedCall, opening: Opening) -> InvokeStream:
        request, target = story.request, story.target
        assert target is not None  # noqa: S101  it runs
        return LiveStream(
            call,
            opening=opening,
            executed_version=target.executed_version,
            lost=lambda: fate_of_stream(request, target, call, patience=self._fate_patience),
            cancel=self._sender.cancel,
            ended=lambda end: self._watching.answered(end, time.monotonic() - story.began),
        )

    def abandon(self, story: Story) -> None:
        """End a story whose caller is gone."""
        if story.over:
            return
        self._release(story)
        if story.task is not None:
            story.task.cancel()
        if story.call is not None:
            self._sender.cancel(story.call)

    def _release(self, story: Story) -> None:
        story.over = True
        if story.event is not None:
            self._bodies -= len(story.event.payload)
            story.event = None
        if story.permit is not None:
            story.permit.finish()

    def _spawn(self, story: Story, work: Work) -> None:
        story.task = asyncio.get_running_loop().create_task(self._patiently(story, work))
        self._tasks.add(story.task)
        story.task.add_done_callback(self._tasks.discard)

    async def _patiently(self, story: Story, work: Work) -> None:
        try:
            await work(story)
        except errors.LambdaError as error:
            self._finish(story, error)
        except Exception:  # noqa: BLE001  a bug of ours: logged, and the caller gets his answer
            _log.exception("invoke-failed", request_id=story.request.request_id)
            self._finish(story, errors.service())
        finally:
            story.task = None

    # --- what goes wrong --------------------------------------------------------------------------

    async def _broken(self, story: Story) -> None:
        """Say what became of a request whose instance is gone."""
        assert story.call is not None  # noqa: S101  it is what broke
        assert story.target is not None  # noqa: S101
        self._finish(
            story,
            await fate(story.request, story.target, story.call, patience=self._fate_patience),
        )

    def sweep(self) -> None:
        """Call each second: give up what nobody answers. Keeps timers off the hot path."""
        self._flight.sweep(self._now())

    def in_flight(self) -> int:
        """Count the attempts that are not over."""
        return len(self._flight)


async def _result(story: Story, future: asyncio.Future[T | errors.LambdaError]) -> T:
    """Wait for a story's end; who is cancelled meanwhile, leaves it. Raises LambdaError."""
    try:
        result = await future
    except asyncio.CancelledError:
        story.cancel()
        raise
    if isinstance(result, errors.LambdaError):
        raise result
    return result


def _left_behind(result: InvokeStream | errors.LambdaError) -> None:
    """Close a stream that began in the very moment in which its caller went away."""
    if not isinstance(result, errors.LambdaError):
        result.close()
