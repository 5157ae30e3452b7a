"""Commands: run to their end with their output in a log, or fail with the end of that log."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 15


class CommandFailed(Exception):
    """A command ended with an error; `str()` shows the command and the end of its output."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        self.command = tuple(command)
        self.code = code
        self.output = output
        shown = "\n".join(output.rstrip().splitlines()[-TAIL_LINES:])
        super().__init__(f"$ {shlex.join(command)}\n{shown}\n(exit status {code})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Runs commands with one environment; output is also appended to `log` when there is one."""

    environment: Mapping[str, str]
    log: Path | None = None

    def run(
        self,
        *command: str | Path,
        given: str | bytes | None = None,
        cwd: Path | None = None,
        extra: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> str:
        """Run a command, return its standard output; raise CommandFailed."""
        words = [str(word) for word in command]
        data = given.encode() if isinstance(given, str) else given
        environment = {**os.environ, **self.environment, **(extra or {})}
        try:
            done = subprocess.run(
                words,
                input=data,
                stdin=subprocess.DEVNULL if data is None else None,
                capture_output=True,
                cwd=cwd,
                env=environment,
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise CommandFailed(words, 127, str(error)) from error
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(words, 124, f"no end within {timeout} s") from error
        output = done.stdout.decode(errors="replace")
        errors = done.stderr.decode(errors="replace")
        self._record(words, output, errors)
        if done.returncode != 0:
            raise CommandFailed(words, done.returncode, errors.strip() or output)
        return output

    def stream(
        self, *command: str | Path, cwd: Path | None = None, extra: Mapping[str, str] | None = None
    ) -> None:
        """Run a long command whose output goes to the log as it comes; raise CommandFailed."""
        if self.log is None:
            self.run(*command, cwd=cwd, extra=extra)
            return
        words = [str(word) for word in command]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log.write(f"$ {shlex.join(words)}\n".encode())
            log.flush()
            start = log.tell()
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **self.environment, **(extra or {})},
                check=False,
            )
        if done.returncode != 0:
            with self.log.open("rb") as written:
                written.seek(start)
                output = written.read().decode(errors="replace")
            raise CommandFailed(words, done.returncode, output)

    def succeeds(self, *command: str | Path, timeout: float | None = None) -> bool:
        """Whether a command ends without an error."""
        try:
            self.run(*command, timeout=timeout)
        except CommandFailed:
            return False
        return True

    def _record(self, words: Sequence[str], output: str, errors: str) -> None:
        if self.log is None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            log.write(f"$ {shlex.join(words)}\n{output}{errors}")
