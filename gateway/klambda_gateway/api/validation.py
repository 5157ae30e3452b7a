"""Framework validation: does a request's input satisfy the shapes of the service model?

Place: after ``reading`` (which gives typed members), before an operation. Invariants: pure; driven
by the model, no operation is named here; every problem of a request is reported, in the model's
order; the texts are those of the framework in front of AWS's services, quoting Java's patterns and
Java's rendering of values. Source of the texts: aws-contract a.2 and messages quoted in AWS's own
issue trackers. Not here: types that do not fit (``reading``), rules between members (operations).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from klambda_core import errors
from klambda_gateway.api.model import MODEL, Model, Shape

NOT_NULL = "Member must not be null"
Constraint = tuple[str, Callable[[Any], bool]]


def check(shape: str, value: Mapping[str, Any], *, model: Model = MODEL) -> None:
    """Raise one ValidationException that names every problem of the input."""
    problems = list(problems_of(shape, value, model=model))
    if problems:
        raise errors.validation(problems)


def problems_of(shape: str, value: Mapping[str, Any], *, model: Model = MODEL) -> Iterator[str]:
    """The problems of an input structure, in the model's order."""
    yield from _structure(model.shapes[shape], value, "", model)


def member_path(prefix: str, name: str) -> str:
    """``vpcConfig.subnetIds``: members in lower camel case, the first letter only."""
    name = name[:1].lower() + name[1:]
    return f"{prefix}.{name}" if prefix else name


def java_text(value: Any) -> str:
    """A value as Java prints it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case Mapping():
            return "{" + ", ".join(f"{k}={java_text(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(java_text(item) for item in value) + "]"
        case _:
            return str(value)


def _problem(value: Any, path: str, constraint: str, *, sensitive: bool = False) -> str:
    """One sentence; of what is sensitive the value stays out (trek10inc/serverless-secrets#39)."""
    shown = "null " if value is None else "" if sensitive else f"'{java_text(value)}' "
    return f"Value {shown}at '{path}' failed to satisfy constraint: {constraint}"


def _structure(shape: Shape, value: Mapping[str, Any], path: str, model: Model) -> Iterator[str]:
    for name, member in shape.members.items():
        where = member_path(path, name)
        given = value.get(name)
        if given is not None:
            yield from _value(model.shapes[member.shape], given, where, model)
        elif name in shape.required:
            yield _problem(None, where, NOT_NULL)


def _value(shape: Shape, value: Any, path: str, model: Model) -> Iterator[str]:
    match shape.type:
        case "structure":
            yield from _structure(shape, value, path, model)
        case "list":
            yield from _list(shape, value, path, model)
        case "map":
            yield from _map(shape, value, path, model)
        case _:
            for text, holds in reversed(_constraints(shape)):
                if not holds(value):
                    yield _problem(value, path, text, sensitive=shape.sensitive)


def _list(shape: Shape, value: Sequence[Any], path: str, model: Model) -> Iterator[str]:
    element = model.shapes[shape.element]
    for text, holds in _lengths(shape):
        if not holds(value):
            yield _problem(value, path, text)
    if element.type in ("structure", "list", "map"):
        for number, item in enumerate(value, start=1):
            where = f"{path}.{number}.member"
            if item is None:
                yield _problem(None, where, NOT_NULL)
            else:
                yield from _value(element, item, where, model)
    elif not _all_hold(element, value):
        yield _problem(value, path, f"Member must satisfy constraint: {_listed(element)}")


def _map(shape: Shape, value: Mapping[str, Any], path: str, model: Model) -> Iterator[str]:
    key, item = model.shapes[shape.key], model.shapes[shape.value]
    hidden = shape.sensitive
    for text, holds in _lengths(shape):
        if not holds(value):
            yield _problem(value, path, text, sensitive=hidden)
    if not _all_hold(key, list(value)):
        text = f"Map keys must satisfy constraint: {_listed(key)}"
        yield _problem(value, path, text, sensitive=hidden)
    if item.type in ("structure", "list", "map"):
        for name, inner in value.items():
            if inner is not None:
                yield from _value(item, inner, f"{path}.{name}.member", model)
    elif not _all_hold(item, list(value.values())):
        text = f"Map value must satisfy constraint: {_listed(item)}"
        yield _problem(value, path, text, sensitive=hidden)


def _all_hold(shape: Shape, values: Sequence[Any]) -> bool:
    rules = _constraints(shape)
    return all(value is not None and all(holds(value) for _, holds in rules) for value in values)


def _listed(shape: Shape) -> str:
    """The constraints of elements; recorded of names of variables, no word about null."""
    texts = [text for text, _ in _constraints(shape)]
    if not shape.sensitive or not texts:
        texts.append(NOT_NULL)
    return f"[{', '.join(texts)}]"


def _constraints(shape: Shape) -> list[Constraint]:
    """The constraints of a scalar, in the order in which they are listed for elements."""
    rules = _lengths(shape) if shape.type in ("string", "blob") else _ranges(shape)
    if shape.regex is not None:
        regex = shape.regex
        rules.append(
            (
                f"Member must satisfy regular expression pattern: {shape.pattern}",
                lambda value: regex.fullmatch(value) is not None,
            )
        )
    if shape.enum is not None:
        names = shape.enum
        rules.append(
            (
                f"Member must satisfy enum value set: [{', '.join(names)}]",
                lambda value: value in names,
            )
        )
    return rules


def _lengths(shape: Shape) -> list[Constraint]:
    rules: list[Constraint] = []
    high, low = shape.maximum, shape.minimum
    if high is not None:
        text = f"Member must have length less than or equal to {high}"
        rules.append((text, lambda value: len(value) <= high))
    if low is not None:
        text = f"Member must have length greater than or equal to {low}"
        rules.append((text, lambda value: len(value) >= low))
    return rules


def _ranges(shape: Shape) -> list[Constraint]:
    rules: list[Constraint] = []
    high, low = shape.maximum, shape.minimum
    if high is not None:
        text = f"Member must have value less than or equal to {_number(shape, high)}"
        rules.append((text, lambda value: value <= high))
    if low is not None:
        text = f"Member must have value greater than or equal to {_number(shape, low)}"
        rules.append((text, lambda value: value >= low))
    return rules


def _number(shape: Shape, limit: float) -> str:
    return str(float(limit)) if shape.type in ("double", "float") else str(limit)
