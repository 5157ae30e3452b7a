"""Another function as a destination: an asynchronous invocation like any other.

Invariants: the new event's id follows from the old one's and the target, so that telling twice is
one event; the trace, and with it the lineage that stops loops, goes on. Only functions of the same
account and region, as the ARN says.
"""

from __future__ import annotations

import uuid
from typing import Final, Protocol

from klambda_core import errors
from klambda_core.arn import Malformed, parse_function
from klambda_core.errors import LambdaError
from klambda_core.limits import PAYLOAD_ASYNC_MAX
from klambda_gateway.events import lineage
from klambda_gateway.events.deliver.port import DeliveryFailed
from klambda_gateway.events.deliver.targets import Target
from klambda_gateway.events.envelope import Outcome

_SPACE: Final = uuid.UUID("6b6c616d-6264-4120-9f00-64657374696e")


class Accepts(Protocol):
    """The way in for events."""

    async def accept(
        self,
        *,
        namespace: str,
        name: str,
        qualifier: str | None,
        arn: str,
        payload: bytes,
        event_id: str,
        trace: str | None,
    ) -> None:
        """Keep an event. Raises LambdaError."""
        ...


class Functions:
    """Tells functions."""

    def __init__(self, intake: Accepts, *, region: str) -> None:
        self._intake = intake
        self._region = region

    async def send(self, target: Target, body: bytes, outcome: Outcome) -> None:
        """Invoke. Raises DeliveryFailed."""
        read = parse_function(target.text)
        own = outcome.event.arn.split(":")[4]
        if isinstance(read, Malformed) or (read.region, read.account) != (self._region, own):
            raise DeliveryFailed("not a function of this account and region")
        event = outcome.event
        try:
            if len(body) > PAYLOAD_ASYNC_MAX:
                raise errors.payload_too_large(len(body), "Event", PAYLOAD_ASYNC_MAX)
            await self._intake.accept(
                namespace=event.namespace,
                name=read.name,
                qualifier=read.qualifier,
                arn=target.text,
                payload=body,
                event_id=str(uuid.uuid5(_SPACE, f"{event.id} {target.text}")),
                trace=lineage.passed(event.trace, event.function_uid),
            )
        except LambdaError as error:
            raise DeliveryFailed(str(error)) from error
