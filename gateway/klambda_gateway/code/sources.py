"""What is to be said about code and layers' content, and what must be done to find out. Pure.

Theory. The code of a Function, and the content of a LayerVersion, is an explicit source (``files``,
``zip``, or elsewhere: ``s3``, ``url``) or a blob in the store; or a Function has an image. An
explicit source is made into a zip once, an image is looked up once, and the status tells for which
source that was; of a blob only its presence is to be checked. ``settled`` compares what the object
says with what it would be told, so that nothing is done or written twice. Reasons and sentences are
for people.
Place: ``resolver`` asks; ``klambda_core.code`` and ``layers`` read what came of it.
"""

from __future__ import annotations

import binascii
import io
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from klambda_core.code import (
    NO_CODE,
    NO_CODE_TEXT,
    NO_IMAGE_TEXT,
    pack_files,
    source_digest,
)
from klambda_core.conditions import Fact, Truth, find
from klambda_core.crd import (
    Function,
    Image,
    LayerVersion,
    ResolvedCode,
    ResolvedImage,
    Sources,
)
from klambda_core.errors import LambdaError
from klambda_gateway.code.zips import check_zip
from klambda_gateway.images.trouble import DENIED, NOT_FOUND, UNREACHABLE, ImageTrouble

CODE = "CodeResolved"
CONTENT = "Ready"
NO_CONTENT = "NoContent"
INVALID = "InvalidCode"
MISSING = "BlobMissing"
UNAVAILABLE = "SourceUnavailable"
FORBIDDEN = "SourceForbidden"
NAME_TAKEN = "NameTaken"
STORED = "Stored"
FOUND = "ImageFound"
_PASSING = (MISSING, NAME_TAKEN, UNAVAILABLE, FORBIDDEN, NOT_FOUND, DENIED, UNREACHABLE)
"""What may change without the object; such an object is never settled."""

Resolvable = Function | LayerVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is written into the status; ``retry``: look again later although it is said."""

    fact: Fact
    code: ResolvedCode | None = None
    image: ResolvedImage | None = None
    retry: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A zip to be stored, the source it was made from, and the size of its files."""

    data: bytes
    source: str
    unzipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A blob whose presence is to be checked."""

    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A package that lies elsewhere, and the source that says so."""

    sources: Sources
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """An image to be looked up, and the source that names it."""

    uri: str
    digest: str | None
    architecture: str
    source: str


def needed(item: Resolvable) -> Package | Lookup | Fetch | Search | Outcome:
    """What must be done, or what is to be said without doing anything."""
    if isinstance(item, Function) and item.spec.package_type == "Image":
        return _search(item)
    sources = sources_of(item)
    source = source_digest(sources)
    if sources is None or (source is None and sources.blob is None):
        return _nothing(item)
    if source is None and sources.blob is not None:
        return Lookup(sha256=sources.blob.sha256)
    if sources.files is None and sources.zip is None:
        return Fetch(sources=sources, source=source or "")
    try:
        data = pack_files(sources.files) if sources.files is not None else _decoded(sources.zip)
    except (binascii.Error, ValueError):
        return refused(item, INVALID, "zip is not base64: give the base64 text of a zip file.")
    try:
        unzipped = check_zip(io.BytesIO(data))
    except LambdaError as error:
        return refused(item, INVALID, f"This is no usable deployment package: {error.message}")
    return Package(data=data, source=source or "", unzipped=unzipped)


def _search(function: Function) -> Search | Outcome:
    code = function.spec.code
    if code is None or code.image_uri is None:
        return refused(function, NO_CODE, NO_IMAGE_TEXT)
    return Search(
        uri=code.image_uri,
        digest=code.image_digest,
        architecture=function.spec.architectures[0],
        source=source_digest(code) or "",
    )


def found(image: Image, source: str) -> Outcome:
    """The image is there, and this is what its name meant."""
    text = f"Image {image.uri} is {image.digest[:12]}."
    members = {name: getattr(image, name) for name in Image.model_fields}
    return Outcome(
        fact=Fact(type=CODE, status="True", reason=FOUND, message=text),
        image=ResolvedImage(**members, source=source),
    )


def not_found(trouble: ImageTrouble) -> Outcome:
    """The image is not to be had; a registry that does not answer says nothing about it."""
    status: Truth = "Unknown" if trouble.reason == UNREACHABLE else "False"
    fact = Fact(type=CODE, status=status, reason=trouble.reason, message=trouble.message)
    return Outcome(fact=fact, retry=trouble.retry)


def stored(item: Resolvable, sha256: str, code: ResolvedCode | None = None) -> Outcome:
    """The zip is where instances can fetch it."""
    text = f"{_word(item)} {sha256[:12]} is in the store."
    fact = Fact(type=_condition(item), status="True", reason=STORED, message=text)
    return Outcome(fact=fact, code=code)


def missing(item: Resolvable, sha256: str) -> Outcome:
    """The blob that the object names is not in the store."""
    text = f"The store has no blob {sha256[:12]}: upload it again."
    fact = Fact(type=_condition(item), status="False", reason=MISSING, message=text)
    return Outcome(fact=fact, retry=True)


def refused(item: Resolvable, reason: str, message: str) -> Outcome:
    """There is no zip, and why."""
    fact = Fact(type=_condition(item), status="False", reason=reason, message=message)
    return Outcome(fact=fact, retry=reason in _PASSING)


def name_taken(layer: LayerVersion, arn: str, winner: str) -> Outcome:
    """An older LayerVersion has the ARN."""
    text = f"LayerVersion {winner} is older and has the ARN {arn}. Delete one of the two."
    return refused(layer, NAME_TAKEN, text)


def settled(item: Resolvable) -> bool:
    """Whether the status already says what there is to say."""
    condition = find(item.status.conditions, _condition(item))
    if condition is None:
        return False
    sources, code = sources_of(item), resolved_of(item)
    source = source_digest(sources)
    if condition.status == "True":
        if isinstance(item, Function) and item.spec.package_type == "Image":
            return item.status.image is not None and item.status.image.source == source
        if source is not None:
            return code is not None and code.source == source
        blob = sources.blob if sources is not None else None
        return blob is not None and code is None and blob.sha256[:12] in condition.message
    current = condition.observed_generation == item.metadata.generation
    return current and condition.reason not in _PASSING


def said(item: Resolvable) -> Outcome:
    """What a settled object says."""
    condition = find(item.status.conditions, _condition(item))
    if condition is None:
        raise ValueError(f"{item.name} says nothing")
    fact = Fact(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
    )
    image = item.status.image if isinstance(item, Function) else None
    return Outcome(fact=fact, code=resolved_of(item), image=image)


def sources_of(item: Resolvable) -> Sources | None:
    """Where the zip comes from."""
    return item.spec.code if isinstance(item, Function) else item.spec.content


def resolved_of(item: Resolvable) -> ResolvedCode | None:
    """What the explicit source led to."""
    return item.status.code if isinstance(item, Function) else item.status.content


def weight(sources: Mapping[str, Any] | None) -> int:
    """Characters of a source that stands in its object, as it came from Kubernetes."""
    members = sources or {}
    files = members.get("files") or {}
    return len(members.get("zip") or "") + sum(map(len, files.values()))


def _nothing(item: Resolvable) -> Outcome:
    if isinstance(item, Function):
        return refused(item, NO_CODE, NO_CODE_TEXT)
    return refused(item, NO_CONTENT, "There is no content: publish a version that has some.")


def _condition(item: Resolvable) -> str:
    return CODE if isinstance(item, Function) else CONTENT


def _word(item: Resolvable) -> str:
    return "Code" if isinstance(item, Function) else "Content"


def _decoded(text: str | None) -> bytes:
    return b64decode("".join((text or "").split()), validate=True)
