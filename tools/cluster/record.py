"""Background processes: written down before anything can be forgotten, and ended again.

One JSON file per process: its id with its start time (ids are used again) and the hash of its
command and configuration (to see that a running one is out of date). Besides, every process of
the native node carries `MARK` in its environment, which finds those whose file was lost;
containers do not, they are found by their cgroup (`native.cgroups`).
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MARK = "KLAMBDA_NATIVE_NODE"
TERM_SECONDS = 8.0
KILL_SECONDS = 10.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A process that was started."""

    name: str
    pid: int
    born: int  # start time in clock ticks since boot
    fingerprint: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return birth(self.pid) == self.born


class Record:
    """The folder of process files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Started | None:
        """Return the living process of that name, if any."""
        try:
            started = Started(**json.loads((self._folder / f"{name}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return started if started.alive() else None

    def all(self) -> list[Started]:
        """Return every living process that was written down."""
        names = sorted(path.stem for path in self._folder.glob("*.json"))
        return [found for name in names if (found := self.find(name))]

    def write(self, name: str, pid: int, fingerprint: str) -> Started:
        """Write a process down."""
        started = Started(name=name, pid=pid, born=birth(pid) or 0, fingerprint=fingerprint)
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{name}.json").write_text(json.dumps(asdict(started)))
        return started

    def forget(self, name: str) -> None:
        """Forget a process that has ended."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)


def fingerprint(command: Sequence[str], *files: Path) -> str:
    """Return the hash of a command line and the contents of its configuration files."""
    digest = hashlib.sha256("\0".join(command).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def birth(pid: int) -> int | None:
    """Return a process's start time in clock ticks since boot; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def marked() -> dict[int, str]:
    """Return every process that carries the mark: id -> the state folder it belongs to."""
    found = {}
    for pid in process_ids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        for variable in environment.split(b"\0"):
            if variable.startswith(MARK.encode() + b"="):
                found[pid] = variable.partition(b"=")[2].decode(errors="replace")
    return found


def process_ids() -> Iterator[int]:
    """Yield the ids of all processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def end(pids: Iterable[int], *, patience: float = TERM_SECONDS) -> None:
    """Ask processes to end, wait, then kill those that have not."""
    left = _send(pids, signal.SIGTERM, patience)
    kill(left)


def kill(pids: Iterable[int], *, patience: float = KILL_SECONDS) -> None:
    """Kill processes and wait until they are gone."""
    left = _send(pids, signal.SIGKILL, patience)
    if left:
        raise TimeoutError(f"processes {sorted(left)} do not die")


def _send(pids: Iterable[int], number: signal.Signals, patience: float) -> set[int]:
    """Signal processes, wait; return those that are still the same and alive."""
    born = {pid: when for pid in pids if (when := birth(pid)) is not None}
    for pid in born:
        _signal(pid, number)
    left = set(born)
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if birth(pid) == born[pid]}
        time.sleep(POLL_SECONDS if left else 0)
    return left


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
