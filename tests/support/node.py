"""This machine in the network of the native node: where pods reach a server of the tests."""

from __future__ import annotations

import ipaddress
import json
import subprocess

import pytest

from tests.support.cluster import Cluster


def host_address(cluster: Cluster) -> str:
    """An address of this machine in the node's network: what pods reach without leaving it."""
    addresses = cluster.one("node", "klambda")
    if addresses is None:
        pytest.skip("only beside the native node")
    node = ipaddress.ip_address(addresses["status"]["addresses"][0]["address"])
    found = json.loads(subprocess.run(["ip", "-j", "-4", "addr"], capture_output=True).stdout)
    for each in (one for link in found for one in link["addr_info"]):
        here = ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}")
        if node in here.network and here.ip.is_private and not here.ip.is_loopback:
            return str(here.ip)
    pytest.skip("this machine has no address in the node's network")
