"""init as PID 1 of a pid namespace, which is what it is in a pod. Needs the right to make one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.instance_peer import TOKEN, Gateway, Init, archive, assign

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
    running = await launch(HOPPER, prefix=PREFIX, timeout=2)
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


SPY = """#!/bin/sh
cd "$LAMBDA_TASK_ROOT"
try() { "$@" > ../../tmp/out 2>&1 && echo "$1 done;" || echo "$1 denied;"; }
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
while true; do
  curl -s -D ../../tmp/headers "$api/next" > ../../tmp/event
  id=$(grep -i request-id ../../tmp/headers | tr -d '\\r' | cut -d' ' -f2)
  found="$(id -u); $(try cat /proc/1/environ)$(try ls /proc/1/fd)$(try head -c1 /proc/1/mem)"
  found="$found$(try touch own)$(try kill -TERM 1)$(try mkdir ../../opt/x)$(env | grep -c KLAMBDA)"
  curl -s "$api/$id/response" -d "\\"$found\\"" > /dev/null
done
"""


@pytest.fixture
def world_readable() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def for_the_images_user(binary: Path, home: Path) -> Init:
    shutil.copy(binary, home / "binary")
    init = Init(home / "binary", home / "root", "#!/bin/sh\n")
    subprocess.run(["chown", "-R", "993:990", init.root], check=True)
    init.prefix = [*PREFIX, "setpriv", "--reuid=993", "--regid=990", "--clear-groups"]
    return init


async def test_as_the_user_of_the_images_it_is_out_of_reach(
    peer: Gateway, binary: Path, world_readable: Path
) -> None:
    init = for_the_images_user(binary, world_readable)
    await init.start(f"127.0.0.1:{peer.port}")
    connection = await peer.connection()
    assign(connection, archive({"bootstrap": SPY}, 0o755), runtime="provided.al2023")
    outcome = await connection.invoke()
    verdicts = outcome.json.split(";")
    assert [v.strip() for v in verdicts] == [
        "993",
        "cat denied",
        "ls denied",
        "head denied",
        "touch denied",
        "kill denied",
        "mkdir denied",
        "0",
    ]
    assert outcome.end is not None
    assert outcome.end["maxMemoryMb"] > 0
    assert TOKEN not in outcome.tail
    assert await init.stop() == 0
