"""What the tests of init share: the binary, AWS's runtime clients, started instances."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support.instance_peer import (
    ASSIGNED,
    Connection,
    Gateway,
    Init,
    archive,
    assign,
    build,
    gateway,
    go,
)

SOURCE = Path(__file__).parents[3] / "runtimes" / "init"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "klambda"
# With the race detector: every test then fails that makes it speak (init's exit status).
RACE = os.environ.get("KLAMBDA_INIT_RACE") == "1"
PYTHON_RIC = "awslambdaric==4.2.2"
NODE_RIC = "3.3.0"
NODE_PROGRAM = SOURCE.parent / "nodejs22.x" / "index.mjs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave time for the first test to build init and to fetch the clients."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(400))


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one test session at a time fill the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if go() is None:
        pytest.skip("no Go tool on this machine")
    return build(SOURCE, tmp_path_factory.mktemp("init") / "init", race=RACE)


@pytest.fixture(scope="session")
def python_bootstrap() -> str:
    """AWS's Python client, unmodified, from PyPI."""
    home = CACHE / "ric-python"
    with locked("ric-python"):
        if not (home / "bin" / "pip").exists():
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
        if not list(home.glob("lib/*/site-packages/awslambdaric")):
            subprocess.run([home / "bin" / "pip", "install", "-q", PYTHON_RIC], check=True)
    return f'#!/bin/sh\nexec {home}/bin/python -m awslambdaric "$_HANDLER"\n'


@pytest.fixture(scope="session")
def node_bootstrap() -> str:
    """AWS's Node.js client, unmodified, from npm; its install script compiles the native part."""
    home = CACHE / f"ric-node-{NODE_RIC}"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("no Node.js on this machine")
    package = home / "node_modules" / "aws-lambda-ric"
    with locked("ric-node"):
        native = package / "dist" / "rapid-client.node"
        if not native.exists():
            home.mkdir(parents=True, exist_ok=True)
            (home / "package.json").write_text('{"private": true}')
            command = [npm, "install", "--no-audit", "--no-fund", f"aws-lambda-ric@{NODE_RIC}"]
            done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
            if not native.exists():
                pytest.skip(f"the native part cannot be built here: {done.stderr[-300:]}")
        shutil.copy(NODE_PROGRAM, home)
    return f"#!/bin/sh\nexec {node} {home}/index.mjs\n"


@dataclass(slots=True, kw_only=True)
class Running:
    """An instance that has a function."""

    init: Init
    gateway: Gateway
    connection: Connection

    @property
    def pid(self) -> int:
        return self.init.pid

    def path(self, name: str) -> Path:
        return self.init.root / name


class Launch(Protocol):
    """Starts init, assigns a function to it and waits until it is unpacked."""

    def __call__(
        self,
        source: str | dict[str, str | bytes] = ...,
        *,
        bootstrap: str = ...,
        settings: dict[str, str] = ...,
        mode: int = ...,
        prefix: list[str] = ...,
        opt: dict[str, str] = ...,
        **members: Any,
    ) -> Awaitable[Running]: ...


@pytest.fixture
async def peer() -> AsyncIterator[Gateway]:
    async with gateway() as server:
        yield server


@pytest.fixture
async def bare(binary: Path, tmp_path: Path) -> AsyncIterator[Callable[[str], Init]]:
    """Make instances that are stopped after the test."""
    made: list[Init] = []
    numbers = itertools.count()

    def make(bootstrap: str) -> Init:
        made.append(Init(binary, tmp_path / f"instance-{next(numbers)}", bootstrap))
        return made[-1]

    yield make
    for init in made:
        if init.process is not None:
            assert await init.stop() == 0


@pytest.fixture
def launch(peer: Gateway, bare: Callable[[str], Init], python_bootstrap: str) -> Launch:
    async def start(
        source: str | dict[str, str | bytes] = "",
        *,
        bootstrap: str = "",
        settings: dict[str, str] | None = None,
        mode: int = 0o644,
        prefix: list[str] | None = None,
        opt: dict[str, str] | None = None,
        **members: Any,
    ) -> Running:
        init = bare(bootstrap or python_bootstrap)
        init.prefix = prefix or []
        for name, text in (opt or {}).items():  # what layers would have brought
            path = init.root / "opt" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        await init.start(f"127.0.0.1:{peer.port}", **(settings or {}))
        connection = await peer.connection()
        files = {"lambda_function.py": source} if isinstance(source, str) else source
        assign(connection, archive(files, mode), **members)
        await connection.expect(ASSIGNED)
        return Running(init=init, gateway=peer, connection=connection)

    return start
