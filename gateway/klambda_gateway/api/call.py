"""One request on its way through the API: what an operation gets and what it gives back.

Place: ``dispatch`` builds a ``Call``, an operation (``functions``, ``aliases`` …) turns it into a
``Reply`` with the help of ``Services``. Invariants: plain data; a Call is authenticated, routed,
read and valid by the model. Not here: HTTP (``app``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from klambda_core.limits import CONCURRENT_EXECUTIONS
from klambda_gateway.api.allotment import by_chance
from klambda_gateway.api.grants import Grants, Owner
from klambda_gateway.api.links import CodeLinks
from klambda_gateway.api.model import Operation
from klambda_gateway.api.naming import Target, target_of
from klambda_gateway.api.objects import Objects
from klambda_gateway.api.reading import Input
from klambda_gateway.api.storage import Storage
from klambda_gateway.auth.authorizer import Authorizer
from klambda_gateway.auth.bearer import Bearer
from klambda_gateway.auth.caller import Caller
from klambda_gateway.auth.gate import Gate
from klambda_gateway.auth.sessions import Roles
from klambda_gateway.blobs import Blobs
from klambda_gateway.code.fetching import Fetcher
from klambda_gateway.code.shelf import Shelf
from klambda_gateway.events.intake import Intake
from klambda_gateway.images.finder import Images
from klambda_gateway.invoke.model import Invoker

CHECKS = 2


class Clock(Protocol):
    """The time, aware."""

    def __call__(self) -> datetime:
        """Now."""
        ...


class UrlNames(Protocol):
    """Says what a function's or alias's URL is."""

    def __call__(self, namespace: str, function: str, qualifier: str | None) -> str:
        """The address, with the slash at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The collaborators of all operations."""

    objects: Objects
    blobs: Blobs
    images: Images
    invoker: Invoker
    events: Intake
    gate: Gate
    authorizer: Authorizer
    grants: Grants
    roles: Roles
    """The roles that Secrets stand for."""
    bearer: Bearer | None = None
    """Absent: tokens are not accepted."""
    links: CodeLinks
    shelf: Shelf
    fetcher: Fetcher
    urls: UrlNames
    region: str
    now: Clock
    new_id: Callable[[], str]
    """Request ids and nonces: UUIDs."""
    checking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CHECKS))
    """Packages that are looked into at once: the directory of a zip is memory."""
    storage: Storage = field(default_factory=Storage)
    """How much code accounts keep."""
    allotting: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a share of the account's concurrency is given out."""
    pause: Callable[[], Awaitable[None]] = by_chance
    """Waits a moment of random length."""
    concurrent_executions: Callable[[str], int] = lambda _: CONCURRENT_EXECUTIONS
    """The limit of a namespace, which is an account."""
    runtimes: tuple[str, ...] = ()
    """The runtimes this installation can run; empty: all that AWS has not retired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request, understood."""

    operation: Operation
    input: Input
    caller: Caller
    region: str
    request_id: str
    headers: Mapping[str, str]
    base_url: str
    """Scheme and host as the client knows us."""
    owner: Owner | None = None
    """The other account that the request is for."""

    @property
    def namespace(self) -> str:
        """The account that the request is for, as a namespace."""
        return self.caller.namespace if self.owner is None else self.owner.namespace

    @property
    def account(self) -> str:
        """The account that the request is for, as digits."""
        return self.caller.account if self.owner is None else self.owner.account

    def target(self) -> Target:
        """What ``FunctionName`` and ``Qualifier`` mean. Raises 400, 403, 404."""
        return target_of(
            self.input["FunctionName"],
            self.input.get("Qualifier"),
            region=self.region,
            account=self.account,
        )


class Streamed(Protocol):
    """A body that comes piece by piece; ``close`` is called when it is over, however it went."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Give the pieces."""
        ...

    def close(self) -> None:
        """Let go of it; idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the client gets: ``document`` as JSON, ``body`` as it is, a ``stream``, or nothing."""

    status: int = 200
    document: Mapping[str, Any] | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Streamed | None = None


Handler = Callable[[Services, Call], Awaitable[Reply]]
