"""A PostgreSQL server for tests: Debian's, installed when it is missing, on a port of its own.

It runs as an unprivileged user (PostgreSQL refuses root) with its data in a folder of the test's,
and listens on loopback, or on an address of this machine that the test cluster's pods can reach.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiserver import free_ports

START_S = 60.0
USER = "nobody"


class Postgres:
    """One server."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self._folder = folder
        self._address = address
        self._programs = programs()
        self.port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(USER).pw_uid, -1)
        self._run("initdb", "-D", str(folder / "data"), "-U", "klambda", "-A", "trust", "-N")
        if address != "127.0.0.1":
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all klambda 0.0.0.0/0 trust\n")

    def fresh_database(self) -> str:
        """Make a database; return its URL."""
        name = f"d{secrets.token_hex(4)}"
        words = ["-h", self._address, "-p", str(self.port), "-U", "klambda", name]
        self._run("createdb", *words)
        return f"postgresql://klambda@{self._address}:{self.port}/{name}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                str(self._programs / "postgres"), "-D", str(self._folder / "data"),
                "-p", str(self.port), "-c", f"listen_addresses={self._address}",
                "-c", f"unix_socket_directories={self._folder}", "-c", "max_connections=50",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder,
            **self._identity(),
        )  # fmt: skip
        deadline = time.monotonic() + START_S
        ready = [str(self._programs / "pg_isready"), "-h", self._address, "-p", str(self.port)]
        while subprocess.run(ready, stdout=subprocess.DEVNULL).returncode:
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it; SIGQUIT is a crash: what was not on the disk is gone."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [str(self._programs / program), *words], check=True, stdout=subprocess.DEVNULL,
            cwd=self._folder, **self._identity(),
        )  # fmt: skip

    def _identity(self) -> dict[str, Any]:
        return {"user": USER} if os.geteuid() == 0 else {}


def programs() -> Path:
    """Debian's programs of the newest version; installs them when root may."""
    if not _found() and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "postgresql"]
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(install, check=True, env=environment, stdout=subprocess.DEVNULL)
    found = _found()
    if not found:
        pytest.skip("no PostgreSQL, and no right to install it")
    return found[-1]


def _found() -> list[Path]:
    return sorted(each.parent for each in Path("/usr/lib/postgresql").glob("*/bin/postgres"))


@contextlib.contextmanager
def running(address: str = "127.0.0.1") -> Iterator[Postgres]:
    """Run a server; not in a folder of pytest's, which every run closes to other users again."""
    with tempfile.TemporaryDirectory(prefix="klambda-postgres-") as folder:
        server = Postgres(Path(folder), address)
        server.start()
        try:
            yield server
        finally:
            server.end(signal.SIGQUIT)
