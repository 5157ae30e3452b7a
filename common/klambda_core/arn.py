"""ARNs: every accepted spelling of a function's name read, every ARN written. Errors are values.

The `FunctionName` of a request may be `name`, `name:qualifier`, `function:name`,
`123456789012:function:name`, a partial or a full ARN (botocore model, "NamespacedFunctionName").
Whether region and account are ours, and which error that is, the caller decides.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from klambda_core.labels import ACCOUNT_ID

_FUNCTION = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*)?:lambda:)?"
    r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?\Z",
    re.ASCII,
)
_LAYER = re.compile(
    r"(?:arn:(?P<partition>[a-zA-Z0-9-]+):lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<version>\d+))?\Z",
    re.ASCII,
)
_ACCOUNT = re.compile(r"\d{12}\Z", re.ASCII)
_VERSION = re.compile(r"(?:0|[1-9][0-9]*)\Z", re.ASCII)
_ACCOUNT_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTarget:
    """What a request's FunctionName says; parts that it leaves out are None."""

    name: str
    qualifier: str | None = None
    region: str | None = None
    account: str | None = None
    partition: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """The text is no spelling of a name."""

    text: str


def parse_function(text: str) -> FunctionTarget | Malformed:
    """Read a decoded FunctionName (or function ARN) in any accepted spelling."""
    match = _FUNCTION.match(text)
    if match is None:
        return Malformed(text=text)
    return FunctionTarget(
        name=match["name"],
        qualifier=match["qualifier"],
        region=match["region"],
        account=match["account"],
        partition=match["partition"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTarget:
    """What a layer's name or ARN says; parts that it leaves out are None."""

    name: str
    version: int | None = None
    region: str | None = None
    account: str | None = None


def parse_layer(text: str) -> LayerTarget | Malformed:
    """Read a layer's name, its ARN, or the ARN of one of its versions."""
    match = _LAYER.match(text)
    if match is None:
        return Malformed(text=text)
    return LayerTarget(
        name=match["name"],
        version=None if match["version"] is None else int(match["version"]),
        region=match["region"],
        account=match["account"],
    )


def is_version(qualifier: str) -> bool:
    """A published version's number as AWS writes it, as against an alias or `$LATEST`."""
    return _VERSION.match(qualifier) is not None


def function_arn(region: str, account: str, name: str, qualifier: str | None = None) -> str:
    """ARN of a function, or of a version, alias or `$LATEST` of it."""
    tail = f":{qualifier}" if qualifier else ""
    return f"arn:aws:lambda:{region}:{account}:function:{name}{tail}"


def layer_arn(region: str, account: str, layer: str, version: int | None = None) -> str:
    """ARN of a layer, or of one version of it."""
    tail = "" if version is None else f":{version}"
    return f"arn:aws:lambda:{region}:{account}:layer:{layer}{tail}"


def event_source_mapping_arn(region: str, account: str, uuid: str) -> str:
    """ARN of an event source mapping."""
    return f"arn:aws:lambda:{region}:{account}:event-source-mapping:{uuid}"


def code_signing_config_arn(region: str, account: str, config_id: str) -> str:
    """ARN of a code signing config; `config_id` is `csc-` and 17 of [a-z0-9]."""
    return f"arn:aws:lambda:{region}:{account}:code-signing-config:{config_id}"


def runtime_arn(region: str, digest: str) -> str:
    """ARN of a runtime version (no account in it)."""
    return f"arn:aws:lambda:{region}::runtime:{digest}"


def default_role(account: str) -> str:
    """The role that a function without one reads as."""
    return f"arn:aws:iam::{account}:role/klambda-default"


def annotated_account(namespace: Mapping[str, Any]) -> str | None:
    """What a Namespace object (JSON) says its account is."""
    value = (namespace["metadata"].get("annotations") or {}).get(ACCOUNT_ID)
    return value if isinstance(value, str) else None


def account_id(
    namespace: str, *, annotation: str | None = None, mapping: Mapping[str, str] | None = None
) -> str:
    """The AWS account of a namespace: its annotation, the chart's map, else 12 hashed digits."""
    for given in (annotation, (mapping or {}).get(namespace)):
        if given and _ACCOUNT.match(given):
            return given
    return _hashed(namespace)


@lru_cache(maxsize=4096)
def _hashed(namespace: str) -> str:
    number = int.from_bytes(hashlib.sha256(namespace.encode()).digest()[:8], "big")
    return f"{number % 10**_ACCOUNT_DIGITS:0{_ACCOUNT_DIGITS}d}"
