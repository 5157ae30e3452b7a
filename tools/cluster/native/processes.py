"""Starts the node's processes and ends them again, also those of a run that was killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.cluster import record
from tools.cluster.native import cgroups
from tools.cluster.native.components import Component
from tools.cluster.native.files import NodeFolders
from tools.cluster.native.namespaces import Inside
from tools.cluster.record import MARK, Record, Started

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOG_LIMIT = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The processes of one node."""

    folders: NodeFolders

    @property
    def record(self) -> Record:
        """What was started."""
        return Record(self.folders.processes)

    def environment(self) -> Mapping[str, str]:
        """Return a daemon's environment: nothing of the caller's (no proxies), and the mark."""
        return {
            "PATH": SYSTEM_PATH,
            "HOME": str(self.folders.root),
            "LANG": "C.UTF-8",
            MARK: str(self.folders.root),
        }

    def ensure(self, component: Component, inside: Inside) -> bool:
        """Start a component unless it runs as described; return whether it was started."""
        program = Path(component.command[0]).resolve()
        wanted = record.fingerprint([str(program), *component.command], *component.files)
        running = self.record.find(component.name)
        if running is not None and running.fingerprint == wanted:
            return False
        if running is not None:
            record.end([running.pid])
        words = component.command
        command = inside.command(*words) if component.inside else list(words)
        self.folders.logs.mkdir(parents=True, exist_ok=True)
        path = self.log(component.name)
        if path.exists() and path.stat().st_size > LOG_LIMIT:
            path.rename(path.with_suffix(".old"))
        with path.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.environment()),
                cwd=self.folders.root,
                start_new_session=True,
            )
        self.record.write(component.name, process.pid, wanted)
        return True

    def log(self, name: str) -> Path:
        """Return the log file of a component."""
        return self.folders.logs / f"{name}.log"

    def running(self, name: str) -> Started | None:
        """Return a component's process if it is alive."""
        return self.record.find(name)

    def end_all(self) -> int:
        """End everything that belongs to this node or to one whose folder is gone.

        Killed, not asked: containers first asked kubelet's leave, and it is going too.
        """
        ours = {
            pid
            for pid, root in record.marked().items()
            if root == str(self.folders.root) or not Path(root).exists()
        }
        ours.update(started.pid for started in self.record.all())
        ours.update(cgroups.members())
        ours.discard(os.getpid())
        record.kill(ours)
        for path in self.folders.processes.glob("*.json"):
            path.unlink(missing_ok=True)
        return len(ours)

    def foreign(self) -> list[str]:
        """Return the folders of other checkouts whose native node runs on this machine."""
        roots = set(record.marked().values()) - {str(self.folders.root)}
        return sorted(root for root in roots if Path(root).exists())
