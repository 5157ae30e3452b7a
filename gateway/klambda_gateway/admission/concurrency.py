"""Who may run now: Lambda's account limit and the function's own, counted in this gateway.

Place: the second step of an invocation. A ``Permit`` counts from admission until the instance is
ready again (``end``), not only until the answer is out: that is what Lambda counts. Limits are per
namespace (= account) and per function over all its versions.
Invariants: a permit is given back exactly once; reserved 0 always throttles. With reserved
concurrency R at its limit, a request waits up to 100 ms for a run whose answer is already out, so
that a closed loop of R clients never sees a 429.
Not here: other gateways' exact counts (``others`` tells what instances report), rate limits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from klambda_core.errors import REASON_ACCOUNT, REASON_RESERVED, throttled
from klambda_core.limits import CONCURRENT_EXECUTIONS
from klambda_gateway.admission.elsewhere import NOTHING, Elsewhere
from klambda_gateway.instances.family import Function

COMPLETING_PATIENCE_S: Final = 0.1
"""design/data-plane.md, "Reserved concurrency R"."""
NEWS_PATIENCE_S: Final = 0.02
"""How long the word of an instance that another gateway's run is over may be on its way."""
RETRY_AFTER_S: Final = 1

K = TypeVar("K")


class Permit:
    """Room for one invocation; it lasts until its story and its last attempt are over."""

    __slots__ = ("_admission", "_finished", "_open", "function")

    def __init__(self, admission: Admission, function: Function) -> None:
        self.function = function
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
            self._admission.leave(self.function, completed=True)

    def finish(self) -> None:
        """End the story: answered, refused or cancelled."""
        if self._finished:
            return
        self._finished = True
        if self._open:
            self._admission.completing(self.function)
        else:
            self._admission.leave(self.function, completed=False)


class Admission:
    """The counts."""

    def __init__(
        self,
        *,
        account_limit: int = CONCURRENT_EXECUTIONS,
        account_limits: Mapping[str, int] | None = None,
        others: Callable[[Function], Elsewhere] = lambda _: NOTHING,
    ) -> None:
        """``account_limits``: those of namespaces that have another.

        ``others``: instances of a function that other gateways' requests occupy.
        """
        self._account_limit = account_limit
        self._account_limits = account_limits or {}
        self._others = others
        self._by_account: Counter[str] = Counter()
        self._by_function: Counter[Function] = Counter()
        self._completing: Counter[Function] = Counter()
        self._room: dict[Function, list[asyncio.Future[None]]] = {}
        self.admitted = 0
        """Invocations so far."""

    def running(self) -> int:
        """Count all permits."""
        return self._by_account.total()

    def of_function(self, function: Function) -> int:
        """Count a function's permits."""
        return self._by_function[function]

    def enter_now(self, function: Function, reserved: int | None) -> Permit | None:
        """Admit one invocation, or None when a moment's patience may help. Raises as ``enter``."""
        reason = self._refusal(function, reserved)
        if reason is None:
            return self._permit(function)
        if reason == REASON_RESERVED and reserved and self._patience(function):
            return None
        raise throttled(reason, retry_after=RETRY_AFTER_S)

    async def enter(self, function: Function, reserved: int | None) -> Permit:
        """Admit one invocation. Raises LambdaError 429 with its reason."""
        permit = self.enter_now(function, reserved)
        if permit is not None:
            return permit
        reason = await self._patiently(function, reserved)
        if reason is not None:
            raise throttled(reason, retry_after=RETRY_AFTER_S)
        permit = self._permit(function)
        self._wake(function)  # there may be room for two
        return permit

    def _permit(self, function: Function) -> Permit:
        self.admitted += 1
        self._by_account[function[0]] += 1
        self._by_function[function] += 1
        return Permit(self, function)

    def _refusal(self, function: Function, reserved: int | None) -> str | None:
        if reserved is not None:
            taken = self._by_function[function]
            if taken >= reserved or taken + self._others(function).running >= reserved:
                return REASON_RESERVED
        account = function[0]
        limit = self._account_limits.get(account, self._account_limit)
        if self._by_account[account] >= limit:
            return REASON_ACCOUNT
        return None

    def _patience(self, function: Function) -> float:
        """How long a place may be free soon, in seconds."""
        others = self._others(function)
        if self._completing[function] or others.completing:
            return COMPLETING_PATIENCE_S
        return NEWS_PATIENCE_S if others.running else 0.0

    async def _patiently(self, function: Function, reserved: int | None) -> str | None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (reason := self._refusal(function, reserved)) == REASON_RESERVED:
            deadline = began + self._patience(function)
            if loop.time() >= deadline:
                break
            # When nothing came: what was busy may be completing by now.
            await self._room_made(function, deadline)
        return reason

    async def _room_made(self, function: Function, deadline: float) -> None:
        """Wait for news of the function's permits or runs, no longer than to the deadline."""
        waiting = self._room.setdefault(function, [])
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
                self._room.pop(function, None)

    def completing(self, function: Function) -> None:
        """Note that an answer is out while its instance is not ready yet."""
        self._completing[function] += 1

    def leave(self, function: Function, *, completed: bool) -> None:
        """Give a permit back."""
        _less(self._by_account, function[0])
        _less(self._by_function, function)
        if completed:
            _less(self._completing, function)
        self._wake(function)

    def news(self) -> None:
        """Note that instances have told what they do."""
        for function in self._room:
            self._wake(function)

    def _wake(self, function: Function) -> None:
        for future in self._room.get(function, ()):
            if not future.done():
                future.set_result(None)
                break


def _less(counter: Counter[K], key: K) -> None:
    if counter[key] > 1:
        counter[key] -= 1
    else:
        del counter[key]
