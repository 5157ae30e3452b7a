"""An HTTP sink as a destination: CloudEvents 1.0 in binary mode, AWS's record as the body.

Ours, beyond AWS. Only below the addresses that the installation allows: the gateway reaches what a
function may not. Any 2xx is an acknowledgement; redirects are not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import aiohttp

from klambda_gateway.events.deliver.port import DeliveryFailed
from klambda_gateway.events.deliver.targets import Target, allowed
from klambda_gateway.events.envelope import Outcome, cloud_event_headers

ANSWER_S: Final = 10.0


class Sinks:
    """Tells HTTP sinks."""

    def __init__(
        self, session: Callable[[], aiohttp.ClientSession], *, prefixes: Sequence[str]
    ) -> None:
        self._session = session
        self._prefixes = tuple(prefixes)

    async def send(self, target: Target, body: bytes, outcome: Outcome) -> None:
        """Post. Raises DeliveryFailed."""
        if not allowed(target.text, self._prefixes):
            raise DeliveryFailed("this installation does not allow this address")
        limit = aiohttp.ClientTimeout(total=ANSWER_S)
        try:
            async with self._session().post(
                target.text,
                data=body,
                headers=cloud_event_headers(outcome),
                timeout=limit,
                allow_redirects=False,
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise DeliveryFailed(f"{type(error).__name__} {error}") from error
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise DeliveryFailed(f"the sink answered {status}")
