"""The programs of the node: command line, configuration files, whose kubeconfig. Pure.

The order of `components` is the order of starting. A component whose command or files differ from
what runs is started again; the others are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.cluster import control_plane
from tools.cluster.native import addresses, dns
from tools.cluster.native.files import NodeFolders
from tools.cluster.pki import Identity, Pki

# The controller-manager's default limit of 20 requests/s lets only seven functions per second
# leave zero in the whole cluster.
FAST_CLIENT = ("--kube-api-qps=500", "--kube-api-burst=1000")

IDENTITIES = (
    control_plane.ADMIN,
    Identity(user="system:kube-controller-manager"),
    Identity(user="system:kube-scheduler"),
    Identity(user="system:kube-proxy"),
    Identity(user=f"system:node:{addresses.NODE_NAME}", groups=("system:nodes",)),
    dns.COREDNS,
)
USERS = {
    "kube-controller-manager": "system:kube-controller-manager",
    "kube-scheduler": "system:kube-scheduler",
    "kube-proxy": "system:kube-proxy",
    "kubelet": f"system:node:{addresses.NODE_NAME}",
    "coredns": dns.COREDNS.user,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One process of the node."""

    name: str
    command: tuple[str, ...]
    files: tuple[Path, ...] = ()
    inside: bool = True  # in the node's namespaces


def etcd_settings(folders: NodeFolders) -> control_plane.EtcdSettings:
    """Return where etcd listens: loopback of the node."""
    return control_plane.EtcdSettings(
        folder=folders.etcd,
        client_port=addresses.ETCD_PORT,
        peer_port=addresses.ETCD_PEER_PORT,
    )


def apiserver_settings(folders: NodeFolders) -> control_plane.ApiServerSettings:
    """Return where the API server listens: the node's address, seen by the machine too."""
    return control_plane.ApiServerSettings(
        etcd_url=etcd_settings(folders).url,
        bind="0.0.0.0",
        advertise=addresses.NODE_ADDRESS,
        port=addresses.API_PORT,
        pki=Pki(folder=folders.pki),
    )


def control(folders: NodeFolders, programs: Path) -> list[Component]:
    """Return what must run before anything else can: store, API, containers."""
    etcd = control_plane.etcd_command(programs / "etcd", etcd_settings(folders))
    server = control_plane.apiserver_command(
        programs / "kube-apiserver", apiserver_settings(folders)
    )
    toml = folders.file("containerd.toml")
    return [
        Component(name="etcd", command=tuple(etcd)),
        Component(name="kube-apiserver", command=tuple(server)),
        Component(name="containerd", command=("containerd", f"--config={toml}"), files=(toml,)),
    ]


def agents(folders: NodeFolders, programs: Path) -> list[Component]:
    """Return what talks to the API server."""
    return [
        _controller_manager(folders, programs),
        _scheduler(folders, programs),
        _kubelet(folders, programs),
        _kube_proxy(folders, programs),
        _coredns(folders, programs),
        _forwarder(programs),
    ]


def _controller_manager(folders: NodeFolders, programs: Path) -> Component:
    pki = Pki(folder=folders.pki)
    kubeconfig = folders.kubeconfig("kube-controller-manager")
    command = (
        str(programs / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki.account_key}",
        f"--root-ca-file={pki.ca}",
        f"--cluster-signing-cert-file={pki.ca}",
        f"--cluster-signing-key-file={pki.ca_key}",
        *FAST_CLIENT,
        "--profiling=false",
    )
    return Component(name="kube-controller-manager", command=command, files=(kubeconfig,))


def _scheduler(folders: NodeFolders, programs: Path) -> Component:
    kubeconfig = folders.kubeconfig("kube-scheduler")
    command = (
        str(programs / "kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        *FAST_CLIENT,
        "--profiling=false",
    )
    return Component(name="kube-scheduler", command=command, files=(kubeconfig,))


def _kubelet(folders: NodeFolders, programs: Path) -> Component:
    configuration = folders.file("kubelet.yaml")
    kubeconfig = folders.kubeconfig("kubelet")
    command = (
        str(programs / "kubelet"),
        f"--config={configuration}",
        f"--kubeconfig={kubeconfig}",
        f"--root-dir={folders.kubelet}",
        f"--cert-dir={folders.kubelet / 'pki'}",
        f"--hostname-override={addresses.NODE_NAME}",
        f"--node-ip={addresses.NODE_ADDRESS}",
    )
    return Component(name="kubelet", command=command, files=(configuration, kubeconfig))


def _kube_proxy(folders: NodeFolders, programs: Path) -> Component:
    configuration = folders.file("kube-proxy.yaml")
    command = (str(programs / "kube-proxy"), f"--config={configuration}")
    return Component(
        name="kube-proxy",
        command=command,
        files=(configuration, folders.kubeconfig("kube-proxy")),
    )


def _coredns(folders: NodeFolders, programs: Path) -> Component:
    configuration = folders.file("Corefile")
    command = (str(programs / "coredns"), f"-conf={configuration}")
    return Component(
        name="coredns", command=command, files=(configuration, folders.kubeconfig("coredns"))
    )


def _forwarder(programs: Path) -> Component:
    target = f"{addresses.NODE_ADDRESS}:{addresses.GATEWAY_NODE_PORT}"
    return Component(
        name="forward",
        command=(str(programs / "forward"), addresses.GATEWAY_LOCAL, target),
        inside=False,
    )
