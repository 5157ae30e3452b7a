"""What an account's functions share: its concurrency less what functions reserve. Pure.

    limit 10 = reserved by "tight": 4  +  pool: 6, for all that reserve nothing

Place: the routing table's swaps come in by ``changed``; ``concurrency`` asks with each request of a
function that draws on the pool, ``scale.headcount`` with each start of one.
Invariants: the common case costs no more with more functions: only when the account could be full
are the runs of functions with a reservation, which do not draw on the pool, taken from the count.
Not here: this gateway's own runs (``concurrency``), provisioned concurrency that lies idle.
"""

from __future__ import annotations

from collections.abc import Callable

from klambda_gateway.instances.abroad import Abroad
from klambda_gateway.instances.family import Families, Function
from klambda_gateway.routing.table import Entry


class Unreserved:
    """What is left of each account's concurrency, and who draws on it at other gateways."""

    def __init__(self, *, limit: Callable[[str], int], abroad: Abroad, families: Families) -> None:
        """``limit``: the concurrent executions of a namespace."""
        self._limit = limit
        self._abroad = abroad
        self._families = families
        self._reserved: dict[str, dict[Function, int]] = {}
        self._sums: dict[str, int] = {}

    def changed(self, before: Entry | None, after: Entry | None) -> None:
        """Follow a function's entry in the routing table."""
        for entry, step in ((before, -1), (after, 1)):
            if entry is None or entry.function.reserved is None:
                continue
            function, reserved = entry.function, entry.function.reserved
            account, name = function.namespace, (function.namespace, function.name)
            self._sums[account] = self._sums.get(account, 0) + step * reserved
            if step > 0:
                self._reserved.setdefault(account, {})[name] = reserved
            else:
                self._reserved[account].pop(name, None)

    def of(self, account: str) -> int:
        """Return how many invocations may run at once of functions that reserve nothing."""
        return max(0, self._limit(account) - self._sums.get(account, 0))

    def reserves(self, function: Function) -> bool:
        """Tell whether a function has its own instead."""
        return function in self._reserved.get(function[0], ())

    def most(self, account: str) -> int:
        """Return how many other gateways' runs draw on the pool at the most."""
        return self._abroad.running(account)

    def elsewhere(self, account: str) -> int:
        """Return how many other gateways' runs draw on the pool."""
        own = (
            self._abroad.of(key)
            for function in self._reserved.get(account, ())
            for key in self._families.of(function)
        )
        return self._abroad.running(account) - sum(own)


class Alone:
    """The same for a gateway that has no others beside it, and no reservations."""

    def __init__(self, limit: Callable[[str], int]) -> None:
        self._limit = limit

    def of(self, account: str) -> int:
        """See ``Unreserved``."""
        return self._limit(account)

    def most(self, _: str) -> int:
        """See ``Unreserved``."""
        return 0

    def elsewhere(self, _: str) -> int:
        """See ``Unreserved``."""
        return 0
