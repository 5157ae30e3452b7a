"""The cgroup that all pods live under, in either version of cgroups.

With version 1 each controller has its own tree: the group is made in every one of them. kubelet
makes everything below (`cgroupRoot`). Ending the node ends whoever is left in it and removes it.
"""

from __future__ import annotations

import time
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
GROUP = "klambda"
CONTROLLERS = "+cpu +cpuset +io +memory +pids"


def unified(mount: Path = MOUNT) -> bool:
    """Whether this machine has cgroup version 2 only."""
    return (mount / "cgroup.controllers").exists()


def second_tree(mount: Path = MOUNT) -> Path | None:
    """Return the tree of version 2 beside those of version 1 ("hybrid"), if there is one."""
    tree = mount / "unified"
    return tree if (tree / "cgroup.controllers").exists() else None


def roots(mount: Path = MOUNT) -> list[Path]:
    """Return the root of every tree."""
    if unified(mount):
        return [mount]
    trees = {path.resolve() for path in mount.iterdir() if path.is_dir()}
    return sorted(path for path in trees if (path / "cgroup.procs").exists())


def create(mount: Path = MOUNT) -> None:
    """Make the group."""
    for root in roots(mount):
        group = root / GROUP
        if unified(mount):
            (root / "cgroup.subtree_control").write_text(CONTROLLERS)
        group.mkdir(exist_ok=True)
        if unified(mount):
            (group / "cgroup.subtree_control").write_text(CONTROLLERS)
        if (group / "cpuset.cpus").exists() and not unified(mount):
            for name in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts a child with none
                (group / name).write_text((root / name).read_text())


def members(mount: Path = MOUNT) -> set[int]:
    """Return the ids of all processes in the group and below."""
    found: set[int] = set()
    for root in roots(mount):
        for file in (root / GROUP).rglob("cgroup.procs"):
            try:
                found.update(int(line) for line in file.read_text().split())
            except OSError:  # went away while we looked
                continue
    return found


def remove(mount: Path = MOUNT, patience: float = 5.0) -> None:
    """Remove the group and everything below it; the processes must have ended."""
    deadline = time.monotonic() + patience
    left = _groups(mount)
    while left and time.monotonic() < deadline:
        for group in left:
            try:
                group.rmdir()
            except OSError:  # still busy: the kernel takes a moment after the last exit
                continue
        left = _groups(mount)
        if left:
            time.sleep(0.05)


def _groups(mount: Path) -> list[Path]:
    """Return the group and its descendants, deepest first."""
    found = []
    for root in roots(mount):
        group = root / GROUP
        if group.is_dir():
            found += [path for path in group.rglob("*") if path.is_dir()] + [group]
    return sorted(found, key=lambda path: -len(path.parts))
