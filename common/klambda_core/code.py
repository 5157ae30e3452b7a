"""Which code a function runs, and how `spec.code.files` becomes a zip. Pure.

An explicit source (files, zip, url, s3, imageUri) wins over `blob`. It counts as resolved only when
`status.code` (of an image `status.image`) was made from this very source (`source` is its digest);
the gateway writes that. A blob needs no resolution.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from klambda_core.canonical import digest_of
from klambda_core.crd.base import Json
from klambda_core.crd.code import Blob, Image, Sources
from klambda_core.crd.function import Function
from klambda_core.crd.status import ResolvedCode

NO_CODE = "NoCode"
CODE_PENDING = "CodePending"
NO_CODE_TEXT = "There is no code: set spec.code, or upload it with UpdateFunctionCode."
NO_IMAGE_TEXT = "There is no image: set spec.code.imageUri, or give it with UpdateFunctionCode."

_EXPLICIT = ("files", "zip", "url", "s3", "image_uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRef:
    """A zip in the store: its digest (hex), its size, and its files' size where it is known."""

    sha256: str
    size: int
    unzipped: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """Why there is no code, or no layer, yet. `final`: only a change of an object can help."""

    reason: str
    message: str
    final: bool = False


def explicit_source(code: Sources | None) -> Json | None:
    """The members of the one explicit source, as JSON; None when there is none."""
    if code is None:
        return None
    chosen = next((name for name in _EXPLICIT if getattr(code, name, None) is not None), None)
    if chosen is None:
        return None
    members = {chosen} | {"url": {"sha256"}, "image_uri": {"image_digest"}}.get(chosen, set())
    source: Json = code.model_dump(mode="json", by_alias=True, exclude_none=True, include=members)
    return source


def source_digest(code: Sources | None) -> str | None:
    """Digest of the explicit source: what `status.code.source` must say to be about it."""
    source = explicit_source(code)
    return None if source is None else digest_of(source)


def resolved_code(function: Function) -> CodeRef | Image | Unresolved:
    """The code or image that instances of `$LATEST` get, or why there is none."""
    code, status = function.spec.code, function.status
    image = function.spec.package_type == "Image"
    source = source_digest(code)
    if code is not None and code.blob is not None and source is None and not image:
        return reference(code.blob)
    if code is None or source is None or (image and code.image_uri is None):
        return Unresolved(reason=NO_CODE, message=NO_IMAGE_TEXT if image else NO_CODE_TEXT)
    if image and status.image is not None and status.image.source == source:
        return status.image
    if not image and status.code is not None and status.code.source == source:
        return reference(status.code)
    what = "image is being looked up" if image else "code is being fetched"
    return _refusal(function) or Unresolved(
        reason=CODE_PENDING, message=f"The {what}; if this lasts, see the gateway's log."
    )


def reference(stored: Blob | ResolvedCode) -> CodeRef:
    """What a member of an object says about a zip in the store."""
    return CodeRef(sha256=stored.sha256, size=stored.size, unzipped=stored.unzipped)


def _refusal(function: Function) -> Unresolved | None:
    """What the gateway found wrong with this generation's source."""
    for condition in function.status.conditions:
        current = condition.observed_generation == function.metadata.generation
        if condition.type == "CodeResolved" and condition.status == "False" and current:
            if condition.reason in (NO_CODE, CODE_PENDING):
                return None
            return Unresolved(reason=condition.reason, message=condition.message, final=True)
    return None


# --- zip, written by hand: CodeSha256 must not move with a library or a Python version ----------

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_NEEDED = 20
_MADE_BY = (3 << 8) | _NEEDED
_UTF8 = 0x800
_DATE_1980 = (1 << 5) | 1
_PLAIN = 0o100644 << 16
_EXECUTABLE = 0o100755 << 16


def pack_files(files: Mapping[str, str]) -> bytes:
    """An uncompressed zip of path → text: sorted, dated 1980-01-01, UTF-8.

    Files that start with `#!`, and `bootstrap`, are executable.
    """
    body = bytearray()
    directory = bytearray()
    for path in sorted(files):
        name, data = path.encode(), files[path].encode()
        mode = _EXECUTABLE if path == "bootstrap" or data.startswith(b"#!") else _PLAIN
        common = (_NEEDED, _UTF8, 0, 0, _DATE_1980, zlib.crc32(data), len(data), len(data))
        offset = len(body)
        body += _LOCAL.pack(b"PK\x03\x04", *common, len(name), 0) + name + data
        directory += _CENTRAL.pack(
            b"PK\x01\x02", _MADE_BY, *common, len(name), 0, 0, 0, 0, mode, offset
        )
        directory += name
    count = len(files)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end)
