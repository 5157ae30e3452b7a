"""The command lines of etcd and kube-apiserver, and how to see that they are up.

Pure but for `wait_ready`. Used by the native node and by the API server that integration tests
run alone; what differs between the two is in `ApiServerSettings`.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.cluster.pki import Identity, Pki

ADMIN = Identity(user="klambda-admin", groups=("system:masters",))
SERVICE_RANGE = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"  # the Service `kubernetes`
NODE_PORTS = "30000-32767"
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSettings:
    """Where etcd keeps its data and listens (loopback only)."""

    folder: Path
    client_port: int
    peer_port: int

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.client_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServerSettings:
    """What distinguishes one API server from another."""

    etcd_url: str
    bind: str
    advertise: str
    port: int
    pki: Pki
    kubelets: bool = True

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"https://{self.advertise}:{self.port}"


def etcd_command(program: Path, settings: EtcdSettings) -> list[str]:
    """Return etcd's command line: one member, no fsync (a test cluster's data may be lost)."""
    peer = f"http://127.0.0.1:{settings.peer_port}"
    return [
        str(program),
        "--name=klambda",
        f"--data-dir={settings.folder}",
        f"--listen-client-urls={settings.url}",
        f"--advertise-client-urls={settings.url}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=klambda={peer}",
        "--unsafe-no-fsync",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        "--quota-backend-bytes=4294967296",
        "--log-level=warn",
    ]


def apiserver_command(program: Path, settings: ApiServerSettings) -> list[str]:
    """Return kube-apiserver's command line."""
    pki = settings.pki
    command = [
        str(program),
        f"--etcd-servers={settings.etcd_url}",
        f"--bind-address={settings.bind}",
        f"--advertise-address={settings.advertise}",
        f"--secure-port={settings.port}",
        f"--tls-cert-file={pki.certificate('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        f"--client-ca-file={pki.ca}",
        f"--token-auth-file={pki.tokens}",
        "--authorization-mode=Node,RBAC",
        "--anonymous-auth=true",
        "--allow-privileged=true",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--service-node-port-range={NODE_PORTS}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-signing-key-file={pki.account_key}",
        f"--service-account-key-file={pki.account_public_key}",
        "--profiling=false",
        "--v=0",
    ]
    if settings.kubelets:
        command += [
            # No front proxy is used; the controllers ask for its CA all the time.
            f"--requestheader-client-ca-file={pki.ca}",
            "--requestheader-allowed-names=front-proxy-client",
            f"--kubelet-client-certificate={pki.certificate('apiserver-kubelet')}",
            f"--kubelet-client-key={pki.key('apiserver-kubelet')}",
            "--kubelet-preferred-address-types=InternalIP",
        ]
    else:  # nobody makes service accounts or endpoints when it runs alone
        command += [
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
        ]
    return command


def kubeconfig(*, url: str, pki: Pki, user: str, context: str = "klambda") -> str:
    """Return a kubeconfig for one user, with the CA inside."""
    return yaml.safe_dump(kubeconfig_object(url=url, pki=pki, user=user, context=context))


def kubeconfig_object(*, url: str, pki: Pki, user: str, context: str) -> Mapping[str, object]:
    """Return the same as plain data."""
    authority = base64.b64encode(pki.ca.read_bytes()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": context,
                "cluster": {"server": url, "certificate-authority-data": authority},
            }
        ],
        "users": [{"name": user, "user": {"token": pki.token(user)}}],
        "contexts": [
            {
                "name": context,
                "context": {"cluster": context, "user": user, "namespace": "default"},
            }
        ],
        "current-context": context,
    }


def wait_ready(
    settings: ApiServerSettings, *, alive: Callable[[], bool], timeout: float = 60.0
) -> None:
    """Wait until `/readyz` says ok; raise TimeoutError, or at once when the process has ended."""
    context = ssl.create_default_context(cafile=str(settings.pki.ca))
    token = settings.pki.token(ADMIN.user)
    deadline = time.monotonic() + timeout
    seen = "no answer"
    while time.monotonic() < deadline:
        if not alive():
            raise ChildProcessError("kube-apiserver has ended; its log says why")
        try:
            seen = _readyz(settings, context, token)
        except (OSError, http.client.HTTPException) as error:
            seen = str(error)
        if seen == "ok":
            return
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"kube-apiserver is not ready after {timeout:.0f} s: {seen}")


def _readyz(settings: ApiServerSettings, context: ssl.SSLContext, token: str) -> str:
    connection = http.client.HTTPSConnection(
        settings.advertise, settings.port, context=context, timeout=5
    )
    try:
        connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {token}"})
        return connection.getresponse().read().decode(errors="replace").strip()
    finally:
        connection.close()
