"""The folders of the native node, and the configuration files its programs read. Pure text.

Values that are not defaults have their reason beside them; most come from running this on small
machines: cgroup version 1, no CAP_SYS_RESOURCE, two cores.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.cluster.native import addresses, cgroups

# Paths that programs insist on. Inside the node's mount namespace each is an empty tmpfs of its
# own, so that the machine's are neither used nor changed.
PRIVATE_FOLDERS = (
    Path("/run/containerd"),
    Path("/var/lib/cni"),
    Path("/var/lib/kubelet"),
    Path("/var/log/containers"),
)
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
CNI_PLUGINS = Path("/usr/lib/cni")
MAX_PODS = 500
# Late: a developer's disk is always nearly full.
EVICTION = {
    "memory.available": "100Mi",
    "nodefs.available": "1%",
    "nodefs.inodesFree": "1%",
    "imagefs.available": "1%",
    "imagefs.inodesFree": "1%",
}
# Snapshotters that look for kernel modules and devices which are not needed.
DISABLED_SNAPSHOTTERS = ("aufs", "btrfs", "devmapper", "zfs")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFolders:
    """Where the native node keeps what it writes."""

    root: Path

    @property
    def pki(self) -> Path:
        """Keys, certificates, tokens."""
        return self.root / "pki"

    @property
    def etcd(self) -> Path:
        """etcd's data."""
        return self.root / "etcd"

    @property
    def containerd(self) -> Path:
        """Images and snapshots."""
        return self.root / "containerd"

    @property
    def kubelet(self) -> Path:
        """kubelet's root."""
        return self.root / "kubelet"

    @property
    def store(self) -> Path:
        """The volume of Klambda's store (there is no storage class)."""
        return self.root / "store"

    @property
    def configuration(self) -> Path:
        """Configuration files and kubeconfigs."""
        return self.root / "configuration"

    @property
    def registries(self) -> Path:
        """How containerd speaks to registries, one folder per host."""
        return self.configuration / "registries"

    @property
    def processes(self) -> Path:
        """One file per process (`record`)."""
        return self.root / "processes"

    @property
    def logs(self) -> Path:
        """What the programs wrote."""
        return self.root / "logs"

    def file(self, name: str) -> Path:
        """Return a configuration file's path."""
        return self.configuration / name

    def kubeconfig(self, program: str) -> Path:
        """Return the kubeconfig of one program."""
        return self.configuration / f"{program}.kubeconfig"


def registry_hosts_toml(host: str) -> str:
    """Return what lets containerd pull from a registry over plain HTTP."""
    return f"""server = "http://{host}"

[host."http://{host}"]
capabilities = ["pull", "resolve"]
"""


def containerd_toml(folders: NodeFolders, *, sandbox_image: str, snapshotter: str) -> str:
    """Return containerd's configuration (version 1.6, as in Debian 12)."""
    disabled = [f"io.containerd.snapshotter.v1.{name}" for name in DISABLED_SNAPSHOTTERS]
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{folders.containerd}"
state = "/run/containerd/state"
disabled_plugins = {json.dumps(disabled)}

[grpc]
address = "{CONTAINERD_SOCKET}"

[debug]
level = "warn"

[plugins."io.containerd.internal.v1.opt"]
path = "{folders.containerd}/opt"

[{cri}]
sandbox_image = "{sandbox_image}"
restrict_oom_score_adj = true  # a lower score needs CAP_SYS_RESOURCE
disable_apparmor = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"

[{cri}.registry]
config_path = "{folders.registries}"

[{cri}.containerd]
snapshotter = "{snapshotter}"
default_runtime_name = "crun"

[{cri}.containerd.runtimes.crun]
runtime_type = "io.containerd.runc.v2"

[{cri}.containerd.runtimes.crun.options]
BinaryName = "crun"  # half of runc's time and CPU (docs/performance.md)
SystemdCgroup = false

[{cri}.cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{folders.configuration}/cni"
"""


def cni_conflist() -> str:
    """Return the pod network: one bridge.

    Neither `ipMasq` nor portmap: they run a dozen `iptables` for each pod (22 ms of a cold start);
    the node masquerades once for all (`namespaces`).
    """
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": addresses.NODE_POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    network = {"cniVersion": "0.4.0", "name": "klambda", "plugins": [bridge]}
    return json.dumps(network, indent=2)


def kubelet_yaml(folders: NodeFolders) -> str:
    """Return kubelet's configuration."""
    return yaml.safe_dump(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(folders.pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cgroups.GROUP}",
            "enforceNodeAllocatable": ["none"],
            "clusterDNS": [addresses.NODE_ADDRESS],
            "clusterDomain": addresses.CLUSTER_DOMAIN,
            "resolvConf": str(folders.file("resolv.conf")),
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            # Limits cannot be raised without CAP_SYS_RESOURCE; this makes kubelet go on.
            "featureGates": {"KubeletInUserNamespace": True},
            "failSwapOn": False,
            "serializeImagePulls": False,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "kubeAPIQPS": 200,
            "kubeAPIBurst": 400,
            "maxPods": MAX_PODS,
            "podPidsLimit": 1024,  # AWS's limit of processes and threads in an environment
            "podLogsDir": str(folders.logs / "pods"),
            "volumePluginDir": str(folders.kubelet / "plugins"),
            # Nothing can be pulled again: images are only ever imported.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": EVICTION,
            "logging": {"verbosity": 0},
        }
    )


def kube_proxy_yaml(folders: NodeFolders, *, bridge_filter: bool) -> str:
    """Return kube-proxy's configuration.

    Without `br_netfilter` an answer between two pods on the bridge would pass the node by, and the
    Service address would not be put back: then everything to Services is masqueraded.
    """
    return yaml.safe_dump(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clusterCIDR": addresses.POD_RANGE,
            "hostnameOverride": addresses.NODE_NAME,
            "clientConnection": {"kubeconfig": str(folders.kubeconfig("kube-proxy"))},
            # Kernel-wide limits: not ours to change.
            "conntrack": {
                "maxPerCore": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
            "iptables": {"minSyncPeriod": "100ms", "masqueradeAll": not bridge_filter},
        }
    )
