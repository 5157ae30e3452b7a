"""The addresses of the native cluster. Constants: one native cluster per machine."""

from __future__ import annotations

HOST_INTERFACE = "klambda0"
NODE_INTERFACE = "uplink"
HOST_ADDRESS = "10.89.0.1"
NODE_ADDRESS = "10.89.0.2"
LINK_PREFIX = 24
LINK_RANGE = "10.89.0.0/24"
POD_RANGE = "10.244.0.0/16"
NODE_POD_RANGE = "10.244.0.0/22"  # a thousand pods
SERVICE_RANGE = "10.96.0.0/16"
CLUSTER_DNS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"
API_PORT = 6443
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
NODE_NAME = "klambda"
GATEWAY_NODE_PORT = 30080
# A registry that somebody runs on this machine: the node may pull from it over plain HTTP.
LOCAL_REGISTRY = f"{HOST_ADDRESS}:5000"
GATEWAY_LOCAL = "127.0.0.1:8080"
