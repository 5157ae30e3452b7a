"""Gateways and instances of two releases together, as during every upgrade: frames N and N-1.

The former release is the commit before the last one that changed either side of the protocol: its
init is built and its gateway is run, for real.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway_dataplane.conftest import (
    ControlPlane,
    GatewayProcess,
    start,
    wait_for,
)
from tests.integration.gateway_dataplane.test_gateway_process import create, invoke
from tests.support import history
from tests.support.apiserver import free_ports
from tests.support.instance_peer import build

SIDES = ("runtimes/init", "gateway/klambda_gateway/instances")
SOURCE = (
    "import os, time\n"
    "def handler(event, context):\n"
    "    time.sleep(event['s'])\n"
    "    return [event['n'], os.getpid()]\n"
)
LARGE = 200_000
NAMES = itertools.count(1)


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the former release's sources."""
    commit = history.before_last_change(*SIDES)
    if commit is None:
        pytest.skip("this checkout has no history")
    folder = tmp_path_factory.mktemp("former")
    history.extract(commit, folder, "runtimes/init", "common", "gateway")
    return folder


@pytest.fixture
def name(control_plane: ControlPlane) -> Iterator[str]:
    fresh = f"skew-{next(NAMES)}"
    yield fresh
    control_plane.client().delete_function(FunctionName=fresh)


def assert_serves(clients: list[Any], name: str) -> None:
    """Every kind of frame: plain, in pieces both ways, a log tail, a race for the one slot."""
    for number, client in enumerate(clients):
        assert invoke(client, name, {"n": number, "s": 0})[0] == number
        large = "x" * LARGE
        assert invoke(client, name, {"n": large, "s": 0})[0] == large
        answer = client.invoke(FunctionName=name, Payload=b'{"n": 1, "s": 0}', LogType="Tail")
        assert "LogResult" in answer
    with ThreadPoolExecutor(4) as pool:
        events = [{"n": number, "s": 0.005} for number in range(40)]
        turns = zip(itertools.cycle(clients), events, strict=False)
        answers = list(pool.map(lambda turn: invoke(turn[0], name, turn[1])[0], turns))
    assert answers == list(range(40))


def test_an_instance_of_the_former_release_serves_todays_gateways(
    control_plane: ControlPlane, name: str, former: Path, tmp_path: Path
) -> None:
    kubelet = control_plane.kubelet
    assert kubelet is not None
    today, kubelet.binary = kubelet.binary, build(former / "runtimes" / "init", tmp_path / "init")
    try:
        create(control_plane, name, SOURCE)
        assert_serves([control_plane.client(number) for number in (0, 1)], name)
    finally:
        kubelet.binary = today


@pytest.fixture
def former_gateway(
    control_plane: ControlPlane, former: Path, tmp_path: Path
) -> Iterator[GatewayProcess]:
    """Run a gateway of the former release beside today's."""
    http, admin, frames = free_ports(3)
    environment = control_plane.gateways[0].environment | {
        "PYTHONPATH": f"{former / 'common'}:{former / 'gateway'}",
        "KLAMBDA_POD_NAME": "gateway-former",
        "KLAMBDA_HTTP_PORT": str(http),
        "KLAMBDA_ADMIN_PORT": str(admin),
        "KLAMBDA_INSTANCE_PORT": str(frames),
    }
    log = tmp_path / "former.log"
    gateway = GatewayProcess(
        process=start("klambda_gateway", environment, log),
        http=http,
        admin=admin,
        frames=frames,
        log=log,
        environment=environment,
    )
    kubelet = control_plane.kubelet
    assert kubelet is not None
    kubelet.gateways.append(f"127.0.0.1:{frames}")
    control_plane.gateways.append(gateway)
    try:
        wait_for(gateway.ready, "the former gateway")
        yield gateway
    finally:
        control_plane.gateways.remove(gateway)
        kubelet.gateways.remove(f"127.0.0.1:{frames}")
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(30)


def test_todays_instance_serves_a_gateway_of_the_former_release(
    control_plane: ControlPlane, name: str, former_gateway: GatewayProcess
) -> None:
    create(control_plane, name, SOURCE)
    assert "former" in former_gateway.environment["PYTHONPATH"]
    assert_serves([control_plane.client(number) for number in (2, 0, 1)], name)
