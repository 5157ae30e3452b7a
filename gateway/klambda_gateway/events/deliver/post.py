"""The one deliverer: reads a target, makes the message, hands it to who can carry it.

Place: ``app`` composes it, ``story`` uses it. Invariants: a dead letter is the event alone with
three attributes, and goes to queues and topics only; everything else gets the record.
"""

from __future__ import annotations

import aiohttp

from klambda_core.events import Delivery
from klambda_gateway.events import lineage
from klambda_gateway.events.deliver.aws import AwsMessages
from klambda_gateway.events.deliver.function import Functions
from klambda_gateway.events.deliver.port import DeliveryFailed
from klambda_gateway.events.deliver.sink import Sinks
from klambda_gateway.events.deliver.targets import NoTarget, read_target
from klambda_gateway.events.envelope import Outcome, dead_letter_attributes, record
from klambda_kube.trust import Trust


class Session:
    """One HTTP client session, made when it is first needed, inside the loop."""

    def __init__(self, trust: Trust = True) -> None:
        self._trust = trust
        self._made: aiohttp.ClientSession | None = None

    def __call__(self) -> aiohttp.ClientSession:
        """The session."""
        if self._made is None:
            self._made = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._trust),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._made

    async def close(self) -> None:
        """Close its connections."""
        if self._made is not None:
            await self._made.close()


class Post:
    """Tells anybody."""

    def __init__(self, *, functions: Functions, messages: AwsMessages, sinks: Sinks) -> None:
        self._functions = functions
        self._messages = messages
        self._sinks = sinks

    async def deliver(self, delivery: Delivery, outcome: Outcome) -> None:
        """See the port."""
        target, event = read_target(delivery.target), outcome.event
        trace = lineage.passed(event.trace, event.function_uid)
        if isinstance(target, NoTarget):
            raise DeliveryFailed(target.why)
        if delivery.kind == "dead-letter":
            if target.kind not in ("sqs", "sns"):
                raise DeliveryFailed("a dead-letter queue is an SQS queue or an SNS topic")
            attributes = dead_letter_attributes(outcome)
            await self._messages.send(target, event.payload, attributes, trace)
            return
        match target.kind:
            case "lambda":
                await self._functions.send(target, record(outcome), outcome)
            case "http":
                await self._sinks.send(target, record(outcome), outcome)
            case "sqs" | "sns":
                await self._messages.send(target, record(outcome), {}, trace)
