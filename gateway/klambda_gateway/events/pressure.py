"""What ``credit`` must know of a function: its limit, and how busy its synchronous side is.

Place: between the parts of the data plane that count and the credits, which know functions by uid
only. Not here: any decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from klambda_core.events import Event
from klambda_core.limits import CONCURRENT_EXECUTIONS
from klambda_gateway.events.credit import Pressure
from klambda_gateway.instances.pods import DeploymentKey
from klambda_gateway.routing.table import Entry

KEPT: Final = 10_000


class Pressures:
    """Answers by uid; it learns names from the events that come by."""

    def __init__(
        self,
        *,
        entry: Callable[[str, str], Entry | None],
        running: Callable[[tuple[str, str]], int],
        waiting: Callable[[DeploymentKey], int],
    ) -> None:
        """``running``: invocations of a function; ``waiting``: requests at a Deployment."""
        self._entry = entry
        self._running = running
        self._waiting = waiting
        self._names: dict[str, tuple[str, str]] = {}

    def learn(self, event: Event) -> None:
        """Remember whose uid this is."""
        self._names.pop(event.function_uid, None)
        self._names[event.function_uid] = (event.namespace, event.function)
        while len(self._names) > KEPT:
            del self._names[next(iter(self._names))]

    def of(self, uid: str) -> Pressure:
        """The pressure on a function."""
        name = self._names.get(uid)
        entry = self._entry(*name) if name is not None else None
        if entry is None:
            return Pressure(limit=CONCURRENT_EXECUTIONS)
        function = entry.function
        return Pressure(
            limit=function.at_once,
            running=self._running((function.namespace, function.name)),
            waiting=sum(self._waiting(key) for key in entry.deployments()),
            paused=function.events_paused,
        )
