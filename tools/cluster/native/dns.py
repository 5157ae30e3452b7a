"""Name service of the native cluster: CoreDNS as a process of the node.

Pods ask the node's address itself: no rule of kube-proxy and no address translation lies between
a starting instance and the name of its gateways. The Service at 10.96.0.10, whose one endpoint
that is, is there for those who expect it. Names outside the cluster are asked of the machine's
own name servers when the node may reach them, else refused at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from tools.cluster.native import addresses
from tools.cluster.pki import Identity

COREDNS = Identity(user="klambda-coredns")
PORT = 53
HEALTH_PORT = 10080
READY_PORT = 10081
TTL_SECONDS = 5


def corefile(*, kubeconfig: str, upstreams: Sequence[str]) -> str:
    """Return CoreDNS's configuration."""
    forward = f"    forward . {' '.join(upstreams)}\n" if upstreams else ""
    return f""".:{PORT} {{
    bind {addresses.NODE_ADDRESS}
    errors
    health {addresses.NODE_ADDRESS}:{HEALTH_PORT}
    ready {addresses.NODE_ADDRESS}:{READY_PORT}
    kubernetes {addresses.CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl {TTL_SECONDS}
        fallthrough in-addr.arpa ip6.arpa
    }}
{forward}    cache 30 {{
        disable success {addresses.CLUSTER_DOMAIN}
        disable denial {addresses.CLUSTER_DOMAIN}
    }}
    loadbalance
}}
"""


def upstreams(resolv_conf: str) -> list[str]:
    """Return the IPv4 name servers of a resolv.conf that another namespace could reach."""
    servers = [
        words[1]
        for line in resolv_conf.splitlines()
        if len(words := line.split()) > 1 and words[0] == "nameserver"
    ]
    return [each for each in servers if ":" not in each and not each.startswith("127.")]


def manifests() -> str:
    """Return what the API server must hold: the right to read, the Service and its endpoint."""
    return yaml.safe_dump_all([_role(), _binding(), _service(), _endpoints()])


def _role() -> dict[str, object]:
    read = ["get", "list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": COREDNS.user},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": read},
            {
                "apiGroups": ["discovery.k8s.io"],
                "resources": ["endpointslices"],
                "verbs": read,
            },
        ],
    }


def _binding() -> dict[str, object]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": COREDNS.user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": COREDNS.user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": COREDNS.user}],
    }


def _service() -> dict[str, object]:
    ports = [
        {"name": name, "protocol": protocol, "port": 53, "targetPort": PORT}
        for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": addresses.CLUSTER_DNS, "ports": ports},
    }


def _endpoints() -> dict[str, object]:
    ports = [
        {"name": name, "protocol": protocol, "port": PORT}
        for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-node",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [addresses.NODE_ADDRESS], "conditions": {"ready": True}}],
    }
