"""How the C heap keeps memory that was freed: a gateway's large bodies come and go all the time.

By default glibc takes each large block from the kernel and gives it back, so that every body's
pages are faulted in and zeroed anew: a third of the CPU of a 6 MB request. Place: ``process`` sets
it before anything is served. Invariant: what is kept although it is free is bounded. Elsewhere
than on glibc nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

KEPT: Final = 32 << 20
"""Bytes at the heap's end: a request of 6 MB needs 12, event and answer."""
LARGEST: Final = 16 << 20
"""Larger blocks come from the kernel, each by itself; no body is as large."""
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Names of malloc.h."""


def keep_freed_memory() -> bool:
    """Let the heap keep what is freed, up to ``KEPT``; False where there is no such setting."""
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_TRIM_THRESHOLD, KEPT) and mallopt(_MMAP_THRESHOLD, LARGEST))
    return False
