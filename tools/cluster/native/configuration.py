"""Writes what the node's programs read: keys, kubeconfigs, configuration files.

An unchanged file is not touched: kube-proxy ends itself when its own is.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from tools.cluster import control_plane, pki
from tools.cluster.native import addresses, components, dns, files

CONTROL_PLANE_UID = 65532  # USER of the control-plane image


def write(
    folders: files.NodeFolders,
    *,
    kubeconfig: Path,
    sandbox_image: str,
    snapshotter: str,
    bridge_filter: bool,
    name_servers: Sequence[str],
) -> None:
    """Write everything; `kubeconfig` is the administrator's."""
    (folders.configuration / "cni").mkdir(parents=True, exist_ok=True)
    (folders.registries / addresses.LOCAL_REGISTRY).mkdir(parents=True, exist_ok=True)
    folders.store.mkdir(mode=0o700, exist_ok=True)
    os.chown(folders.store, CONTROL_PLANE_UID, CONTROL_PLANE_UID)
    _write_identities(folders, kubeconfig)
    texts = {
        "containerd.toml": files.containerd_toml(
            folders, sandbox_image=sandbox_image, snapshotter=snapshotter
        ),
        "cni/10-klambda.conflist": files.cni_conflist(),
        f"registries/{addresses.LOCAL_REGISTRY}/hosts.toml": files.registry_hosts_toml(
            addresses.LOCAL_REGISTRY
        ),
        "kubelet.yaml": files.kubelet_yaml(folders),
        "kube-proxy.yaml": files.kube_proxy_yaml(folders, bridge_filter=bridge_filter),
        "resolv.conf": "search .\n",
        "Corefile": dns.corefile(
            kubeconfig=str(folders.kubeconfig("coredns")), upstreams=name_servers
        ),
    }
    for name, text in texts.items():
        write_changed(folders.file(name), text)


def _write_identities(folders: files.NodeFolders, kubeconfig: Path) -> None:
    """Write the keys, and a kubeconfig for each program and for the administrator."""
    keys = pki.create(
        folders.pki,
        addresses=["127.0.0.1", addresses.NODE_ADDRESS, control_plane.FIRST_SERVICE_ADDRESS],
        identities=components.IDENTITIES,
        now=datetime.datetime.now(datetime.UTC),
    )
    url = components.apiserver_settings(folders).url
    places = {user: folders.kubeconfig(program) for program, user in components.USERS.items()}
    places[control_plane.ADMIN.user] = kubeconfig
    for user, place in places.items():
        text = control_plane.kubeconfig(url=url, pki=keys, user=user)
        write_changed(place, text, private=True)


def write_changed(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file if its text changes."""
    if path.exists() and path.read_text() == text:
        return
    if private:
        pki.write_private(path, text)
    else:
        path.write_text(text)
