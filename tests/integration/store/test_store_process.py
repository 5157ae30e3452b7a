"""The store as a process: killed in mid-upload, on a full disk, asked to stop, without memory."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from klambda_core.tickets import ticket
from tests.support.apiserver import running_apiserver
from tests.support.store import KEY, Process

Start = Callable[..., Process]


def blob(body: bytes) -> str:
    return f"/v1/blobs/default/{hashlib.sha256(body).hexdigest()}"


def stored(data: Path) -> list[Path]:
    return [path for path in (data / "blobs").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_killed_at_random_moments_it_never_holds_half_a_blob(start: Start, tmp_path: Path) -> None:
    chance = random.Random(20261121)
    acknowledged: set[str] = set()
    for _ in range(8):
        store = start(tmp_path)
        store.wait()
        killer = threading.Timer(chance.uniform(0.02, 0.4), store.process.kill)
        killer.start()
        for _ in range(200):
            body = chance.randbytes(chance.choice([10, 400_000, 4_000_000]))
            try:
                status, _answer = store.call("PUT", blob(body), body)
            except (OSError, http.client.HTTPException):
                break
            assert status == 201
            acknowledged.add(blob(body))
        killer.join()
        store.process.wait(10)
        for path in stored(tmp_path):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    store = start(tmp_path)
    store.wait()
    assert list((tmp_path / "incoming").iterdir()) == []
    assert acknowledged
    for known in acknowledged:
        assert store.call("GET", known)[0] == 200, "what was acknowledged survived"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small volume")
def test_a_full_disk(start: Start, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(volume)], check=True
    )  # fmt: skip
    try:
        store = start(volume)
        store.wait()
        first, large, last = b"first", os.urandom(3_000_000), os.urandom(500_000)
        assert store.call("PUT", blob(first), first)[0] == 201
        status, answer = store.call("PUT", blob(large), large)
        assert (status, b"NoSpace" in answer) == (507, True)
        assert store.call("GET", blob(large))[0] == 404
        assert store.call("GET", blob(first)) == (200, first), "it goes on serving"
        assert store.call("PUT", blob(last), last)[0] == 201, "its space was freed"
        assert store.end() == 0
    finally:
        subprocess.run(["umount", str(volume)], check=True)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refuses(store: Process) -> bool:
    """Whether nobody listens any more."""
    connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=5)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return True
    finally:
        connection.close()
    return False


def test_asked_to_stop_it_finishes_what_it_is_doing(start: Start, tmp_path: Path) -> None:
    store = start(tmp_path)
    store.wait()
    body = os.urandom(2_000_000)
    path = blob(body)
    connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=20)
    connection.putrequest("PUT", f"{path}?{ticket(KEY, 'PUT', path, now=time.time())}")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:1_000_000])
    until(lambda: any((tmp_path / "incoming").iterdir()))
    store.process.send_signal(signal.SIGTERM)
    until(lambda: refuses(store))
    connection.send(body[1_000_000:])
    answer = connection.getresponse()
    assert answer.status == 201
    answer.read()
    connection.close()
    assert store.process.wait(60) == 0
    assert [file.name for file in stored(tmp_path)] == [path.rpartition("/")[2]]


async def test_memory_does_not_grow_with_the_blobs(start: Start, tmp_path: Path) -> None:
    store = start(tmp_path)
    store.wait()
    before = store.peak_memory()
    body = os.urandom(1024) * 1024 * 40  # 40 MiB
    path = blob(body)
    calls = [asyncio.to_thread(store.call, "PUT", path, body) for _ in range(4)]
    assert {status for status, _ in await asyncio.gather(*calls)} <= {200, 201}
    reads = [asyncio.to_thread(store.call, "GET", path) for _ in range(4)]
    for status, answer in await asyncio.gather(*reads):
        assert status == 200
        assert answer == body
    assert store.peak_memory() - before < 24 * 1024 * 1024


def test_it_waits_for_the_secret_and_then_serves(start: Start, tmp_path: Path) -> None:
    with running_apiserver(crds=[]) as server:
        server.create_namespace("klambda")
        store = start(
            tmp_path,
            KLAMBDA_INSTALLATION_KEY="",
            KLAMBDA_NAMESPACE="klambda",
            KUBECONFIG=str(server.kubeconfig),
        )
        store.wait("/healthz")
        store.wait("/readyz", status=503)
        secret = {"metadata": {"name": "klambda-installation"}, "stringData": {"key": KEY}}
        assert server.request("POST", "/api/v1/namespaces/klambda/secrets", secret)[0] == 201
        store.wait("/readyz")
        assert store.call("PUT", blob(b"x"), b"x")[0] == 201
        assert store.end() == 0


def test_a_broken_secret_ends_it_with_a_message(start: Start, tmp_path: Path) -> None:
    with running_apiserver(crds=[]) as server:
        server.create_namespace("klambda")
        secret = {"metadata": {"name": "klambda-installation"}, "stringData": {"key": "short"}}
        assert server.request("POST", "/api/v1/namespaces/klambda/secrets", secret)[0] == 201
        store = start(
            tmp_path,
            KLAMBDA_INSTALLATION_KEY="",
            KLAMBDA_NAMESPACE="klambda",
            KUBECONFIG=str(server.kubeconfig),
        )
        assert store.process.wait(60) != 0
