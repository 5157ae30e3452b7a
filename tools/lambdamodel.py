"""Extract what the gateway needs of botocore's Lambda model: operations and input shapes.

Place: run at build time by a developer (``python -m tools.lambdamodel``); the result
``gateway/klambda_gateway/api/model.json`` is committed, read by ``api.model``, and compared with
the pinned botocore by a test (``--check``). botocore is no dependency of the running gateway.
Invariants: names, order, ranges, enums, patterns are the model's; ``OVERRIDES`` and ``REFERENCES``
are the whole list of what differs on purpose. Not here: output shapes (answers are written by hand,
tested with botocore's own parser).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore
import botocore.session

TARGET = Path(__file__).resolve().parents[1] / "gateway/klambda_gateway/api/model.json"

OVERRIDES: Mapping[str, Mapping[str, Any]] = {
    # The service's validators answer with 170 where the model says 256 (aws-contract a.3).
    "NamespacedFunctionName": {"max": 170},
    # The model's 5400 and 32768 belong to Managed Instances and accelerators, which this
    # installation does not have; ordinary functions keep Lambda's documented limits (quotas page).
    "Timeout": {"max": 900},
    "EphemeralStorageSize": {"max": 10240},
    # A wrong runtime is InvalidParameterValueException with another text (aws-contract a.4).
    "Runtime": {"enum": None},
}

REFERENCES: Mapping[tuple[str, str], str] = {
    # Deleting answers with 140, as creating does (aws-contract a.3).
    ("DeleteFunctionRequest", "FunctionName"): "FunctionName",
}

_CONSTRAINTS = ("min", "max", "pattern", "enum", "streaming", "sensitive")


def extract() -> dict[str, Any]:
    """Build the table."""
    raw = botocore.session.get_session().get_service_model("lambda")._service_description
    shapes: dict[str, Any] = {}
    operations = {}
    for name, operation in sorted(raw["operations"].items()):
        path, _, query = operation["http"]["requestUri"].partition("?")
        entry = {
            "method": operation["http"]["method"],
            "path": path,
            "status": operation["http"]["responseCode"],
        }
        if query:
            entry["query"] = dict([query.split("=")])
        if "input" in operation:
            entry["input"] = operation["input"]["shape"]
            _collect(raw["shapes"], entry["input"], shapes)
        operations[name] = entry
    return {
        "botocore": botocore.__version__,
        "operations": operations,
        "runtimes": raw["shapes"]["Runtime"]["enum"],
        "shapes": dict(sorted(shapes.items())),
    }


def _collect(source: Mapping[str, Any], name: str, into: dict[str, Any]) -> None:
    if name in into:
        return
    shape = source[name]
    compact: dict[str, Any] = {"type": shape["type"]}
    into[name] = compact
    compact.update({key: shape[key] for key in _CONSTRAINTS if key in shape})
    compact.update(OVERRIDES.get(name, {}))
    for key in [key for key, value in compact.items() if value is None]:
        del compact[key]
    match shape["type"]:
        case "structure":
            compact["members"] = {
                member: _member(reference, REFERENCES.get((name, member)))
                for member, reference in shape["members"].items()
            }
            compact.update({key: shape[key] for key in ("required", "payload") if key in shape})
            references = [reference["shape"] for reference in shape["members"].values()]
        case "list":
            compact["member"] = shape["member"]["shape"]
            references = [compact["member"]]
        case "map":
            compact["key"], compact["value"] = shape["key"]["shape"], shape["value"]["shape"]
            references = [compact["key"], compact["value"]]
        case _:
            references = []
    for reference in references:
        _collect(source, reference, into)


def _member(reference: Mapping[str, Any], shape: str | None) -> dict[str, str]:
    member = {"shape": shape or reference["shape"]}
    if "location" in reference:
        member["in"] = reference["location"]
        member["name"] = reference.get("locationName", "")
    return member


def render(table: Mapping[str, Any]) -> str:
    """One line per operation and shape, so that a diff of two models is readable."""
    parts = []
    for key, value in table.items():
        if isinstance(value, dict):
            lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            parts.append(f" {json.dumps(key)}: {{\n{lines}\n }}")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(arguments: list[str]) -> int:
    """Write the table, or with ``--check`` say whether the committed one is fresh."""
    text = render(extract())
    if "--check" in arguments:
        fresh = TARGET.exists() and TARGET.read_text() == text
        if not fresh:
            sys.stderr.write(f"{TARGET} is stale: run python -m tools.lambdamodel\n")
        return 0 if fresh else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
