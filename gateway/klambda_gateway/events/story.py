"""One event, in order: is it still wanted → run → decide → note the outcome → tell → settle.

Place: ``workers`` hand leased events over. Invariants: an outcome is noted in the store before
anybody is told of it, so that a crash in between repeats telling, never the run; an event whose
lease is lost is somebody else's from then on; configuration is read at each step anew.
Not here: how much is taken (``credit``), when what (``policy``), how things are told (``deliver``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

from klambda_core.errors import SERVICE, LambdaError
from klambda_core.events import Delivery, Leased, Postponement, Response, Settlement, State
from klambda_gateway.bulk import whole
from klambda_gateway.events import config, lineage, policy
from klambda_gateway.events.credit import Ending
from klambda_gateway.events.deliver.port import Deliverer, DeliveryFailed
from klambda_gateway.events.envelope import Outcome, error_text, plain
from klambda_gateway.events.metrics import EventMetrics
from klambda_gateway.events.policy import GONE, Again, Decision, Drop, Over, Progress, Waits
from klambda_gateway.invoke.model import InvokeAnswer, InvokeRequest
from klambda_gateway.routing.table import Entry
from klambda_obs import logs

THROTTLED: Final = 429
RAN: Final = 200

_log = logs.get("klambda.gateway.events")


class Reports(Protocol):
    """Where progress is noted."""

    async def retry_at(self, item: Postponement) -> bool:
        """Put back or note; return whether the lease was still ours."""
        ...

    async def settle(self, item: Settlement) -> bool:
        """End; return whether the lease was still ours."""
        ...


class Runs(Protocol):
    """Who runs functions."""

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        """Run. Raises LambdaError."""
        ...


class Known(Protocol):
    """Who knows functions."""

    def get(self, namespace: str, aws_name: str) -> Entry | None:
        """The entry of a function's AWS name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    """What an attempt came to."""

    decision: Decision
    ending: Ending
    response: Response | None = None
    error: str | None = None


class Story:
    """The story of any event."""

    def __init__(
        self,
        *,
        reports: Reports,
        invoker: Runs,
        known: Known,
        refresh: Callable[[str, str], Awaitable[bool]],
        deliverer: Deliverer,
        metrics: EventMetrics,
        waits: Waits,
        now: Callable[[], datetime],
    ) -> None:
        """``refresh`` reads a function (namespace, AWS name) anew; False: it could not be asked."""
        self._reports = reports
        self._invoker = invoker
        self._known = known
        self._refresh = refresh
        self._deliverer = deliverer
        self._metrics = metrics
        self._waits = waits
        self._now = now

    async def work_on(self, leased: Leased) -> Ending:
        """Carry an event as far as it goes now. Raises StoreAway."""
        if leased.condition is not None:
            await self._tell(leased, leased.condition)
            return "other"
        began = asyncio.get_running_loop().time()
        decision = await self._before(leased)
        if decision is None:
            self._metrics.age(leased.age)
            ran = await self._run(leased, began)
        else:
            ran = _Ran(decision=decision, ending="other", error=leased.error)
        await self._decided(leased, ran)
        return ran.ending

    # --- before and after the run -----------------------------------------------------------------

    async def _before(self, leased: Leased) -> Decision | None:
        event = leased.event
        entry, certain = self._known.get(event.namespace, event.function), True
        if entry is None or entry.function.uid != event.function_uid:
            certain = await self._refresh(event.namespace, event.function)
            entry = self._known.get(event.namespace, event.function)
        looping = lineage.looping(event.trace, event.function_uid)
        situation = config.situation(entry, event.function_uid, looping=looping, certain=certain)
        rules = config.rules(entry, event.qualifier)
        return policy.before(rules, self._waits, _progress(leased), situation)

    async def _run(self, leased: Leased, began: float) -> _Ran:
        event = leased.event
        request = InvokeRequest(
            namespace=event.namespace,
            function_name=event.function,
            qualifier=event.qualifier,
            invoked_arn=event.arn,
            payload=event.payload,
            request_id=event.id,
            is_json=True,
            patient=True,
            trace_id=lineage.passed(event.trace, event.function_uid),
        )
        status, error, answer = SERVICE.status, "", None
        try:
            answer = await self._invoker.invoke(request)
        except LambdaError as refusal:
            status, error = refusal.status, plain(f"{refusal.error.name}: {refusal.message}")
        elapsed = asyncio.get_running_loop().time() - began
        progress = replace(_progress(leased), age=leased.age + elapsed)
        rules = config.rules(self._entry(leased), event.qualifier)
        if answer is None:
            again = policy.after_refusal(rules, self._waits, progress, status)
            ending: Ending = "throttled" if status == THROTTLED else "other"
            return _Ran(decision=again, ending=ending, error=error)
        response = Response(
            status_code=RAN,
            executed_version=answer.executed_version,
            function_error=answer.function_error,
            payload=whole(answer.payload),
        )
        if answer.function_error is None:
            over = policy.after_success(progress)
            return _Ran(decision=over, ending="completed", response=response)
        return _Ran(
            decision=policy.after_error(rules, self._waits, progress),
            ending="completed",
            response=response,
            error=error_text(whole(answer.payload)),
        )

    # --- what was decided -------------------------------------------------------------------------

    async def _decided(self, leased: Leased, ran: _Ran) -> None:
        match ran.decision:
            case Again() as again:
                self._metrics.retried(throttled=ran.ending == "throttled")
                await self._reports.retry_at(
                    _postponed(leased, again, error=ran.error, response=ran.response)
                )
            case Drop(reason=reason):
                self._metrics.dropped(GONE)
                await self._settle(leased, "dropped", None, error=reason)
            case Over() as over:
                await self._over(leased, over, ran)

    async def _over(self, leased: Leased, over: Over, ran: _Ran) -> None:
        if over.condition != policy.SUCCESS:
            self._metrics.dropped(over.condition)
        response = ran.response or leased.response
        version = response.executed_version if response is not None else None
        pending = config.deliveries(
            self._entry(leased), leased.event.qualifier, version, over.condition
        )
        told = replace(
            leased,
            attempts=over.attempts,
            backoffs=0,
            condition=over.condition,
            response=response,
            error=ran.error,
            pending=pending,
        )
        if not pending:
            await self._settle(told, _state(over.condition), over.condition, told.response)
            return
        again = Again(delay=0, attempts=over.attempts, backoffs=0)
        noted = _postponed(told, again, error=ran.error, response=ran.response, hold=True)
        if await self._reports.retry_at(noted):
            await self._tell(told, over.condition)

    # --- telling ----------------------------------------------------------------------------------

    async def _tell(self, leased: Leased, condition: str) -> None:
        """Tell whom it concerns; what cannot be told is tried again later, or kept."""
        outcome = Outcome(
            event=leased.event,
            condition=condition,
            attempts=leased.attempts,
            response=leased.response,
            error=leased.error,
            now=self._now(),
        )
        rest: list[Delivery] = []
        problem = leased.error
        for delivery in leased.pending:
            trouble = await self._deliver(delivery, outcome)
            if trouble is not None:
                rest.append(delivery)
                problem = plain(f"{delivery.target}: {trouble}")
        if not rest:
            await self._settle(leased, _state(condition), condition)
            return
        left = replace(leased, pending=tuple(rest))
        again = policy.after_failed_delivery(self._waits, _progress(leased))
        if again is not None:
            await self._reports.retry_at(_postponed(left, again, error=leased.error))
            return
        for delivery in rest:
            self._metrics.undelivered(delivery.kind)
        await self._settle(left, "undelivered", condition, error=problem)

    async def _deliver(self, delivery: Delivery, outcome: Outcome) -> str | None:
        """Tell one; return what went wrong."""
        try:
            await self._deliverer.deliver(delivery, outcome)
        except DeliveryFailed as error:
            trouble = str(error)
        except Exception as error:  # noqa: BLE001 - our own mistake must end with the others
            _log.exception("delivery-broke", request_id=outcome.event.id)
            trouble = repr(error)
        else:
            return None
        _log.warning(
            "not-delivered", request_id=outcome.event.id, target=delivery.target, error=trouble
        )
        return trouble

    async def _settle(
        self,
        leased: Leased,
        state: State,
        condition: str | None,
        response: Response | None = None,
        *,
        error: str | None = None,
    ) -> None:
        ours = await self._reports.settle(
            Settlement(
                id=leased.event.id,
                lease=leased.lease,
                state=state,
                attempts=leased.attempts,
                condition=condition,
                error=error or leased.error,
                response=response,
                pending=leased.pending if state == "undelivered" else (),
            )
        )
        if not ours:
            self._metrics.fenced()

    def _entry(self, leased: Leased) -> Entry | None:
        return self._known.get(leased.event.namespace, leased.event.function)


def _progress(leased: Leased) -> Progress:
    return Progress(attempts=leased.attempts, backoffs=leased.backoffs, age=leased.age)


def _state(condition: str) -> State:
    return "succeeded" if condition == policy.SUCCESS else "failed"


def _postponed(
    leased: Leased,
    again: Again,
    *,
    error: str | None,
    response: Response | None = None,
    hold: bool = False,
) -> Postponement:
    return Postponement(
        id=leased.event.id,
        lease=leased.lease,
        delay=again.delay,
        attempts=again.attempts,
        backoffs=again.backoffs,
        error=error,
        response=response,
        condition=leased.condition,
        pending=leased.pending,
        hold=hold,
    )
