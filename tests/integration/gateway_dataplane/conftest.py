"""The whole control plane as real processes: API server, operator, store, two gateways, real init.

Only scheduler, ReplicaSet controller and kubelet are stood for (``kubelet``).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest
import uvloop

from klambda_core.kinds import SECRET
from klambda_kube.api import Api
from klambda_kube.config import from_kubeconfig
from tests.integration.gateway_dataplane.kubelet import Kubelet
from tests.integration.gateway_dataplane.raw import Opened
from tests.support.apiserver import ApiServer, free_ports, running_apiserver
from tests.support.compiled import tree_if_compiled
from tests.support.instance_peer import build, go
from tests.support.objectstore import ObjectStore
from tests.support.rights import install_roles

HOME = "klambda"
GATEWAYS = 2
IDLE_S = 4
CONSOLE = "https://console.example.com"
"""An origin whose pages may call the API."""
BOOTSTRAP = """#!{python}
import http.client, json, os, sys
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
from importlib import import_module
module, name = os.environ["_HANDLER"].split(".")
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
handler = getattr(import_module(module), name)
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    request = "/2018-06-01/runtime/invocation/" + answer.headers["Lambda-Runtime-Aws-Request-Id"]
    try:
        path, body = "/response", json.dumps(handler(event, None))
    except Exception as error:
        path = "/error"
        body = json.dumps({{"errorType": type(error).__name__, "errorMessage": str(error)}})
    api.request("POST", request + path, body)
    api.getresponse().read()
"""


RENEWED = "python3.11"
"""A runtime that an upgrade changes, without touching the functions of other tests."""


@dataclass(slots=True, kw_only=True)
class GatewayProcess:
    """One gateway."""

    process: subprocess.Popen[bytes]
    http: int
    admin: int
    frames: int
    log: Path
    environment: dict[str, str]

    def get(self, path: str, port: int | None = None) -> tuple[int, str]:
        url = f"http://127.0.0.1:{port or self.admin}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready(self) -> bool:
        return healthy(self.admin)


@dataclass(slots=True, kw_only=True)
class Part:
    """Store or operator."""

    module: str
    port: int
    """Where it says that it is ready."""
    log: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def upgrade(self, **environment: str) -> None:
        """End it in order, and start it again with other settings."""
        self.process.terminate()
        self.process.wait()
        self.environment |= environment
        self.process = start(self.module, self.environment, self.log)
        wait_for(lambda: healthy(self.port), f"{self.module} is back")

    def kill(self) -> None:
        """End it as a power cut does, and start it again."""
        self.process.kill()
        self.process.wait()
        self.process = start(self.module, self.environment, self.log)
        wait_for(lambda: healthy(self.port), f"{self.module} is back")


@dataclass(slots=True, kw_only=True)
class ControlPlane:
    """What tests use."""

    server: ApiServer
    sqs_port: int
    """Where the gateways look for SQS; who needs it runs a server there."""
    objects: ObjectStore
    """The S3 service that keeps the blobs."""
    gateways: list[GatewayProcess] = field(default_factory=list)
    kubelet: Kubelet | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    """``store`` and ``operator``."""

    def add(self, name: str, port: int, environment: dict[str, str], log: Path) -> None:
        """Start a part."""
        module = f"klambda_{name}"
        process = start(module, environment, log)
        self.parts[name] = Part(
            module=module, port=port, log=log, environment=environment, process=process
        )

    def restart(self, number: int) -> None:
        gateway = self.gateways[number]
        gateway.process = start("klambda_gateway", gateway.environment, gateway.log)
        wait_for(gateway.ready, "the gateway is back")

    def keys(self) -> dict[str, str]:
        """The Secret of the administrator's access key."""
        _, body = self.server.request("GET", SECRET.path(HOME, "klambda-credentials"))
        return {key: base64.b64decode(value).decode() for key, value in body["data"].items()}

    def client(self, gateway: int = 0) -> Any:
        data = self.keys()
        return boto3.client(
            "lambda",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.gateways[gateway].http}",
            aws_access_key_id=data["accessKeyId"],
            aws_secret_access_key=data["secretAccessKey"],
            config=botocore.config.Config(retries={"max_attempts": 0}, max_pool_connections=64),
        )


@pytest.fixture(scope="session")
def init_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if go() is None:
        pytest.skip("no Go tool on this machine")
    source = Path(__file__).parents[3] / "runtimes" / "init"
    return build(source, tmp_path_factory.mktemp("init") / "init")


@pytest.fixture(scope="session")
def control_plane(
    init_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    place = tmp_path_factory.mktemp("control-plane")
    with running_apiserver() as server, ObjectStore() as objects:
        server.create_namespace(HOME)
        install_roles(server)
        *ports, sqs_port = free_ports(3 + 3 * GATEWAYS)
        store_port, operator_port = ports[:2]
        plane = ControlPlane(server=server, sqs_port=sqs_port, objects=objects)
        common = {
            **os.environ,
            "KUBECONFIG": str(server.kubeconfig),
            "KLAMBDA_NAMESPACE": HOME,
            "KLAMBDA_RUNTIMES": json.dumps(
                {"python3.13": {"image": "runtime:test"}, RENEWED: {"image": "runtime:old"}}
            ),
        }
        tree = tree_if_compiled(place / "compiled")
        for number in range(GATEWAYS):
            http, admin, frames = ports[2 + 3 * number : 5 + 3 * number]
            environment = common | {
                "KLAMBDA_POD_NAME": f"gateway-{number}",
                "KLAMBDA_HTTP_PORT": str(http),
                "KLAMBDA_ADMIN_PORT": str(admin),
                "KLAMBDA_INSTANCE_PORT": str(frames),
                "KLAMBDA_STORE_URL": f"http://127.0.0.1:{store_port}",
                # Longer than the waits between tries, which count on one instance.
                "KLAMBDA_IDLE_SECONDS": str(IDLE_S),
                "KLAMBDA_LINGER_SECONDS": "0.5",
                "KLAMBDA_CORS_ORIGINS": CONSOLE,
                # One gateway with each lane: what two clients see must not depend on it.
                "KLAMBDA_FAST_LANE": "on" if number == 0 else "off",
                "KLAMBDA_EVENTS": json.dumps(
                    {
                        "retryWaits": [0.5, 1],
                        "backoffFirst": 0.1,
                        "backoffLongest": 0.5,
                        "sqsEndpoint": f"http://127.0.0.1:{sqs_port}",
                    }
                ),
                "KLAMBDA_DESTINATIONS_ACCESS_KEY_ID": "AKIADESTINATIONS",
                "KLAMBDA_DESTINATIONS_SECRET_ACCESS_KEY": "secret-of-destinations",
            }
            if tree is not None and number == 0:  # the other one is interpreted
                environment |= {"PYTHONPATH": str(tree)}
            log = place / f"gateway-{number}.log"
            process = start("klambda_gateway", environment, log)
            plane.gateways.append(
                GatewayProcess(
                    process=process,
                    http=http,
                    admin=admin,
                    frames=frames,
                    log=log,
                    environment=environment,
                )
            )
        wait_for(lambda: all(each.ready() for each in plane.gateways), "gateways")
        _, body = server.request("GET", SECRET.path(HOME, "klambda-installation"))
        key = base64.b64decode(body["data"]["key"]).decode()
        store = (
            common
            | objects.environ()
            | {
                "KLAMBDA_DATA": str(place / "store"),
                "KLAMBDA_STORE_PORT": str(store_port),
                "KLAMBDA_INSTALLATION_KEY": key,
            }
        )
        plane.add("store", store_port, store, place / "store.log")
        wait_for(lambda: healthy(store_port), "the store")
        operator = common | {
            "KLAMBDA_POD_NAME": "operator-0",
            "KLAMBDA_ADMIN_PORT": str(operator_port),
        }
        plane.add("operator", operator_port, operator, place / "operator.log")
        with kubelet(plane, init_binary):
            try:
                yield plane
            finally:
                processes = [each.process for each in plane.gateways]
                processes += [each.process for each in plane.parts.values()]
                for process in processes:
                    process.kill()  # nobody needs an orderly end; tests of that have their own
                for process in processes:
                    process.wait()


def start(module: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Run a part; its log goes to a file."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", module], env=environment, stdout=out, stderr=out
        )


def healthy(port: int) -> bool:
    """Whether a part says that it is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_for(condition: Any, what: str, limit: float = 90) -> None:
    """Wait until something real has happened."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextlib.contextmanager
def kubelet(plane: ControlPlane, binary: Path) -> Iterator[None]:
    """Run the stand-in in a thread with a loop of its own."""
    begun, stop = threading.Event(), threading.Event()

    async def run() -> None:
        async with Api(from_kubeconfig(plane.server.kubeconfig)) as api:
            addresses = [f"127.0.0.1:{each.frames}" for each in plane.gateways]
            plane.kubelet = Kubelet(api, binary, addresses, BOOTSTRAP.format(python=sys.executable))
            begun.set()
            await plane.kubelet.run(stop.is_set)
            await plane.kubelet.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert begun.wait(60)
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    """Functions behind both lanes, in this process, for conversations byte by byte (``raw``)."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        one = Opened(runner)
        yield one
        one.close()
