"""Request ids: random UUIDs, for a tenth of what ``uuid.uuid4`` costs.

Place: every request gets one, which its log lines and its answer carry. Invariants: version 4,
variant 1 (RFC 9562), from the kernel's generator; bytes are drawn for many ids at once, and a
process that was forked must draw anew (gateways do not fork).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Final

BATCH: Final = 256
_VARIANT: Final = "89ab"


def request_ids(draw: Callable[[int], bytes] = os.urandom) -> Callable[[], str]:
    """Return a source of ids."""
    return _ids(draw).__next__


def _ids(draw: Callable[[int], bytes]) -> Iterator[str]:
    while True:
        text = draw(16 * BATCH).hex()
        for at in range(0, len(text), 32):
            digits = text[at : at + 32]
            variant = _VARIANT[int(digits[16], 16) & 3]
            yield (
                f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-"
                f"{variant}{digits[17:20]}-{digits[20:]}"
            )
