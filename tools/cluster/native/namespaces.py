"""The node's own network and mount namespace, and the link between it and the machine.

A holder process (`pause` under `unshare`) keeps them; everything else joins with `nsenter`, which
unlike `ip netns exec` leaves /sys as it is (kubelet needs /sys/fs/cgroup). On the machine's side
there are one interface and three routes, which vanish with the namespace. With `egress` also
forwarding and three iptables rules, so that functions reach the internet; `disconnect` undoes them.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.native import addresses, cgroups
from tools.cluster.native.files import PRIVATE_FOLDERS
from tools.cluster.shell import Shell

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
SWITCH_SECONDS = 5.0
EGRESS_RULES = (
    ("nat", "POSTROUTING", ("-s", addresses.LINK_RANGE, "!", "-o", addresses.HOST_INTERFACE),
     "MASQUERADE"),
    ("filter", "FORWARD", ("-i", addresses.HOST_INTERFACE), "ACCEPT"),
    ("filter", "FORWARD", ("-o", addresses.HOST_INTERFACE, "-m", "conntrack", "--ctstate",
                           "RELATED,ESTABLISHED"), "ACCEPT"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """Runs commands in the node's namespaces."""

    holder: int

    def command(self, *words: str) -> list[str]:
        """Return a command line that runs `words` inside; nsenter becomes that program."""
        return ["nsenter", f"--target={self.holder}", "--net", "--mount", "--", *words]

    def run(self, shell: Shell, *words: str) -> str:
        """Run a short command inside."""
        return shell.run(*self.command(*words))

    def write(self, shell: Shell, path: str, value: str) -> None:
        """Write a kernel setting of this network namespace."""
        self.run(shell, "sh", "-c", f"echo {value} > {path}")


def hold(program: Path, environment: Mapping[str, str]) -> int:
    """Start the holder and return its id once it is in namespaces of its own."""
    process = subprocess.Popen(
        ["unshare", "--net", "--mount", "--propagation", "slave", "--", str(program)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(environment),
        cwd="/",
        start_new_session=True,
    )
    deadline = time.monotonic() + SWITCH_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise OSError("this process may not make namespaces: run it as root")
        if running(process.pid) == program.resolve():
            return process.pid
        time.sleep(0.01)
    raise TimeoutError("the namespace holder did not start")


def running(pid: int) -> Path | None:
    """Return the program a process runs."""
    try:
        return Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return None


def private_mounts(shell: Shell, inside: Inside, created: Path) -> None:
    """Mount an empty folder of the node's own over each path that programs insist on.

    A mount point must exist on the machine; those made for it are listed in `created`. The second
    tree of cgroups that a machine with version 1 may carry beside it is hidden: crun refuses such
    a mixture, and nothing of the node uses that tree.
    """
    absent = [folder for folder in PRIVATE_FOLDERS if not folder.exists()]
    parents = [parent for folder in absent for parent in folder.parents if not parent.exists()]
    for folder in [*sorted(parents, key=lambda path: len(path.parts)), *absent]:
        folder.mkdir(exist_ok=True)
    made = json.loads(created.read_text()) if created.exists() else []
    created.write_text(json.dumps(sorted({*made, *map(str, parents), *map(str, absent)})))
    for folder in PRIVATE_FOLDERS:
        inside.run(shell, "mount", "-t", "tmpfs", "-o", "mode=0755", "klambda", str(folder))
    if (tree := cgroups.second_tree()) is not None:
        inside.run(shell, "umount", str(tree))


def remove_created(created: Path) -> None:
    """Remove the mount points that were made on the machine, deepest first, if empty."""
    if not created.exists():
        return
    for folder in sorted(json.loads(created.read_text()), key=len, reverse=True):
        try:
            Path(folder).rmdir()
        except OSError:  # something else uses it by now
            continue
    created.unlink()


def connect(shell: Shell, inside: Inside) -> bool:
    """Link the node to the machine; return whether bridged packets pass iptables."""
    interface = addresses.HOST_INTERFACE
    shell.run("ip", "link", "add", interface, "type", "veth",
              "peer", "name", addresses.NODE_INTERFACE, "netns", str(inside.holder))  # fmt: skip
    shell.run("ip", "addr", "add", f"{addresses.HOST_ADDRESS}/{addresses.LINK_PREFIX}",
              "dev", interface)  # fmt: skip
    shell.run("ip", "link", "set", interface, "up")
    inside.run(shell, "ip", "link", "set", "lo", "up")
    inside.run(shell, "ip", "addr", "add", f"{addresses.NODE_ADDRESS}/{addresses.LINK_PREFIX}",
               "dev", addresses.NODE_INTERFACE)  # fmt: skip
    inside.run(shell, "ip", "link", "set", addresses.NODE_INTERFACE, "up")
    inside.run(shell, "ip", "route", "add", "default", "via", addresses.HOST_ADDRESS)
    for destination in (addresses.POD_RANGE, addresses.SERVICE_RANGE):
        shell.run("ip", "route", "add", destination, "via", addresses.NODE_ADDRESS)
    inside.write(shell, "/proc/sys/net/ipv4/ip_forward", "1")
    inside.run(shell, "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", addresses.POD_RANGE,
               "!", "-d", addresses.LINK_RANGE, "-o", addresses.NODE_INTERFACE,
               "-j", "MASQUERADE")  # fmt: skip
    return bridge_filter(shell, inside)


def bridge_filter(shell: Shell, inside: Inside) -> bool:
    """Let iptables see what crosses the pods' bridge, where the kernel can."""
    setting = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    if not Path(setting).exists():
        shell.succeeds("modprobe", "br_netfilter")
    if not Path(setting).exists():
        return False
    inside.write(shell, setting, "1")
    return True


def disconnect(shell: Shell, forwarding: Path) -> None:
    """Take away the machine's side of the link, and the rules of `open_egress`."""
    if Path(f"/sys/class/net/{addresses.HOST_INTERFACE}").exists():
        shell.succeeds("ip", "link", "delete", addresses.HOST_INTERFACE)
    if forwarding.exists():
        for rule in EGRESS_RULES:
            shell.succeeds(*egress_command("-D", rule))
        FORWARDING.write_text(forwarding.read_text())
        forwarding.unlink()


def open_egress(shell: Shell, forwarding: Path) -> None:
    """Let the node reach what the machine reaches; the old setting goes into `forwarding`."""
    if not forwarding.exists():
        forwarding.write_text(FORWARDING.read_text())
    FORWARDING.write_text("1\n")
    for rule in EGRESS_RULES:
        if not shell.succeeds(*egress_command("-C", rule)):
            shell.run(*egress_command("-I", rule))


def egress_command(action: str, rule: tuple[str, str, tuple[str, ...], str]) -> Sequence[str]:
    """Return the iptables call that inserts (-I), checks (-C) or deletes (-D) a rule."""
    table, chain, match, target = rule
    marked = ("-m", "comment", "--comment", "klambda")
    return ("iptables", "-t", table, action, chain, *match, *marked, "-j", target)
