"""Freed memory stays with the process, up to a bound."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from klambda_gateway.heap import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        pieces = [bytes(1 << 18) for _ in range(24)]
        whole = b"".join(pieces)
        del pieces, whole
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_bodies_that_come_and_go_are_faulted_in_once() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert int(told.stdout) < 20 * 3072 / 4, "pages of 20 bodies of 12 MB, held twice"
