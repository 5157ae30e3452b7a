"""init as PID 1 of a pid namespace, which is what it is in a pod. Needs the right to make one."""

from __future__ import annotations

import os
import shutil

import pytest

from .conftest import Launch

PREFIX = ["unshare", "--pid", "--fork", "--mount-proc"]
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="no right to make a pid namespace"
)

HOPPER = """import os, sys, time
def hop():
    while True:
        if os.fork():
            os._exit(0)
def lambda_handler(event, context):
    if event == 'hop':
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                hop()
        time.sleep(100)
    if event == 'orphans':
        for _ in range(20):
            if os.fork() == 0:
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(0.05)
                os._exit(0)
        for _ in range(20):
            os.wait()
        time.sleep(0.3)
    return [os.getppid(), sorted(int(p) for p in os.listdir('/proc') if p.isdigit())]
"""


async def test_it_reaps_every_orphan(launch: Launch) -> None:
    running = await launch(HOPPER, prefix=PREFIX)
    parent, processes = (await running.connection.invoke("orphans")).json
    assert parent == 1
    assert len(processes) == 2, "init and the runtime"


async def test_processes_that_fork_on_and_on_are_ended_all_the_same(launch: Launch) -> None:
    running = await launch(HOPPER, prefix=PREFIX, timeout=1)
    await running.connection.invoke("stay")
    outcome = await running.connection.invoke("hop")
    assert outcome.json["errorType"] == "Sandbox.Timedout"
    assert outcome.end is not None
    _, processes = (await running.connection.invoke("stay")).json
    assert len(processes) == 2


async def test_sigterm_ends_it(launch: Launch) -> None:
    running = await launch(HOPPER, prefix=PREFIX)
    await running.connection.invoke("stay")
    assert await running.init.stop() == 0
