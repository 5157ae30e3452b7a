"""What is to be said about a function's code, and what must be done to find out. Pure.

Theory. A Function's code is an explicit source (``files``, ``zip``) or a blob in the store. An
explicit source is made into a zip once and ``status.code`` tells which source it was made from; of
a blob only its presence is to be checked. ``settled`` compares what the object says with what it
would be told, so that nothing is done or written twice. Reasons and sentences are for people.
Place: ``resolver`` asks; ``klambda_core.code`` reads what came of it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass

from klambda_core.code import IMAGE_UNSUPPORTED, NO_CODE, pack_files, source_digest
from klambda_core.conditions import Fact, find
from klambda_core.crd import Function, ResolvedCode
from klambda_core.errors import LambdaError
from klambda_gateway.code.zips import check_zip

CONDITION = "CodeResolved"
INVALID = "InvalidCode"
MISSING = "BlobMissing"
UNSUPPORTED = "SourceUnsupported"
STORED = "Stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is written into the status; ``retry``: look again later although it is said."""

    fact: Fact
    code: ResolvedCode | None = None
    retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A zip to be stored, and the source it was made from."""

    data: bytes
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A blob whose presence is to be checked."""

    sha256: str


def needed(function: Function) -> Package | Lookup | Outcome:
    """What must be done, or what is to be said without doing anything."""
    code, source = function.spec.code, source_digest(function.spec.code)
    if function.spec.package_type == "Image":
        return _refused(IMAGE_UNSUPPORTED, "Container images are not supported by this release.")
    if code is None or (source is None and code.blob is None):
        return _refused(
            NO_CODE, "There is no code: set spec.code, or upload it with UpdateFunctionCode."
        )
    if source is None and code.blob is not None:
        return Lookup(sha256=code.blob.sha256)
    if code.files is None and code.zip is None:
        return _refused(UNSUPPORTED, "Give code.files or code.zip, or upload the code: other "
                        "sources are not supported by this release.")  # fmt: skip
    try:
        data = pack_files(code.files) if code.files is not None else _decoded(code.zip or "")
    except (binascii.Error, ValueError):
        return _refused(INVALID, "code.zip is not base64: give the base64 text of a zip file.")
    try:
        check_zip(data)
    except LambdaError as error:
        return _refused(INVALID, f"The code is no usable deployment package: {error.message}")
    return Package(data=data, source=source or "")


def stored(sha256: str, code: ResolvedCode | None = None) -> Outcome:
    """The code is where instances can fetch it."""
    text = f"Code {sha256[:12]} is in the store."
    return Outcome(fact=Fact(type=CONDITION, status="True", reason=STORED, message=text), code=code)


def missing(sha256: str) -> Outcome:
    """The blob that the object names is not in the store."""
    text = f"The store has no blob {sha256[:12]}: upload the code again with UpdateFunctionCode."
    return Outcome(
        fact=Fact(type=CONDITION, status="False", reason=MISSING, message=text), retry=True
    )


def settled(function: Function) -> bool:
    """Whether the status already says what there is to say."""
    condition = find(function.status.conditions, CONDITION)
    if condition is None:
        return False
    code, source = function.status.code, source_digest(function.spec.code)
    if condition.status == "True":
        if source is not None:
            return code is not None and code.source == source
        blob = function.spec.code.blob if function.spec.code is not None else None
        return blob is not None and code is None and blob.sha256[:12] in condition.message
    current = condition.observed_generation == function.metadata.generation
    return current and condition.reason != MISSING


def says(function: Function, outcome: Outcome) -> bool:
    """Whether writing the outcome would change nothing."""
    condition = find(function.status.conditions, CONDITION)
    fact = outcome.fact
    return (
        condition is not None
        and condition.observed_generation == function.metadata.generation
        and (condition.status, condition.reason, condition.message)
        == (fact.status, fact.reason, fact.message)
        and function.status.code == outcome.code
    )


def _refused(reason: str, message: str) -> Outcome:
    return Outcome(fact=Fact(type=CONDITION, status="False", reason=reason, message=message))


def _decoded(text: str) -> bytes:
    return b64decode("".join(text.split()), validate=True)
