"""The store as a process, for tests."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from klambda_core.tickets import ticket
from tests.support.apiserver import free_ports

KEY = "ab" * 32


class Process:
    """`python -m klambda_store`."""

    def __init__(self, data: Path, port: int = 0, **environ: str) -> None:
        self.port = port or free_ports(1)[0]
        environment = {
            "PATH": os.environ["PATH"],
            "KLAMBDA_DATA": str(data),
            "KLAMBDA_STORE_PORT": str(self.port),
            "KLAMBDA_INSTALLATION_KEY": KEY,
            **environ,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "klambda_store"], env=environment, stdout=subprocess.DEVNULL
        )

    def wait(self, path: str = "/readyz", status: int = 200) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self.call("GET", path)[0] == status:
                    return
            time.sleep(0.05)
        raise TimeoutError(path)

    def call(
        self, method: str, path: str, body: bytes | None = None, *, sign_as: str = ""
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            signed = ticket(KEY, sign_as or method, path, now=time.time())
            connection.request(method, f"{path}?{signed}", body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)

    def peak_memory(self) -> int:
        """Bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) * 1024
