"""How outcomes are told, as ``story`` sees it.

S3, EventBridge and NATS come as further deliverers behind ``targets``.
"""

from __future__ import annotations

from typing import Protocol

from klambda_core.events import Delivery
from klambda_gateway.events.envelope import Outcome


class DeliveryFailed(Exception):
    """It was not told; another try may help."""


class Deliverer(Protocol):
    """Who tells."""

    async def deliver(self, delivery: Delivery, outcome: Outcome) -> None:
        """Tell once. Raises DeliveryFailed."""
        ...
