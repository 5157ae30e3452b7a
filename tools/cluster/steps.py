"""Steps: what is being done, for how long, and what to do when it fails.

Every step prints a line when it starts and one when it ends; a long one says every twenty seconds
that it is alive, with the last line of its log. A failure prints the error, the log's place and
the remedy, then ends the run: later steps depend on earlier ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from botocore.exceptions import BotoCoreError, ClientError

from tools.cluster.shell import CommandFailed, Shell

EXPECTED_FAILURES = (CommandFailed, OSError, ValueError, BotoCoreError, ClientError)
"""What a step may meet in the world; anything else is a bug of ours and shows its traceback."""
HEARTBEAT_SECONDS = 20.0
LINE_WIDTH = 110


class StepFailed(Exception):
    """A step could not be done; everything worth saying was printed."""


class Step:
    """One step in progress: its shell, and the note its last line will carry."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.note = ""


class Steps:
    """Runs steps one after the other and tells about them on `out`."""

    def __init__(
        self,
        *,
        out: TextIO,
        logs: Path,
        environment: Callable[[], dict[str, str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = out
        self._logs = logs
        self._environment = environment
        self._clock = clock
        self._begin = clock()

    @contextmanager
    def step(self, title: str, *, log: str, remedy: str) -> Iterator[Step]:
        """Do one step; `log` names its log file, `remedy` says what to do when it fails."""
        path = self._logs / f"{log}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        step = Step(Shell(environment=self._environment(), log=path))
        start = self._clock()
        self.say(f"{title} ...")
        ended = threading.Event()
        watch = threading.Thread(target=self._beat, args=(title, path, start, ended), daemon=True)
        watch.start()
        try:
            yield step
        except EXPECTED_FAILURES as error:
            self._failed(title, error, path, remedy, start)
            raise StepFailed(title) from error
        finally:
            ended.set()
            watch.join()
        note = f": {step.note}" if step.note else ""
        self.say(f"{title}{note} ({self._clock() - start:.1f} s)")

    def say(self, text: str) -> None:
        """Print lines, each with the time since the run began."""
        for line in text.splitlines():
            self._out.write(f"[{self._clock() - self._begin:6.1f} s] {line}\n")
        self._out.flush()

    def _beat(self, title: str, log: Path, start: float, ended: threading.Event) -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            self.say(f"{title}, {self._clock() - start:.0f} s: {last_line(log)}")

    def _failed(self, title: str, error: Exception, log: Path, remedy: str, start: float) -> None:
        self.say(f"FAILED: {title}, after {self._clock() - start:.1f} s")
        self.say(f"{error}")
        self.say(f"log:  {log}")
        self.say(f"help: {remedy}")


def last_line(log: Path, limit: int = LINE_WIDTH) -> str:
    """Return the last line with anything in it, cut to the width of a terminal."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return "working"
    written = [line.strip() for line in lines if line.strip()]
    return written[-1][:limit] if written else "working"
