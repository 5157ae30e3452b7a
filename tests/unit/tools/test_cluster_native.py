"""The native node's configuration, and what it writes down."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from tools.cluster import control_plane, record
from tools.cluster.native import (
    addresses,
    cgroups,
    components,
    configuration,
    dns,
    files,
    namespaces,
)
from tools.cluster.pki import Pki


@pytest.fixture
def folders(tmp_path: Path) -> files.NodeFolders:
    return files.NodeFolders(root=tmp_path)


def options(command: tuple[str, ...]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in command if "=" in word)


def test_the_pod_network_runs_no_iptables_for_a_pod() -> None:
    network = json.loads(files.cni_conflist())
    assert [plugin["type"] for plugin in network["plugins"]] == ["bridge"]
    assert "ipMasq" not in network["plugins"][0]


def test_kubelet_writes_below_its_own_folder_and_cgroup(folders: files.NodeFolders) -> None:
    kubelet = yaml.safe_load(files.kubelet_yaml(folders))
    assert kubelet["cgroupRoot"] == f"/{cgroups.GROUP}"
    assert Path(kubelet["podLogsDir"]).is_relative_to(folders.root)
    assert kubelet["podPidsLimit"] == 1024


def test_services_are_masqueraded_only_where_the_bridge_hides_packets(
    folders: files.NodeFolders,
) -> None:
    for bridge_filter in (True, False):
        proxy = yaml.safe_load(files.kube_proxy_yaml(folders, bridge_filter=bridge_filter))
        assert proxy["iptables"]["masqueradeAll"] is not bridge_filter


def test_containerd_takes_the_sandbox_image_it_is_given(folders: files.NodeFolders) -> None:
    import tomllib

    text = files.containerd_toml(folders, sandbox_image="i:1", snapshotter="overlayfs")
    cri = tomllib.loads(text)["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == "i:1"
    assert cri["netns_mounts_under_state_dir"] is True
    assert cri["containerd"]["default_runtime_name"] in cri["containerd"]["runtimes"]


def test_only_a_mixture_of_cgroup_versions_has_a_second_tree(tmp_path: Path) -> None:
    assert cgroups.second_tree(tmp_path) is None
    (tmp_path / "cgroup.controllers").touch()  # version 2 alone
    assert cgroups.second_tree(tmp_path) is None
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").touch()
    assert cgroups.second_tree(tmp_path) == tmp_path / "unified"


def test_an_unchanged_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "c"
    configuration.write_changed(path, "1", private=True)
    assert path.stat().st_mode & 0o777 == 0o600
    os.utime(path, (1, 1))
    configuration.write_changed(path, "1")
    assert path.stat().st_mtime == 1
    configuration.write_changed(path, "2")
    assert path.read_text() == "2"


def test_no_client_of_the_controllers_is_slow(folders: files.NodeFolders) -> None:
    agents = {each.name: each for each in components.agents(folders, Path("/bin"))}
    for name in ("kube-controller-manager", "kube-scheduler"):
        assert int(options(agents[name].command)["kube-api-qps"]) >= 100


def test_only_the_forwarder_runs_on_the_machines_own_network(folders: files.NodeFolders) -> None:
    every = components.control(folders, Path("/b")) + components.agents(folders, Path("/b"))
    assert [each.name for each in every if not each.inside] == ["forward"]
    assert len({each.name for each in every}) == len(every)


def test_every_program_with_a_kubeconfig_has_an_identity() -> None:
    known = {identity.user for identity in components.IDENTITIES}
    assert set(components.USERS.values()) <= known


def test_an_api_server_alone_wants_no_service_accounts(tmp_path: Path) -> None:
    def command(*, kubelets: bool) -> list[str]:
        settings = control_plane.ApiServerSettings(
            etcd_url="http://127.0.0.1:1", bind="127.0.0.1", advertise="127.0.0.1", port=2,
            pki=Pki(folder=tmp_path), kubelets=kubelets,
        )  # fmt: skip
        return control_plane.apiserver_command(Path("kube-apiserver"), settings)

    assert "--disable-admission-plugins=ServiceAccount" in command(kubelets=False)
    assert "--disable-admission-plugins=ServiceAccount" not in command(kubelets=True)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 192.0.2.1\n", ["192.0.2.1"]),
        ("# nothing\nsearch x\nnameserver 127.0.0.53\n", []),
        ("nameserver fe80::1\nnameserver 192.0.2.7\noptions edns0\n", ["192.0.2.7"]),
        ("nameserver\n", []),
    ],
)
def test_name_servers_that_the_node_could_reach(text: str, servers: list[str]) -> None:
    assert dns.upstreams(text) == servers


def test_without_egress_foreign_names_are_refused_at_once() -> None:
    assert "forward" not in dns.corefile(kubeconfig="k", upstreams=[])
    assert "forward . 192.0.2.1" in dns.corefile(kubeconfig="k", upstreams=["192.0.2.1"])


def test_cluster_names_are_never_cached() -> None:
    text = dns.corefile(kubeconfig="k", upstreams=[])
    assert f"disable success {addresses.CLUSTER_DOMAIN}" in text
    assert f"disable denial {addresses.CLUSTER_DOMAIN}" in text


def test_egress_rules_are_undone_by_the_same_words() -> None:
    for rule in namespaces.EGRESS_RULES:
        insert, delete = (list(namespaces.egress_command(flag, rule)) for flag in ("-I", "-D"))
        assert [word if word != "-I" else "-D" for word in insert] == delete
        assert "klambda" in insert


def test_a_living_process_is_found_and_a_dead_one_is_not(tmp_path: Path) -> None:
    written = record.Record(tmp_path)
    written.write("me", os.getpid(), "f")
    found = written.find("me")
    assert found is not None
    assert found.fingerprint == "f"
    path = tmp_path / "me.json"
    other = json.loads(path.read_text()) | {"born": found.born + 1}
    path.write_text(json.dumps(other))  # the same id, another process
    assert written.find("me") is None
    assert written.all() == []
    assert record.Record(tmp_path / "none").all() == []


def test_a_fingerprint_follows_command_and_files(tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_text("1")
    first = record.fingerprint(["a", "b"], file)
    assert first != record.fingerprint(["a", "c"], file)
    file.write_text("2")
    assert first != record.fingerprint(["a", "b"], file)


def test_cgroups_of_version_1_are_made_in_every_tree(tmp_path: Path) -> None:
    for name in ("cpu", "memory"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "alias").symlink_to(tmp_path / "cpu")
    cgroups.create(tmp_path)
    assert (tmp_path / "cpu" / cgroups.GROUP).is_dir()
    assert (tmp_path / "memory" / cgroups.GROUP).is_dir()
    (tmp_path / "cpu" / cgroups.GROUP / "cgroup.procs").write_text("7\n8\n")
    assert cgroups.members(tmp_path) == {7, 8}


def test_removing_cgroups_goes_from_the_leaves(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / cgroups.GROUP / "kubepods" / "pod1").mkdir(parents=True)
    cgroups.remove(tmp_path, patience=1)
    assert not (tmp_path / cgroups.GROUP).exists()
