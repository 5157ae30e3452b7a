"""Lambda's service model as data: operations with their paths, input shapes with their constraints.

Place: read once at import from ``model.json`` (made by ``tools/lambdamodel.py`` from botocore);
``router`` matches paths by it, ``reading`` takes requests apart, ``validation`` checks them.
Invariants: immutable; patterns are compiled for Python while ``Shape.pattern`` keeps Java's text,
which error messages quote. Not here: output shapes, any behaviour.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a structure: its shape and where in a request it stands."""

    name: str
    shape: str
    location: str = "body"
    """``body``, ``uri``, ``querystring`` or ``header``."""
    wire_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A type with its constraints; which attributes matter depends on ``type``."""

    name: str
    type: str
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    regex: re.Pattern[str] | None = None
    enum: tuple[str, ...] | None = None
    sensitive: bool = False
    """Error messages do not quote its values."""
    members: Mapping[str, Member]
    required: frozenset[str] = frozenset()
    payload: str | None = None
    element: str = ""
    key: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One of the service's operations."""

    name: str
    method: str
    path: str
    """Template: ``{Name}`` stands for one segment."""
    query: Mapping[str, str]
    """Members of the query that belong to the path (``find=LayerVersion``)."""
    status: int
    input: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The whole table."""

    operations: Mapping[str, Operation]
    shapes: Mapping[str, Shape]
    runtimes: tuple[str, ...]
    """The identifiers the model knows, retired ones included."""


def python_pattern(java: str) -> re.Pattern[str]:
    r"""Java's pattern in Python's words.

    ``\d``, ``\w`` and ``\s`` are ASCII in Java; ``[\p{L}\p{Z}\p{N}_…]`` are word characters and
    every separator of all languages.
    """
    if r"\p{" not in java:
        return re.compile(java, re.ASCII)
    spaces = "\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
    words = java.replace(r"\p{L}", r"\w").replace(r"\p{N}", "").replace(r"\p{Z}", spaces)
    return re.compile(words)


def _shape(name: str, raw: Mapping[str, Any]) -> Shape:
    pattern = raw.get("pattern")
    members = {
        member: Member(
            name=member,
            shape=reference["shape"],
            location=reference.get("in", "body"),
            wire_name=reference.get("name", member),
        )
        for member, reference in raw.get("members", {}).items()
    }
    return Shape(
        name=name,
        type=raw["type"],
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        pattern=pattern,
        regex=None if pattern is None else python_pattern(pattern),
        enum=tuple(raw["enum"]) if "enum" in raw else None,
        sensitive=raw.get("sensitive", False),
        members=members,
        required=frozenset(raw.get("required", ())),
        payload=raw.get("payload"),
        element=raw.get("member", ""),
        key=raw.get("key", ""),
        value=raw.get("value", ""),
    )


def load() -> Model:
    """Read the committed table."""
    raw = json.loads((files(__package__) / "model.json").read_text(encoding="utf-8"))
    operations = {
        name: Operation(
            name=name,
            method=entry["method"],
            path=entry["path"],
            query=entry.get("query", {}),
            status=entry["status"],
            input=entry.get("input"),
        )
        for name, entry in raw["operations"].items()
    }
    shapes = {name: _shape(name, entry) for name, entry in raw["shapes"].items()}
    return Model(operations=operations, shapes=shapes, runtimes=tuple(raw["runtimes"]))


MODEL = load()
