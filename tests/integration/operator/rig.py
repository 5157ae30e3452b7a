"""A running operator process against a real API server, and the hands that users have."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from klambda_core.kinds import DEPLOYMENT, FUNCTION, NAMESPACE, Kind
from tests.support.apiserver import ApiServer, free_ports

T = TypeVar("T")

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
RUNTIMES = {"python3.13": {"image": "klambda/python3.13:test"}}
SHA = "a" * 64
SPEC: dict[str, Any] = {
    "runtime": "python3.13",
    "handler": "a.b",
    "code": {"blob": {"sha256": SHA, "size": 12}},
}
OWN_NAMESPACE = "klambda-system"


class Hands:
    """kubectl's verbs in one namespace."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        server.create_namespace(namespace)

    def get(self, kind: Kind, name: str) -> dict[str, Any] | None:
        status, body = self.server.request("GET", kind.path(self.namespace, name))
        return body if status == 200 else None

    def list(self, kind: Kind) -> list[dict[str, Any]]:
        status, body = self.server.request("GET", kind.path(self.namespace))
        assert status == 200, body
        items: list[dict[str, Any]] = body["items"]
        return items

    def create(self, kind: Kind, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return self.post(kind, {"metadata": {"name": name}, "spec": spec})

    def post(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        full = {"apiVersion": kind.api_version, "kind": kind.kind} | body
        status, made = self.server.request("POST", kind.path(self.namespace), full)
        assert status == 201, made
        return dict(made)

    def function(self, name: str = "area", **spec: Any) -> dict[str, Any]:
        merged = {key: value for key, value in (SPEC | spec).items() if value is not None}
        return self.create(FUNCTION, name, merged)

    def patch(
        self, kind: Kind, name: str, patch: dict[str, Any], manager: str = "kubectl-edit"
    ) -> dict[str, Any]:
        path = f"{kind.path(self.namespace, name)}?fieldManager={manager}"
        status, body = self.server.request("PATCH", path, patch, MERGE)
        assert status == 200, body
        return dict(body)

    def scale(self, deployment: str, replicas: int) -> None:
        """As the gateway does it."""
        path = f"{DEPLOYMENT.path(self.namespace, deployment)}/scale?fieldManager=klambda-gateway"
        status, body = self.server.request("PATCH", path, {"spec": {"replicas": replicas}}, MERGE)
        assert status == 200, body

    def report(self, deployment: str, replicas: int) -> None:
        """What the Deployment controller would report."""
        path = f"{DEPLOYMENT.path(self.namespace, deployment)}/status"
        status, body = self.server.request("PATCH", path, {"status": {"replicas": replicas}}, MERGE)
        assert status == 200, body

    def delete(self, kind: Kind, name: str) -> None:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        status, answer = self.server.request("DELETE", kind.path(self.namespace, name), body)
        assert status in {200, 404}, answer

    def ready(self, name: str = "area", kind: Kind = FUNCTION) -> dict[str, Any]:
        """The object once Ready speaks of its generation and is True."""
        return self.condition("Ready", "True", name, kind)

    def condition(
        self, condition: str, status: str, name: str = "area", kind: Kind = FUNCTION
    ) -> dict[str, Any]:
        def probe() -> dict[str, Any] | None:
            body = self.get(kind, name) or {}
            for each in body.get("status", {}).get("conditions", []):
                current = each["observedGeneration"] == body["metadata"]["generation"]
                if (each["type"], each["status"]) == (condition, status) and current:
                    return body
            return None

        return wait(probe, f"{name}: {condition}={status}")

    def deployments(self) -> set[str]:
        return {each["metadata"]["name"] for each in self.list(DEPLOYMENT)}


def condition_of(body: dict[str, Any], kind: str) -> dict[str, Any]:
    """A condition of an object's JSON."""
    (found,) = (c for c in body["status"]["conditions"] if c["type"] == kind)
    return dict(found)


def active(body: dict[str, Any]) -> str:
    """The Deployment that serves."""
    return str(body["status"]["active"]["deployment"])


def wait(probe: Callable[[], T | None], what: str, timeout: float = 60.0) -> T:
    """Poll until the probe gives something true."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout:.0f} s: {what}")


class OperatorProcess:
    """`python -m klambda_operator` as the chart runs it."""

    def __init__(self, server: ApiServer, log: Path, **environment: str) -> None:
        (self.port,) = free_ports(1)
        self._log = log
        self._environment = os.environ | {
            "KUBECONFIG": str(server.kubeconfig),
            "KLAMBDA_NAMESPACE": OWN_NAMESPACE,
            "KLAMBDA_POD_NAME": f"operator-{self.port}",
            "KLAMBDA_ADMIN_PORT": str(self.port),
            "KLAMBDA_RUNTIMES": json.dumps(RUNTIMES),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "klambda_operator"],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait(self._leads, "the operator leads")

    def kill(self) -> None:
        """As a node that loses power."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As the kubelet asks; returns the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.process = None
        return status

    def outlived(self, seconds: float) -> int | None:
        """None when the process still runs after that time, else its exit status."""
        assert self.process is not None
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def metrics(self) -> dict[str, float]:
        lines = self.read("/metrics").splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def read(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def rest(self, timeout: float = 60.0) -> None:
        """Wait until nothing waits and nothing is being worked on, twice in a row."""

        def idle() -> bool:
            for _ in range(2):
                found = self.metrics()
                # Absent until the operator has listed everything.
                depth = found.get("klambda_operator_queue_depth", 1)
                if depth or found.get("klambda_operator_workers_busy", 1):
                    return False
                time.sleep(0.05)
            return True

        wait(idle, "the operator rests", timeout)

    def _leads(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._log.read_text()[-3000:]
        try:
            return self.metrics().get("klambda_operator_leading") == 1.0
        except OSError:
            return False


def forget_lease(server: ApiServer) -> None:
    """After a kill: the next operator need not wait for the lease to run out."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{OWN_NAMESPACE}/leases/klambda-operator"
    server.request("DELETE", path)


def set_account(server: ApiServer, namespace: str, account: str) -> None:
    """Annotate a namespace with its account."""
    patch = {"metadata": {"annotations": {"klambda.io/account-id": account}}}
    server.request("PATCH", NAMESPACE.path(None, namespace), patch, MERGE)
