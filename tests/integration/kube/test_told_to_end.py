"""Programs that are told to end before they have begun: who is PID 1 must listen from the start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STARTED_S = 60.0


def listens(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has a handler for SIGTERM; PID 1 of a container hears nothing else."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [caught] = [line for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("module", ["klambda_gateway", "klambda_operator", "klambda_store"])
def test_a_program_that_still_imports_ends_when_told(module: str, tmp_path: Path) -> None:
    (tmp_path / "aiohttp.py").write_text("import time\ntime.sleep(3600)\n")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with subprocess.Popen([sys.executable, "-m", module], env=environment) as process:
        try:
            deadline = time.monotonic() + STARTED_S
            while not listens(process):
                assert process.poll() is None
                assert time.monotonic() < deadline, "it does not listen"
                time.sleep(0.05)
            process.terminate()
            assert process.wait(STARTED_S) == 0
        finally:
            process.kill()
