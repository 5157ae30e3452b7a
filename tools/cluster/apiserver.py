"""A real etcd and kube-apiserver alone, for integration tests: four seconds, no privileges.

    with running_apiserver() as server:
        server.url, server.token, server.ca, server.kubeconfig

Everything lies in a temporary folder and listens on loopback ports that were free. There is no
controller-manager: nothing makes service accounts, collects garbage, or finishes the deletion of a
namespace (give every test a namespace of its own name instead). Both processes die with the
thread that started them, also when that is killed (`setpriv --pdeathsig`).
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.cluster import control_plane, pki, programs
from tools.cluster.layout import REPOSITORY, Layout
from tools.cluster.steps import Steps

CRDS = REPOSITORY / "crds"
STOP_SECONDS = 10.0
ESTABLISH_SECONDS = 30.0
TEST_PORTS = (10_240, 30_000)
"""Below node ports (30000) and below the ports of outgoing connections (32768)."""


@dataclass(slots=True, kw_only=True)
class ApiServer:
    """A running API server; `stop` and `start` make it go away and come back on the same port."""

    folder: Path
    programs: Path
    etcd: control_plane.EtcdSettings
    settings: control_plane.ApiServerSettings
    kubeconfig: Path
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it listens: `https://127.0.0.1:<port>`."""
        return self.settings.url

    @property
    def host(self) -> str:
        """The address part of `url`."""
        return self.settings.advertise

    @property
    def port(self) -> int:
        """The port part of `url`."""
        return self.settings.port

    @property
    def token(self) -> str:
        """A bearer token in `system:masters`."""
        return self.settings.pki.token(control_plane.ADMIN.user)

    @property
    def ca(self) -> Path:
        """The CA's certificate."""
        return self.settings.pki.ca

    def ssl_context(self) -> ssl.SSLContext:
        """Return a client context that trusts this server."""
        return ssl.create_default_context(cafile=str(self.ca))

    def start(self) -> None:
        """Start what is not running and wait until the server is ready."""
        etcd = control_plane.etcd_command(self.programs / "etcd", self.etcd)
        self._spawn("etcd", etcd)
        server = control_plane.apiserver_command(self.programs / "kube-apiserver", self.settings)
        process = self._spawn("kube-apiserver", server)
        try:
            control_plane.wait_ready(self.settings, alive=lambda: process.poll() is None)
        except (TimeoutError, ChildProcessError) as error:
            raise RuntimeError(f"{error}\n{self.log('kube-apiserver')[-2000:]}") from error

    def stop(self, name: str = "kube-apiserver") -> None:
        """End one of the two processes; etcd keeps the objects until `close`."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End both; killed, not asked: nobody needs an orderly end of a temporary folder."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._processes.clear()

    def log(self, name: str) -> str:
        """Return what `etcd` or `kube-apiserver` wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def request(
        self,
        method: str,
        path: str,
        body: object | None = None,
        content_type: str = "application/json",
    ) -> tuple[int, Any]:
        """Make one plain request as administrator: (status, decoded JSON)."""
        connection = http.client.HTTPSConnection(
            self.host, self.port, context=self.ssl_context(), timeout=30
        )
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode(errors="replace")

    def create_namespace(self, name: str) -> str:
        """Create a namespace (there may be one already) and return its name."""
        status, answer = self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        if status not in {201, 409}:
            raise RuntimeError(f"namespace {name}: {status} {answer}")
        return name

    def apply_crds(self, files: Sequence[Path]) -> None:
        """Apply CustomResourceDefinitions and wait until they are served."""
        documents = [each for file in files for each in yaml.safe_load_all(file.read_text())]
        for path in [self._apply_crd(each) for each in documents if each]:
            self._wait_established(path)

    def _apply_crd(self, document: dict[str, Any]) -> str:
        base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        path = f"{base}/{document['metadata']['name']}"
        status, answer = self.request(
            "PATCH",
            f"{path}?fieldManager=tests&force=true",
            document,
            content_type="application/apply-patch+yaml",
        )
        if status not in {200, 201}:
            raise RuntimeError(f"{path}: {status} {answer}")
        return path

    def _wait_established(self, path: str) -> None:
        deadline = time.monotonic() + ESTABLISH_SECONDS
        while time.monotonic() < deadline:
            _, definition = self.request("GET", path)
            conditions = definition.get("status", {}).get("conditions", [])
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                spec = definition["spec"]
                group, version = spec["group"], spec["versions"][0]["name"]
                status, _ = self.request(
                    "GET", f"/apis/{group}/{version}/{spec['names']['plural']}?limit=1"
                )
                if status == 200:  # Established comes a moment before it is served
                    return
            time.sleep(0.05)
        raise TimeoutError(f"{path} is not established")

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        running = self._processes.get(name)
        if running is not None and running.poll() is None:
            return running
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        self._processes[name] = process
        return process


@contextlib.contextmanager
def running_apiserver(
    *, crds: Sequence[Path] | None = None, folder: Path | None = None
) -> Iterator[ApiServer]:
    """Run an API server; `crds` are files to apply (default: all of `crds/*.yaml`)."""
    binaries = ensure_programs()
    own = folder is None
    where = Path(tempfile.mkdtemp(prefix="klambda-apiserver-")) if folder is None else folder
    where.mkdir(parents=True, exist_ok=True)
    server = prepare(where, binaries)
    try:
        server.start()
        server.apply_crds(sorted(CRDS.glob("*.yaml")) if crds is None else crds)
        yield server
    finally:
        server.close()
        if own:
            shutil.rmtree(where, ignore_errors=True)


def prepare(folder: Path, binaries: Path) -> ApiServer:
    """Make keys, choose ports and write the kubeconfig; nothing runs yet."""
    ports = free_ports(3)
    keys = pki.create(
        folder / "pki",
        addresses=["127.0.0.1", control_plane.FIRST_SERVICE_ADDRESS],
        identities=[control_plane.ADMIN],
        now=datetime.datetime.now(datetime.UTC),
    )
    etcd = control_plane.EtcdSettings(
        folder=folder / "etcd", client_port=ports[0], peer_port=ports[1]
    )
    settings = control_plane.ApiServerSettings(
        etcd_url=etcd.url,
        bind="127.0.0.1",
        advertise="127.0.0.1",
        port=ports[2],
        pki=keys,
        kubelets=False,
    )
    kubeconfig = folder / "kubeconfig"
    pki.write_private(
        kubeconfig,
        control_plane.kubeconfig(url=settings.url, pki=keys, user=control_plane.ADMIN.user),
    )
    return ApiServer(
        folder=folder, programs=binaries, etcd=etcd, settings=settings, kubeconfig=kubeconfig
    )


def ensure_programs() -> Path:
    """Build the Kubernetes programs when the cache lacks them; return their folder."""
    layout = Layout.of(os.environ)
    steps = Steps(out=sys.stderr, logs=layout.logs, environment=dict)
    programs.ensure(layout, steps, programs.API_SERVER)
    return layout.bin


def free_ports(count: int) -> list[int]:
    """Return TCP ports of loopback that were free a moment ago, all different.

    They lie below those that the kernel hands out, so that no outgoing connection takes one before
    its server does, and are drawn by chance, so that test runs side by side do not meet.
    """
    chance = random.SystemRandom()
    ports: list[int] = []
    while len(ports) < count:
        port = chance.randrange(*TEST_PORTS)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports
