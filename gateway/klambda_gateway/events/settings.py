"""How this installation treats asynchronous events: one JSON document of the environment.

Place: ``klambda_gateway.settings`` reads ``KLAMBDA_EVENTS`` (the chart's ``events``) and the keys
for other services beside it. Pure. Invariants: an unknown or impossible member is a ValueError that
names it; what is left out is Lambda's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from klambda_core.signer import Credentials
from klambda_gateway.events.policy import Waits

MEMBERS = frozenset(
    {
        *("retryWaits", "backoffFirst", "backoffLongest", "deliveryAttempts"),
        *("sqsEndpoint", "snsEndpoint", "httpPrefixes"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """All of it."""

    waits: Waits = field(default_factory=Waits)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Of ``sqs`` and ``sns``."""
    http_prefixes: tuple[str, ...] = ()
    keys: Credentials | None = None


def event_settings(document: Mapping[str, Any], keys: Credentials | None) -> EventSettings:
    """Read the document; ``keys`` are for other services. Raises ValueError."""
    if unknown := set(document) - MEMBERS:
        raise ValueError(f"unknown members: {', '.join(sorted(unknown))}")
    basis = Waits()
    endpoints = {
        service: str(document[f"{service}Endpoint"])
        for service in ("sqs", "sns")
        if document.get(f"{service}Endpoint")
    }
    waits = Waits(
        retries=tuple(_seconds(each) for each in document.get("retryWaits", basis.retries)),
        backoff_first=_seconds(document.get("backoffFirst", basis.backoff_first)),
        backoff_longest=_seconds(document.get("backoffLongest", basis.backoff_longest)),
        deliveries=int(document.get("deliveryAttempts", basis.deliveries)),
    )
    if not waits.retries or waits.deliveries < 1:
        raise ValueError("retryWaits must not be empty, deliveryAttempts be at least 1")
    return EventSettings(
        waits=waits,
        endpoints=endpoints,
        http_prefixes=tuple(str(each) for each in document.get("httpPrefixes", ())),
        keys=keys if keys is not None and keys.access_key_id and keys.secret_access_key else None,
    )


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds <= 21_600:
        raise ValueError(f"{value!r} is not between 0 and 21600 seconds")
    return seconds
