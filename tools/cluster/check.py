"""`make test` and `make test-full`: everything there is to check, in order, with its time.

A failed check does not hide the next one, except that end-to-end tests need the cluster. The last
lines are pytest's own unless something before it failed.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tools.cluster.layout import REPOSITORY, Layout
from tools.cluster.toolchain import fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One verb of the Makefile, and the checks it cannot do without."""

    verb: str
    needs: tuple[str, ...] = ()


CHECKS = (
    Check(verb="binaries"),  # first: pytest would build them in silence
    Check(verb="lint"),
    Check(verb="type"),
    Check(verb="unit"),
    Check(verb="integration", needs=("binaries",)),
    Check(verb="up"),
    Check(verb="e2e", needs=("up",)),
)
LONG = Check(verb="full", needs=("up",))
TESTED_RUNTIMES = "java21"
"""What `make test` builds beside the default ones; the long tests want all."""


def run(checks: Sequence[Check], do: Callable[[str], bool], say: Callable[[str], None]) -> bool:
    """Run the checks; return whether all succeeded."""
    failed: list[str] = []
    begin = time.monotonic()
    for number, check in enumerate(checks, start=1):
        blocked = [need for need in check.needs if need in failed]
        if blocked:
            say(f"{check.verb}: left out, {', '.join(blocked)} failed")
            failed.append(check.verb)
            continue
        say(f"[{number}/{len(checks)}] make {check.verb}")
        start = time.monotonic()
        if do(check.verb):
            outcome = "passed"
        else:
            outcome = "FAILED"
            failed.append(check.verb)
        if number < len(checks) or failed:
            now = time.monotonic()
            say(f"{check.verb}: {outcome} ({now - start:.0f} s, {now - begin:.0f} s in all)")
    if failed:
        say(f"FAILED: {', '.join(failed)}")
    return not failed


def make(verb: str, *, runtimes: str) -> bool:
    """Run one verb, with our programs and a fetched Go (init's tests want one) in PATH."""
    layout = Layout.of(os.environ)
    path = os.pathsep.join([layout.search_path(), str(fetched(layout).parent)])
    environment = {**os.environ, "RUNTIMES": runtimes, "PATH": path}
    done = subprocess.run(["make", verb], cwd=REPOSITORY, env=environment, check=False)
    return done.returncode == 0


def main() -> int:
    """Run all checks; with `--full` the long tests too."""
    full = "--full" in sys.argv[1:]
    # make exports it empty when nobody says it
    runtimes = os.environ.get("RUNTIMES") or ("all" if full else TESTED_RUNTIMES)
    checks = (*CHECKS, LONG) if full else CHECKS
    do = functools.partial(make, runtimes=runtimes)
    passed = run(checks, do, lambda text: print(f"== {text}", flush=True))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
