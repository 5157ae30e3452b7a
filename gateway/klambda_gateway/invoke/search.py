"""Looking for an instance that takes a request, for as long as it may wait.

Place: ``invoke.service`` searches when it cannot send at once, and again after a refusal.
Invariants: a request that waits for a revision that is superseded meanwhile moves to the new one,
and the version drawn for it stays drawn while it waits; attempts' ids are never used twice.
Not here: admission (``admission``), who gets which instance (``instances.pool``).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from klambda_core import errors
from klambda_gateway.instances.acquire import (
    AccountUsedUp,
    BurstUsedUp,
    Moved,
    StartsFail,
    WaitedTooLong,
    acquire,
)
from klambda_gateway.instances.record import Record
from klambda_gateway.instances.registry import Registry
from klambda_gateway.invoke.model import InvokeRequest
from klambda_gateway.invoke.outcome import cannot_start, nobody_took_it, too_long
from klambda_gateway.invoke.story import Finder, Story
from klambda_gateway.routing.target import Target

WAIT_LIMIT_S: Final = 60.0
"""How long a request waits for an instance: the SDKs' default read time-out."""
REFUSALS_LIMIT: Final = 20
"""Refusals of one request other than ``busy``: more means that something is wrong."""
MOVE_PAUSE_S: Final = 0.2
"""Before asking again for a Deployment that is gone while its function still names it."""


class AttemptIds:
    """Ids that no other gateway makes, nor this one after a restart."""

    def __init__(self, prefix: Callable[[], str] = lambda: secrets.token_hex(6)) -> None:
        self._prefix = prefix()
        self._count = 0

    def next(self) -> str:
        """Return a new one."""
        self._count += 1
        return f"{self._prefix}-{self._count}"


class Search:
    """How requests find what runs them when that takes time."""

    def __init__(
        self, finder: Finder, registry: Registry, ids: AttemptIds, *, wait_limit: float
    ) -> None:
        self._finder = finder
        self._registry = registry
        self._ids = ids
        self._now = registry.clock
        self._wait_limit = wait_limit

    async def find(self, request: InvokeRequest) -> Target:
        """Return what the request's name stands for. Raises LambdaError 404 or 409."""
        return await self._finder.find(
            request.namespace, request.function_name, request.qualifier, request.invoked_arn
        )

    async def find_again(self, story: Story) -> Target:
        """``find`` for a request that was refused. Raises 503, too: it has waited too long."""
        if self._now() >= story.deadline:
            raise too_long(self._wait_limit)
        return await self.find(story.request)

    async def instance(self, story: Story, target: Target) -> tuple[Target, Record, str]:
        """Wait for an instance; return what it is of, and the attempt it is marked with.

        Raises LambdaError.
        """
        request = story.request
        while story.tries < REFUSALS_LIMIT:
            story.tries += 1
            attempt = self._ids.next()
            record: Record | None
            try:
                record = await acquire(
                    self._registry,
                    target.deployment,
                    attempt,
                    deadline=story.deadline,
                    patient=request.patient,
                )
            except Moved:
                record = None  # waited for below: mypyc keeps an exception while its handler waits
            except (BurstUsedUp, AccountUsedUp) as error:
                raise errors.throttled(errors.REASON_ACCOUNT, retry_after=1) from error
            except StartsFail as error:
                raise cannot_start(error.reason, error.message) from error
            except WaitedTooLong as error:
                raise too_long(self._wait_limit) from error
            if record is not None:
                return target, record, attempt
            target = await self._moved(request, target)
        raise nobody_took_it()

    async def _moved(self, request: InvokeRequest, before: Target) -> Target:
        """Resolve again; when the function still names what is gone, ask Kubernetes."""
        target = await self.find(request)
        if target.deployment == before.deployment:
            await asyncio.sleep(MOVE_PAUSE_S)
            await self._finder.refresh(request.namespace, request.function_name)
            target = await self.find(request)
        return target
