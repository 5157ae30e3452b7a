"""`python -m tools.cluster <verb>`: the verbs behind the Makefile.

This module only reads the command line; each verb is a function of the module that does it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from tools.cluster import apiserver, packages, programs, up
from tools.cluster.layout import Layout
from tools.cluster.steps import StepFailed, Steps
from tools.compiled.build import NotCompiled, ensure, find

Verb = Callable[[Layout, Steps], None]


def run_apiserver(layout: Layout, steps: Steps) -> None:
    """Run etcd and kube-apiserver alone until interrupted."""
    del layout
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with apiserver.running_apiserver() as server:
        steps.say(f"API server on {server.url}\nexport KUBECONFIG={server.kubeconfig}")
        stop.wait()


def build_programs(layout: Layout, steps: Steps) -> None:
    """Build every program of the native cluster into the cache."""
    programs.ensure(layout, steps, programs.NATIVE)


def install_for_tests(layout: Layout, steps: Steps) -> None:
    """Have the compilers of the tests' own functions, and the hot modules compiled."""
    packages.ensure(steps, packages.TESTS)
    if find(layout.repository, layout.cache) is not None:
        return
    with steps.step(
        "compile the gateway's hot modules",
        log="compiled",
        remedy="the tests of the compiled modules say what is wrong",
    ) as step:
        try:
            ensure(layout.repository, layout.cache)
        except NotCompiled as error:
            step.note = f"NOT COMPILED, they are tested interpreted only: {error}"


VERBS: dict[str, Verb] = {
    "apiserver": run_apiserver,
    "binaries": build_programs,
    "demo": up.run_demo,
    "down": up.down,
    "images": up.images,
    "status": up.status,
    "test-packages": install_for_tests,
    "up": up.up,
}


UNLOCKED = {"apiserver", "status"}  # everything else changes the cluster or the cache


@contextlib.contextmanager
def alone(layout: Layout, steps: Steps) -> Iterator[None]:
    """Wait until no other run changes the same things."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    with (layout.cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            steps.say("another run is at work: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str]) -> int:
    """Run one verb; 0 done, 1 a step failed (it has said so)."""
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    parser.add_argument("verb", choices=sorted(VERBS))
    chosen = parser.parse_args(arguments)
    layout = Layout.of(os.environ)
    steps = Steps(
        out=sys.stdout, logs=layout.logs, environment=lambda: {"PATH": layout.search_path()}
    )
    guard = contextlib.nullcontext() if chosen.verb in UNLOCKED else alone(layout, steps)
    try:
        with guard:
            VERBS[chosen.verb](layout, steps)
    except StepFailed:
        return 1
    except KeyboardInterrupt:
        steps.say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
