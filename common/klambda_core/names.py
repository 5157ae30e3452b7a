"""Object names from AWS names, and children's names from parents'. Nothing else formats names.

A Function is found by an index on its AWS name, so these names need only be deterministic, legal
and hard to collide. A Deployment's name hashes its owner's uid too: a function that is deleted and
created again never meets the children of its predecessor.
"""

import hashlib
import re

from klambda_core.limits import LABEL_MAX, OBJECT_NAME_MAX

LATEST = "$LATEST"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_NOT_LABEL = re.compile(r"[^a-z0-9]+")
_SIGNING_ID = re.compile(r"csc-[a-z0-9]{17}\Z")
_HASH_LENGTH = 8


def object_name(aws_name: str) -> str:
    """The name under which the API door stores a function: the AWS name, or slug and hash."""
    if len(aws_name) <= OBJECT_NAME_MAX and _LABEL.match(aws_name):
        return aws_name
    slug = _slug(aws_name, OBJECT_NAME_MAX - _HASH_LENGTH - 1)
    return _join(slug, _hash(aws_name))


def version_name(function_object: str, number: int) -> str:
    """The Version object of one published number (the CRD's rule says the same)."""
    return f"{function_object}-v{number}"


def alias_name(function_object: str, alias: str) -> str:
    """The Alias object that the API door makes; users may name theirs as they like."""
    room = LABEL_MAX - len(function_object) - len("-a-") - _HASH_LENGTH - 1
    return f"{function_object}-a-{_join(_slug(alias, room), _hash(alias))}"


def layer_version_name(layer: str, number: int) -> str:
    """The LayerVersion object that the API door makes; users may name theirs as they like."""
    return f"{object_name(layer)}-{number}"


def deployment_name(function_object: str, version: str, revision: str, owner_uid: str) -> str:
    """The Deployment of one revision; `version` is `$LATEST` or the number; ≤ 63 characters."""
    stem = "latest" if version == LATEST else f"v{version}"
    return f"{function_object}-{stem}-{_hash(revision, owner_uid)}"


def event_source_name(function_name: str, qualifier: str | None, source: str) -> str:
    """The EventSourceMapping that the API door makes: equal mappings have equal names."""
    return f"{object_name(function_name)}-esm-{_hash(function_name, qualifier or '', source)}"


def signing_config_id(name: str) -> str:
    """The id of a CodeSigningConfig object: its name, or what is made from another name."""
    if _SIGNING_ID.match(name):
        return name
    return f"csc-{hashlib.sha256(name.encode()).hexdigest()[:17]}"


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_HASH_LENGTH]


def _slug(text: str, room: int) -> str:
    return _NOT_LABEL.sub("-", text.lower()).strip("-")[:room].strip("-")


def _join(slug: str, suffix: str) -> str:
    return f"{slug}-{suffix}" if slug else suffix
