"""What goes into an invocation and what comes out: the port between API and data plane.

Place: ``api`` (and later function URLs and event workers) builds an ``InvokeRequest``; the invoke
service answers with an ``InvokeAnswer`` or an ``InvokeStream``, or raises
``klambda_core.errors.LambdaError``.
Invariants: plain data, never changed once made (``frozen`` would cost 1 µs per
request); authorisation has been done before a request is built.
Not here: HTTP (``api``), frames (``instances``), the story itself (``invoke.service``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from klambda_gateway.bulk import Body
from klambda_gateway.instances.streamed import Ending, Opening


@dataclass(slots=True, kw_only=True)
class InvokeRequest:
    """One invocation, as asked for."""

    namespace: str
    function_name: str
    """AWS's name of the function (not the object's)."""
    qualifier: str | None
    """``$LATEST``, a version's number or an alias; absent means ``$LATEST``."""
    invoked_arn: str
    """The ARN the function sees: with the qualifier exactly when one was asked for."""
    payload: Body
    """The event, at most 6 MB (checked by the caller); empty means ``{}``."""
    request_id: str
    is_json: bool = False
    """The payload was made by the caller: nobody need look whether it is JSON."""
    patient: bool = False
    """Nobody waits for the answer: an asynchronous event."""
    log_tail: bool = False
    timing: bool = False
    """The caller wants to know where the time went."""
    client_context: str | None = None
    """JSON text, already decoded from base64."""
    trace_id: str | None = None


@dataclass(slots=True, kw_only=True)
class InvokeAnswer:
    """What the function answered; a failed function is an answer too."""

    payload: Body
    executed_version: str
    """``$LATEST`` or the number of the version that ran."""
    function_error: str | None = None
    """``Unhandled`` when the function failed; then ``payload`` is Lambda's error body."""
    log_tail: bytes | None = None
    """The last 4,096 bytes of the invocation's log, when asked for."""
    content_type: str | None = None
    """As the runtime named it."""
    timing: str | None = None
    """Where the time went, when asked for (``invoke.timing``)."""


class InvokeStream(Protocol):
    """A function's answer as it comes; whoever got one must ``close`` it."""

    @property
    def executed_version(self) -> str:
        """``$LATEST`` or the number of the version that runs."""
        ...

    @property
    def opening(self) -> Opening:
        """What is known before the first byte."""
        ...

    @property
    def ending(self) -> Ending:
        """How it went; only after ``pieces`` has ended."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Give the bytes as they come; a slow reader slows the function. Raises nothing."""
        ...

    def close(self) -> None:
        """Say that nobody reads on. What runs, runs on; idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a name and a qualifier stand for now (for DryRun: that it could be invoked)."""

    executed_version: str
    deployment: str
    """The Deployment that serves it."""


class Invoker(Protocol):
    """The data plane as the API sees it."""

    async def invoke(self, request: InvokeRequest) -> InvokeAnswer:
        """Run the function.

        Raises LambdaError: 404 unknown name or qualifier (after one re-read), 409 Pending,
        429 with a reason, 400 InvalidRequestContent, 500/502/503 when the platform failed.
        """
        ...

    async def stream(self, request: InvokeRequest) -> InvokeStream:
        """Run the function; return when its answer begins. Raises as ``invoke``."""
        ...

    async def resolve(self, namespace: str, name: str, qualifier: str | None, arn: str) -> Resolved:
        """Find what would run; ``arn`` (as asked for) is named in errors. Raises as ``invoke``."""
        ...


class Observer(Protocol):
    """Who is told of objects that this gateway wrote or read itself (read-your-writes)."""

    def observe(self, obj: Mapping[str, Any]) -> None:
        """Take in a Function, Version or Alias as the API server returned it (its JSON).

        Idempotent and order-free: an older resource version than known is ignored. With a
        ``deletionTimestamp`` the object counts as absent.
        """
        ...

    def forget(self, obj: Mapping[str, Any]) -> None:
        """Take in that this object (by kind, namespace, name, uid) was deleted."""
        ...
