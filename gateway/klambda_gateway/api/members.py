"""Structures of the API as members of a spec and back, where both differ only in spelling.

Theory. ``KMSKeyArn`` of the API is ``kmsKeyArn`` of a spec, at every depth; the model says where
structures are, and what is a map with keys of its own. Timestamps are epoch seconds there, RFC 3339
here. Place: kinds whose spec mirrors the API (event source mappings, code signing configs).
Invariants: pure; ``to_api`` undoes ``to_spec``. Not here: kinds that are not mirrors (``spec``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from klambda_core import errors
from klambda_core.clock import parse_timestamp
from klambda_gateway.api.model import MODEL, Model

_ACRONYM = re.compile(r"[A-Z]+(?=[A-Z][a-z]|$)")


@cache
def spec_name(member: str) -> str:
    """``KMSKeyArn`` → ``kmsKeyArn``, ``SchemaRegistryURI`` → ``schemaRegistryUri``."""
    name = _ACRONYM.sub(lambda match: match[0].capitalize(), member)
    return name[:1].lower() + name[1:]


def to_spec(shape: str, value: Any, *, model: Model = MODEL) -> Any:
    """A value as read from a request, in the spec's words. Raises SerializationException."""
    found = model.shapes[shape]
    match found.type:
        case "structure":
            return {
                spec_name(name): to_spec(member.shape, value[name], model=model)
                for name, member in found.members.items()
                if name in value
            }
        case "list":
            return [to_spec(found.element, each, model=model) for each in value]
        case "map":
            return {key: to_spec(found.value, each, model=model) for key, each in value.items()}
        case "timestamp":
            return _moment(value)
        case _:
            return value


def to_api(shape: str, value: Any, *, model: Model = MODEL) -> Any:
    """A spec's value in the API's words."""
    found = model.shapes[shape]
    match found.type:
        case "structure":
            members: Mapping[str, Any] = value
            return {
                name: to_api(member.shape, members[spec_name(name)], model=model)
                for name, member in found.members.items()
                if members.get(spec_name(name)) is not None
            }
        case "list":
            return [to_api(found.element, each, model=model) for each in value]
        case "map":
            return {key: to_api(found.value, each, model=model) for key, each in value.items()}
        case "timestamp":
            moment = parse_timestamp(value)
            return moment.timestamp() if moment is not None else 0
        case _:
            return value


def _moment(seconds: float) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise errors.serialization("Timestamp is out of range") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
