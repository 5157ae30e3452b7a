"""Structured logs: one JSON object per line on standard output.

An event is a short constant name and fields: `log.info("instance-lost", pod=name, seconds=3.2)`.
Records of libraries (uvicorn, kopf, aiohttp) and of `klambda_kube`, which lies below this package
and uses the standard library with `extra={"fields": {...}}`, come out in the same shape.
Never logged: payloads, environment variables, keys, tokens, signatures. Callers see to that; this
module only refuses to print what is not plain data.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Any

_RESERVED = frozenset({"time", "level", "logger", "event", "exception"})


class JsonFormatter(logging.Formatter):
    """Renders a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Event name first, then fields; reserved names win over fields."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, Mapping):
            for name, value in fields.items():
                line[f"{name}_" if name in _RESERVED else name] = _plain(value)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


class Logger:
    """A named logger whose calls take an event name and fields."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, /, **fields: object) -> None:
        """For one looking for a fault."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Something that an operator of the installation may want to know."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Something that went wrong and is being dealt with."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Something that needs a person."""
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: object) -> None:
        """A bug: with the traceback of the exception being handled."""
        self._logger.error("%s", event, exc_info=True, extra={"fields": fields}, stacklevel=2)

    def _log(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, extra={"fields": fields}, stacklevel=3)


def get(name: str) -> Logger:
    """The logger of that dotted name."""
    return Logger(name)


def setup(level: str = "INFO", stream: IO[str] | None = None) -> None:
    """Make every record of the process a JSON line on `stream` (standard output by default)."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return str(value)
