"""Take a request apart into the typed members of an operation's input.

Place: after routing; its result goes to ``validation`` and to the operation. Invariants: pure;
members come from path (decoded here, once), query, headers and JSON body as the model says; null
means absent; unknown members are ignored, as AWS does; blobs become bytes. What does not fit the
protocol at all raises SerializationException. Not here: constraints on values.
"""

from __future__ import annotations

import binascii
import json
import math
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from klambda_core import errors
from klambda_gateway.api.extraction import LargeString, resolved
from klambda_gateway.api.model import MODEL, Member, Model, Operation, Shape
from klambda_gateway.code.upload import Upload

Input = dict[str, Any]
_INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a request that carry members."""

    uri: Mapping[str, str]
    """Decoded path parameters by name."""
    query: bytes
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    strings: Mapping[str, LargeString] = field(default_factory=dict)
    """What stands in the place of large strings of the body (``extraction``)."""


def read(operation: Operation, parts: Parts, *, model: Model = MODEL) -> Input:
    """Give the members of a request. Raises SerializationException."""
    if operation.input is None:
        return {}
    shape = model.shapes[operation.input]
    document = {} if shape.payload else _document(shape, parts)
    payload = shape.members.get(shape.payload or "")
    query = query_members(parts.query)
    result: Input = {}
    for member in shape.members.values():
        value: Any
        if member is payload:
            value = _payload(model.shapes[member.shape], parts, model)
        elif member.location == "body":
            value = _typed(model.shapes[member.shape], document.get(member.name), model)
        else:
            value = _from_text(model, member, _found(member, parts, query))
        if value is not None:
            result[member.name] = value
    return result


def _payload(shape: Shape, parts: Parts, model: Model) -> Any:
    """A body that is one member: raw bytes, or the document of a structure."""
    if shape.type != "structure":
        return parts.body
    return _structure(shape, _document(shape, parts), model) if parts.body else None


def query_members(query: bytes) -> Mapping[str, list[str]]:
    """The query's members, decoded, repeated ones in order."""
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        raise errors.serialization("The query has too many members.") from None
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _found(member: Member, parts: Parts, query: Mapping[str, list[str]]) -> list[str]:
    match member.location:
        case "uri":
            text = parts.uri.get(member.wire_name)
        case "header":
            text = parts.headers.get(member.wire_name.lower())
        case _:
            return query.get(member.wire_name, [])
    return [] if text is None else [text]


def _document(shape: Shape, parts: Parts) -> Mapping[str, Any]:
    body = parts.body
    if not body or not any(member.location == "body" for member in shape.members.values()):
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise errors.serialization("Could not parse request body into json.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise errors.serialization("Start of structure or map expected.")
    if parts.strings:
        found: Mapping[str, Any] = resolved(document, dict(parts.strings))
        return found
    return document


def _from_text(model: Model, member: Member, texts: Sequence[str]) -> Any:
    """A member of path, query or headers: text that stands for its type."""
    if not texts:
        return None
    shape = model.shapes[member.shape]
    if shape.type == "list":
        return [_checked(text) for text in texts]
    text = texts[0]
    match shape.type:
        case "integer" | "long":
            return _integer_text(text)
        case "boolean":
            return text.strip().lower() == "true"
        case _:
            return _checked(text)


def _integer_text(text: str) -> int:
    stripped = text.strip()
    digits = stripped[1:] if stripped[:1] in ("-", "+") else stripped
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise errors.serialization("STRING_VALUE can not be converted to an Integer")
    return int(stripped)


def _typed(shape: Shape, value: Any, model: Model) -> Any:
    """A JSON value as its shape wants it."""
    if value is None:
        return None
    match shape.type:
        case "structure":
            return _structure(shape, _object(value), model)
        case "list":
            if not isinstance(value, list):
                raise errors.serialization("Expected list or null")
            element = model.shapes[shape.element]
            return [_typed(element, item, model) for item in value]
        case "map":
            item = model.shapes[shape.value]
            return {
                _checked(key): _typed(item, inner, model) for key, inner in _object(value).items()
            }
        case _:
            return _scalar(shape.type, value)


def _structure(shape: Shape, value: Mapping[str, Any], model: Model) -> Input:
    read_members = {
        name: _typed(model.shapes[member.shape], value.get(name), model)
        for name, member in shape.members.items()
    }
    return {name: inner for name, inner in read_members.items() if inner is not None}


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise errors.serialization("Expected structure or null")
    return value


def _scalar(kind: str, value: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise errors.serialization("Start of structure or map found where not expected.")
    if isinstance(value, LargeString):
        return _large(kind, value)
    match kind:
        case "string":
            if not isinstance(value, str):
                raise _wrong(value, "a String")
            return _checked(value)
        case "blob":
            return _blob(value)
        case "boolean":
            if not isinstance(value, bool):
                raise _wrong(value, "a Boolean")
            return value
        case "integer" | "long":
            return _integer(value, _INT32 if kind == "integer" else 2**63 - 1)
        case _:
            return _double(value)


def _integer(value: Any, limit: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(value, "an Integer")
    if abs(value) > limit:
        raise errors.serialization("NUMBER_VALUE is out of range for an Integer")
    return value


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(value, "a Double")
    if isinstance(value, int) and abs(value) > 2**1000:
        raise errors.serialization("NUMBER_VALUE is out of range for a Double")
    number = float(value)
    if not math.isfinite(number):
        raise errors.serialization("NUMBER_VALUE is out of range for a Double")
    return number


def _blob(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _wrong(value, "a ByteBuffer")
    try:
        return b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise errors.serialization("Failed to decode base64") from None


def _large(kind: str, value: LargeString) -> Upload:
    """A package; no other member takes a string of such length."""
    if kind != "blob":
        raise errors.serialization("STRING_VALUE is too long")
    if value.upload is None:
        raise errors.serialization("Failed to decode base64")
    return value.upload


def _wrong(value: Any, wanted: str) -> errors.LambdaError:
    match value:
        case bool():
            found = "TRUE_VALUE" if value else "FALSE_VALUE"
        case str():
            found = "STRING_VALUE"
        case float():
            found = "DECIMAL_VALUE"
        case _:
            found = "NUMBER_VALUE"
    return errors.serialization(f"{found} can not be converted to {wanted}")


def _checked(text: str) -> str:
    """Refuse half surrogate pairs: JSON can spell them, UTF-8 can not."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise errors.serialization("Invalid UTF-8 in a string") from None
    return text
