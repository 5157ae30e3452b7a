"""Who may run now: Lambda's account limit and the function's own, counted in this gateway.

Place: the second step of an invocation. A ``Permit`` counts from admission until the instance is
ready again (``end``), not only until the answer is out: that is what Lambda counts. Limits are per
function over all its versions, and per namespace (= account) over all functions that reserve
nothing: those share what the others have not reserved.
Invariants: a permit is given back exactly once; reserved 0 always throttles. At its limit a request
waits up to 100 ms for a run whose answer is out, or whose instance is to tell another gateway's end
of it, so that a closed loop of as many clients as the limit never sees a 429.
Not here: other gateways' runs (``others``, ``unreserved``: as instances report), rate limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from klambda_core.errors import REASON_ACCOUNT, REASON_RESERVED, LambdaError, throttled
from klambda_core.limits import CONCURRENT_EXECUTIONS
from klambda_gateway.admission.unreserved import Alone
from klambda_gateway.instances.family import Function

PATIENCE_S: Final = 0.1
"""For a place that may be free (design/data-plane.md, "Reserved concurrency R"). The word of an
instance that another gateway's run is over takes a millisecond, and on a crowded machine more than
20: one in 10^5 calls of a closed loop within R was refused with that."""
RETRY_AFTER_S: Final = 1

Pot = tuple[str, str]
"""What is drawn on: a function's own (namespace and name), or what an account's functions share."""


def account_pot(account: str) -> Pot:
    """Return what an account's functions share: no object has an empty name."""
    return account, ""


class Shared(Protocol):
    """What accounts share: ``unreserved``."""

    def of(self, account: str) -> int:
        """Return how many may run at once of an account's functions that reserve nothing."""
        ...

    def most(self, account: str) -> int:
        """Return how many of them other gateways run at the most; asked with each request."""
        ...

    def elsewhere(self, account: str) -> int:
        """Return how many of them other gateways run."""
        ...


class Permit:
    """Room for one invocation; it lasts until its story and its last attempt are over."""

    __slots__ = ("_admission", "_finished", "_open", "draws", "function")

    def __init__(self, admission: Admission, function: Function, *, draws: bool) -> None:
        self.function = function
        self.draws = draws
        """It draws on what the account shares, too."""
        self._admission = admission
        self._open = 0
        self._finished = False

    def opened(self) -> None:
        """Note that an attempt goes out under this permit."""
        self._open += 1

    def closed(self) -> None:
        """Note that an attempt is over."""
        self._open -= 1
        if self._finished and not self._open:
            self._admission.leave(self, completed=True)

    def finish(self) -> None:
        """End the story: answered, refused or cancelled."""
        if self._finished:
            return
        self._finished = True
        if self._open:
            self._admission.completing(self)
        else:
            self._admission.leave(self, completed=False)


class Admission:
    """The counts."""

    def __init__(
        self,
        *,
        unreserved: Shared | None = None,
        others: Callable[[Function], int] = lambda _: 0,
    ) -> None:
        """``others``: instances of a function that other gateways' requests occupy."""
        self._unreserved: Shared = unreserved or Alone(lambda _: CONCURRENT_EXECUTIONS)
        self._others = others
        self._taken: dict[Pot, int] = {}
        self._completing: dict[Pot, int] = {}
        self._room: dict[Pot, list[asyncio.Future[None]]] = {}
        self._running = 0
        self.admitted = 0
        """Invocations so far."""

    def running(self) -> int:
        """Count all permits."""
        return self._running

    def of_function(self, function: Function) -> int:
        """Count a function's permits."""
        return self._taken.get(function, 0)

    def unreserved(self, account: str) -> int:
        """Count the permits that draw on what an account's functions share."""
        return self._taken.get(account_pot(account), 0)

    def enter_now(
        self, function: Function, limit: int | None, *, draws: bool = True
    ) -> Permit | None:
        """Admit one invocation, or None when a moment's patience may help. Raises as ``enter``."""
        full = self._full(function, limit, draws)
        if full is None:
            return self._permit(function, draws)
        if limit != 0 and self._may_be_free(full):
            return None
        raise _throttled(full)

    async def enter(self, function: Function, limit: int | None, *, draws: bool = True) -> Permit:
        """Admit one invocation. Raises LambdaError 429 with its reason.

        ``limit``: the function's own; ``draws``: on what the account's functions share, too.
        """
        permit = self.enter_now(function, limit, draws=draws)
        if permit is not None:
            return permit
        full = await self._patiently(function, limit, draws)
        if full is not None:
            raise _throttled(full)
        permit = self._permit(function, draws)
        self._wake(permit)  # there may be room for two
        return permit

    def _permit(self, function: Function, draws: bool) -> Permit:
        self.admitted += 1
        self._running += 1
        self._taken[function] = self._taken.get(function, 0) + 1
        if draws:
            pot = account_pot(function[0])
            self._taken[pot] = self._taken.get(pot, 0) + 1
        return Permit(self, function, draws=draws)

    def _full(self, function: Function, limit: int | None, draws: bool) -> Pot | None:
        """Return what leaves no room, if something does."""
        if limit is not None:
            taken = self._taken.get(function, 0)
            if taken >= limit or taken + self._others(function) >= limit:
                return function
        if draws:
            account = function[0]
            pot = account_pot(account)
            left = self._unreserved.of(account) - self._taken.get(pot, 0)
            if left <= self._unreserved.most(account) and (
                left <= 0 or left <= self._unreserved.elsewhere(account)
            ):
                return pot
        return None

    def _elsewhere(self, pot: Pot) -> int:
        return self._others(pot) if pot[1] else self._unreserved.elsewhere(pot[0])

    def _may_be_free(self, pot: Pot) -> bool:
        """Tell whether a place may be free soon: an answer is out, or others run."""
        return bool(self._completing.get(pot)) or self._elsewhere(pot) > 0

    async def _patiently(self, function: Function, limit: int | None, draws: bool) -> Pot | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while (full := self._full(function, limit, draws)) is not None:
            if not self._may_be_free(full) or loop.time() >= deadline:
                break
            await self._room_made(full, deadline)
        return full

    async def _room_made(self, pot: Pot, deadline: float) -> None:
        """Wait for news of a pot's permits or runs, no longer than to the deadline."""
        waiting = self._room.setdefault(pot, [])
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(future)
        try:
            async with asyncio.timeout_at(deadline):
                await future
        except TimeoutError:
            pass
        finally:
            waiting.remove(future)
            if not waiting:
                self._room.pop(pot, None)

    def completing(self, permit: Permit) -> None:
        """Note that an answer is out while its instance is not ready yet."""
        for pot in _pots(permit):
            self._completing[pot] = self._completing.get(pot, 0) + 1

    def leave(self, permit: Permit, *, completed: bool) -> None:
        """Take a permit back."""
        self._running -= 1
        for pot in _pots(permit):
            _less(self._taken, pot)
            if completed:
                _less(self._completing, pot)
        self._wake(permit)

    def news(self) -> None:
        """Note that instances have told what they do."""
        for pot in self._room:
            self._wake_one(pot)

    def _wake(self, permit: Permit) -> None:
        if self._room:
            for pot in _pots(permit):
                self._wake_one(pot)

    def _wake_one(self, pot: Pot) -> None:
        for future in self._room.get(pot, ()):
            if not future.done():
                future.set_result(None)
                break


def _pots(permit: Permit) -> tuple[Pot, ...]:
    function = permit.function
    return (function, account_pot(function[0])) if permit.draws else (function,)


def _less(counts: dict[Pot, int], pot: Pot) -> None:
    if counts[pot] > 1:
        counts[pot] -= 1
    else:
        del counts[pot]


def _throttled(pot: Pot) -> LambdaError:
    reason = REASON_RESERVED if pot[1] else REASON_ACCOUNT
    return throttled(reason, retry_after=RETRY_AFTER_S)
