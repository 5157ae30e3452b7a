"""Which operation a method and a raw path mean.

Theory. Every template of the model is a sequence of segments, some of them parameters. A path is
split at ``/`` as it was sent: parameters stay encoded while matching, so an ARN with an encoded
slash is one segment, and are decoded once afterwards. Place: first step of ``dispatch``.
Invariants: pure; slashes are never collapsed; one trailing slash is tolerated (older SDKs send it
on some paths); of two operations on one path the one whose query members are present wins.
Not here: reading members (``reading``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from klambda_core import errors
from klambda_core.errors import LambdaError
from klambda_gateway.api.model import MODEL, Model, Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An operation and the path parameters, decoded."""

    operation: Operation
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    operation: Operation
    literals: tuple[tuple[int, bytes], ...]
    parameters: tuple[tuple[int, str], ...]


class Router:
    """The table of the model's paths, by method, number of segments and first segment.

    The first segment is a date in every template, never a parameter.
    """

    def __init__(self, model: Model = MODEL) -> None:
        self._table: dict[tuple[str, int, bytes], list[_Template]] = {}
        for operation in model.operations.values():
            segments = operation.path.split("/")[1:]
            template = _template(operation, segments)
            key = (operation.method, len(segments), segments[0].encode())
            self._table.setdefault(key, []).append(template)
        for templates in self._table.values():
            # Literals before parameters, members of the query before none.
            templates.sort(key=lambda t: (-len(t.literals), -len(t.operation.query)))

    def match(self, method: str, path: bytes, query: Mapping[str, list[str]]) -> Route:
        """Find the operation. Raises 404 UnknownOperationException."""
        segments = path.split(b"/")[1:] or [b""]
        if len(segments) > 1 and segments[-1] == b"":
            segments.pop()
        for template in self._table.get((method, len(segments), segments[0]), ()):
            operation = template.operation
            if all(segments[at] == text for at, text in template.literals) and all(
                query.get(key, [None])[0] == value for key, value in operation.query.items()
            ):
                return Route(
                    operation=operation,
                    parameters={
                        name: unquote_to_bytes(segments[at]).decode("utf-8", "replace")
                        for at, name in template.parameters
                    },
                )
        raise LambdaError(errors.UNKNOWN_OPERATION, "Unknown operation: no such path and method.")


def _template(operation: Operation, segments: list[str]) -> _Template:
    numbered = list(enumerate(segments))
    return _Template(
        operation=operation,
        literals=tuple((at, text.encode()) for at, text in numbered if not text.startswith("{")),
        parameters=tuple((at, text[1:-1]) for at, text in numbered if text.startswith("{")),
    )
