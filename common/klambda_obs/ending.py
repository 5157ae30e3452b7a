"""To be told to end, from a program's first moment on.

The first process of a container does not hear a signal that it has no handler for: a SIGTERM that
comes while a program is still importing is lost, and the pod stays for its whole grace period, 15
minutes for a gateway. So `__main__` calls this before it imports the program, whose own handlers
take its place (`call_when_told`) when there is something to finish. Not here: an orderly end.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def end_when_told() -> None:
    """End at once on SIGTERM or SIGINT, as long as nothing else handles them."""
    for number in SIGNALS:
        signal.signal(number, _end)


def call_when_told(told: Callable[[], None]) -> None:
    """Have the running loop call ``told`` on SIGTERM or SIGINT from now on."""
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, told)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's shape
    os._exit(0)  # nothing is served yet, and an exception could be caught by what is imported
