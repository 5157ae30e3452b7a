"""Leader election on one coordination.k8s.io Lease.

Place: around the operator's whole process, and around the gateway's leader-only duties.
Safety: a holder believes in itself for `renew_deadline` (10 s) after its last successful renewal
*began*; others take over only after `duration` (15 s) without a change that they watched on their
own monotonic clock. Wall clocks are written for people and never compared. A renewal that hangs is
cut off at the deadline. When the lease is lost `on_lost` is called at once: the operator passes
something that ends the process, because a leader that winds down politely acts beyond its lease;
the gateway only stops leading. A clean exit gives the lease back, so a successor waits <= 2 s.
Two leaders for a moment must still be harmless: this is an optimisation, not a fence.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from klambda_core.kinds import LEASE, Kind
from klambda_kube.errors import AlreadyExists, Conflict, KubeError, NotFound

DURATION_S = 15.0
RENEW_DEADLINE_S = 10.0
RETRY_S = 2.0
"""client-go's defaults for all three."""
SILENT_S = 5.0
"""A leader renews, and candidates look, each two seconds and a bit: more than both is a silence."""

HURRY = 4
"""After a failed renewal the next try comes this much sooner, so a short outage costs nothing."""

RELEASE_TIMEOUT_S = 2.0

_log = logging.getLogger("klambda.lease")


class Leases(Protocol):
    """What the election needs of `klambda_kube.api.Api`."""

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any]:
        """As `Api` has it."""

    async def create(
        self, kind: Kind, namespace: str | None, body: dict[str, Any], *, field_manager: str
    ) -> dict[str, Any]:
        """As `Api` has it."""

    async def merge_patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: dict[str, Any],
        *,
        field_manager: str,
    ) -> dict[str, Any]:
        """As `Api` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Another's record and when, on our clock, it last changed."""

    version: str
    since: float


class Lease:
    """One candidate. Run `run()` as a task; `acquired` and `held()` say who leads."""

    def __init__(
        self,
        api: Leases,
        *,
        namespace: str,
        name: str,
        identity: str,
        on_acquired: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
        duration: float = DURATION_S,
        renew_deadline: float = RENEW_DEADLINE_S,
        retry: float = RETRY_S,
        jitter: Callable[[], float] = random.random,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not retry < renew_deadline < duration:
            raise ValueError("retry < renew_deadline < duration must hold")
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._on_acquired = on_acquired
        self._on_lost = on_lost
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._retry = retry
        self._jitter = jitter
        self._wall = wall
        self._seen: _Seen | None = None
        self._valid_until = float("-inf")
        self._since = float("-inf")
        self._version = ""
        self._transitions = 0
        self.acquired = asyncio.Event()
        """Set while this candidate leads."""

    def held(self) -> bool:
        """Whether this candidate may still act as the leader, by its own clock."""
        return self.acquired.is_set() and asyncio.get_running_loop().time() < self._valid_until

    def led_since(self) -> float:
        """Since when, in the loop's time, somebody has led as far as is known; now: nobody does.

        Long ago for a leader who was there before this candidate.
        """
        now = asyncio.get_running_loop().time()
        if not self.held() and self._seen is not None and now - self._seen.since > SILENT_S:
            return now
        return self._since

    async def run(self) -> None:
        """Stand for election again and again until cancelled; then give the lease back."""
        try:
            while True:
                await self._acquire()
                self._since = asyncio.get_running_loop().time()
                self.acquired.set()
                _log.info("lease-acquired", extra={"fields": {"lease": self._name}})
                self._on_acquired()
                await self._keep()
                self._lose()
        finally:
            if self.acquired.is_set():
                self._lose()
                with contextlib.suppress(KubeError, TimeoutError):
                    async with asyncio.timeout(RELEASE_TIMEOUT_S):
                        await self._release()

    def _lose(self) -> None:
        self.acquired.clear()
        self._valid_until = float("-inf")
        _log.warning("lease-lost", extra={"fields": {"lease": self._name}})
        self._on_lost()

    async def _acquire(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._renew_deadline):
                    if await self._try_to_take():
                        return
            except (Conflict, AlreadyExists):
                self._seen = None  # somebody was faster: look again
                self._since = asyncio.get_running_loop().time()
            except (KubeError, TimeoutError) as error:
                _log.warning("lease-unreachable", extra={"fields": {"error": str(error)}})
            await asyncio.sleep(self._retry * (1 + 0.2 * self._jitter()))

    async def _try_to_take(self) -> bool:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await self._api.get(LEASE, self._namespace, self._name)
        except NotFound:
            body = {"metadata": {"name": self._name}, "spec": self._spec(acquired=True)}
            made = await self._api.create(LEASE, self._namespace, body, field_manager="klambda")
            self._took(made, began)
            return True
        spec = found.get("spec") or {}
        version = found["metadata"]["resourceVersion"]
        holder = spec.get("holderIdentity") or ""
        self._transitions = spec.get("leaseTransitions") or 0
        if holder not in ("", self._identity) and not self._expired(version, spec, loop.time()):
            return False
        if holder != self._identity:
            self._transitions += 1
        self._took(await self._write(version, self._spec(acquired=True)), began)
        return True

    def _expired(self, version: str, spec: dict[str, Any], now: float) -> bool:
        if self._seen is None or self._seen.version != version:
            if self._seen is not None and now - self._seen.since > SILENT_S:
                self._since = now
            self._seen = _Seen(version=version, since=now)
        duration = max(float(spec.get("leaseDurationSeconds") or 0), self._duration)
        return now - self._seen.since >= duration

    async def _keep(self) -> None:
        """Renew until it fails for good."""
        loop = asyncio.get_running_loop()
        pause = self._retry
        while True:
            await asyncio.sleep(min(pause, max(self._valid_until - loop.time(), 0)))
            pause = self._retry / HURRY
            try:
                async with asyncio.timeout_at(self._valid_until):
                    began = loop.time()
                    self._took(await self._write(self._version, self._spec(acquired=False)), began)
                    pause = self._retry
            except Conflict:
                if not await self._still_ours():
                    return
            except NotFound:
                return  # deleted by hand: stand again
            except (KubeError, TimeoutError) as error:
                _log.warning("lease-renewal-failed", extra={"fields": {"error": str(error)}})
            if loop.time() >= self._valid_until:
                return

    async def _still_ours(self) -> bool:
        """After a conflict: an earlier renewal whose answer got lost, or another leader?"""
        try:
            async with asyncio.timeout_at(self._valid_until):
                found = await self._api.get(LEASE, self._namespace, self._name)
        except (KubeError, TimeoutError):
            return True  # unknown; the deadline decides
        self._version = found["metadata"]["resourceVersion"]
        return bool((found.get("spec") or {}).get("holderIdentity") == self._identity)

    async def _release(self) -> None:
        await self._write(self._version, {"holderIdentity": "", "leaseDurationSeconds": 1})

    async def _write(self, version: str, spec: dict[str, Any]) -> dict[str, Any]:
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        return await self._api.merge_patch(
            LEASE, self._namespace, self._name, patch, field_manager="klambda"
        )

    def _took(self, written: dict[str, Any], began: float) -> None:
        self._version = written["metadata"]["resourceVersion"]
        self._valid_until = began + self._renew_deadline
        self._seen = None

    def _spec(self, *, acquired: bool) -> dict[str, Any]:
        now = self._wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(int(self._duration), 1),
            "renewTime": now,
        }
        if acquired:
            spec |= {"acquireTime": now, "leaseTransitions": self._transitions}
        return spec
